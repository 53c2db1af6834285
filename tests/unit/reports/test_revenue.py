"""Revenue: each order once, by the most trusted figure; refunds, cancellations; money to the smallest unit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.time_range import to_us
from app.errors import Invalid
from app.reports.revenue import CURRENCIES_MAX, REVENUE, RevenueParams
from app.reports.revenue_result import CurrencyRevenue, Figures, RevenueResult
from tests.oracle_orders import Counted, OrderEvent, as_properties, revenue_oracle
from tests.unit.mirror.rows import FilledMirror, Row
from tests.unit.reports.asking import shop

BROWSER, SERVER, SIGNED, IMPORT = 1, 2, 3, 4
DAY_ONE = datetime(2026, 3, 1, tzinfo=UTC)
MARCH = {"from": "2026-03-01", "to": "2026-04-01"}
CACHE_BYTES = 1024**2
ADS, MAIL, PAYMENT, TILL = 1, 2, 3, 4
CAMPAIGNS = {
    ADS: ("paid_search", "'google'"),
    MAIL: ("email", "'news'"),
    PAYMENT: ("referral", "NULL"),
    TILL: ("offline", "NULL"),
}
MINUTE = 1 / 24 / 60  # in days


@pytest.fixture(scope="module")
def filled() -> Iterator[FilledMirror]:
    filled = FilledMirror(CACHE_BYTES)
    filled.execute(f"UPDATE follower SET as_of_us = {to_us(DAY_ONE + timedelta(days=400))}")
    for number, (channel, source) in CAMPAIGNS.items():
        filled.execute(
            "INSERT INTO campaign_context (campaign_context_id, storefront_id, channel, utm_source)"
            f" VALUES ({number}, 1, '{channel}', {source})"
        )
    yield filled
    filled.mirror.close()


class Shop:
    """Events go in, the report comes out; each test has a storefront of its own."""

    def __init__(self, filled: FilledMirror, storefront_id: int) -> None:
        self._filled, self._storefront_id = filled, storefront_id
        self.storefront = replace(shop(), storefront_id=storefront_id)

    def add(self, name: str, *, day: float = 0, trust: int = BROWSER, visitor: int = 1, **more: Any) -> None:
        """An event called order_NAME. more: its properties, and fields of Row that begin with an underscore."""
        self._filled.add(self.row(name, day=day, trust=trust, visitor=visitor, **more))

    def visit(self, campaign: int | None, *, day: float = 0, visitor: int = 1, **more: Any) -> None:
        """A page, to which this campaign led."""
        row = self.row("", day=day, visitor=visitor, _campaign_context_id=campaign, **more)
        self._filled.add(replace(row, event_name="page_viewed"))

    def add_all(self, rows: Sequence[Row]) -> None:
        if rows:
            self._filled.add(*rows)

    def row(self, name: str, *, day: float = 0, trust: int = BROWSER, visitor: int = 1, **more: Any) -> Row:
        fields = {key.removeprefix("_"): more.pop(key) for key in list(more) if key.startswith("_")}
        at = to_us(DAY_ONE + timedelta(days=day))
        row = Row(f"order_{name}", more, occurred_at=at, received_at=at, trust=trust, visitor_id=visitor)
        return replace(row, storefront_id=self._storefront_id, **fields)

    def report(self, **members: Any) -> RevenueResult:
        with self._filled.scan(self._storefront_id) as scan:
            return REVENUE.run(RevenueParams.model_validate({**MARCH, **members}), scan, self.storefront)

    def euros(self, **members: Any) -> CurrencyRevenue:
        """The answer when there is no other currency."""
        [found] = self.report(**members).currencies
        assert found.currency == "EUR"
        return found


_storefront_ids = iter(range(1, 1_000_000))


@pytest.fixture
def orders(filled: FilledMirror) -> Shop:
    return Shop(filled, next(_storefront_ids))


def money(figures: Figures) -> tuple[int, float, float, float]:
    """Orders, gross, refunds, revenue."""
    return figures.order_count, figures.gross, figures.refunds, figures.revenue


def test_every_number_written_out(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100, currency="EUR", visitor=1)
    orders.add("completed", order_id="A2", value="49.90", currency="eur", visitor=1, day=2)
    orders.add("completed", order_id="A3", value=30, visitor=2, day=3)
    orders.add("completed", order_id="A4", value=70, visitor=3, day=3)
    orders.add("refunded", order_id="A2", value=9.9, day=5)
    orders.add("cancelled", order_id="A4", day=6)
    found = orders.euros()
    assert found.model_dump(exclude={"remarks", "periods", "groups"}) == {
        "currency": "EUR",
        "order_count": 3,
        "gross": 179.9,
        "refunds": 9.9,
        "revenue": 170.0,
        "average_order_value": pytest.approx(170 / 3),
        "customer_count": 2,
        "orders_per_customer": 1.5,
        "refund_count": 1,
        "cancelled_count": 1,
    }
    assert not any(found.remarks.model_dump().values())


def test_no_orders_are_zeros_of_the_storefronts_currency_and_no_ratios(orders: Shop) -> None:
    found = orders.euros()
    assert money(found) == (0, 0, 0, 0)
    assert (found.average_order_value, found.orders_per_customer) == (None, None)


# Whoever reports it.


@pytest.mark.parametrize("trusted", [SERVER, SIGNED, IMPORT])
@pytest.mark.parametrize("browser_first", [True, False])
def test_of_browser_and_server_the_servers_figure_wins(orders: Shop, trusted: int, browser_first: bool) -> None:
    orders.add("completed", order_id="A1", value=90, day=0 if browser_first else 1)
    orders.add("completed", order_id="A1", value=100, trust=trusted, day=1 if browser_first else 0)
    found = orders.euros()
    assert money(found) == (1, 100, 0, 100)
    assert found.remarks.repeated_count == 1


def test_a_page_that_is_reloaded_reports_the_order_again_and_it_counts_once_by_its_first_report(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100)
    orders.add("completed", order_id="A1", value=80, day=0.01)
    orders.add("completed", order_id="A1", value=60, day=90)
    assert money(orders.euros()) == (1, 100, 0, 100)


def test_of_reports_at_the_same_time_seq_and_then_the_order_of_storing_decide(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=1, _seq=7)
    orders.add("completed", order_id="A1", value=2, _seq=3)
    orders.add("completed", order_id="A1", value=3, _seq=3)
    assert money(orders.euros()) == (1, 2, 0, 2)


def test_an_order_reported_before_the_range_is_not_of_the_range(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100, day=-1)
    orders.add("completed", order_id="A1", value=100, day=1)
    assert money(orders.euros()) == (0, 0, 0, 0)


def test_what_the_servers_report_does_not_say_is_taken_from_the_browsers(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100, currency="USD", coupon="SAVE10")
    orders.add("completed", order_id="A1", trust=SERVER)
    [found] = orders.report(property="coupon").currencies
    assert (found.currency, found.gross) == ("USD", 100)
    assert [(group.value, group.order_count) for group in found.groups or []] == [("SAVE10", 1)]


def test_the_same_number_as_text_is_the_same_order_id(orders: Shop) -> None:
    orders.add("completed", order_id=1001, value=5)
    orders.add("completed", order_id="1001", value=5)
    assert orders.euros().order_count == 1


@pytest.mark.parametrize("order_id", [None, "", " ", "null", "undefined", "(not set)", "NaN"])
def test_without_an_id_each_event_is_an_order_and_counted_as_such(orders: Shop, order_id: str | None) -> None:
    named: dict[str, Any] = {} if order_id is None else {"order_id": order_id}
    orders.add("completed", value=10, **named)
    orders.add("completed", value=10, **named)
    orders.add("cancelled", **named)  # of which one?
    found = orders.euros()
    assert money(found) == (2, 20, 0, 20)
    assert found.remarks.without_order_id_count == 2


def test_bots_are_left_out_unless_they_are_asked_for(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=10, _is_bot=True)
    assert orders.euros().order_count == 0
    assert orders.euros(include_bots=True).order_count == 1


def test_as_of_an_earlier_time_later_events_are_not_known(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=10)
    orders.add("refunded", order_id="A1", value=4, day=2)
    assert orders.euros(as_of="2026-03-02T00:00:00Z").revenue == 10
    assert orders.report(as_of="2026-03-02T00:00:00Z").as_of == DAY_ONE + timedelta(days=1)


def test_a_customer_with_two_devices_is_one(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=10, visitor=1, _customer_id=7)
    orders.add("completed", order_id="A2", value=10, visitor=2, _customer_id=7)
    assert (orders.euros().customer_count, orders.euros().orders_per_customer) == (1, 2.0)


# Refunds and cancellations.


def test_a_refund_without_a_value_is_the_whole_order(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=80)
    orders.add("refunded", order_id="A1", day=1)
    assert money(orders.euros()) == (1, 80, 80, 0)


def test_partial_refunds_add_up_and_never_to_more_than_the_order(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100)
    orders.add("refunded", order_id="A1", value=30, day=1)
    orders.add("refunded", order_id="A1", value=-50, day=2)  # some senders write it so
    assert orders.euros().refunds == 80
    orders.add("refunded", order_id="A1", value=50, day=3)
    orders.add("refunded", order_id="A1", day=4)
    found = orders.euros(period="day")
    assert found.refunds == 100
    assert [period.refunds for period in (found.periods or [])[:6]] == [0, 30, 50, 20, 0, 0]


def test_a_refund_told_twice_under_one_id_counts_once(orders: Shop) -> None:
    for order_id in ("A1", "A2"):
        orders.add("completed", order_id=order_id, value=100)
        orders.add("refunded", order_id=order_id, refund_id="R1", value=10, day=1)
        orders.add("refunded", order_id=order_id, refund_id="R1", value=10, day=2)
    found = orders.euros()
    assert (found.refund_count, found.refunds) == (2, 20)


def test_where_a_server_tells_of_refunds_browsers_are_not_asked(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100)
    orders.add("refunded", order_id="A1", value=15, day=1)
    orders.add("refunded", order_id="A1", value=10, day=2, trust=SERVER)
    assert orders.euros().refunds == 10


def test_a_refund_counts_on_its_own_day_also_when_the_order_is_older_than_the_range(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100, day=-60)
    orders.add("refunded", order_id="A1", value=25, day=1)
    found = orders.euros()
    assert money(found) == (0, 0, 25, -25)
    assert found.average_order_value is None


def test_a_refund_of_an_order_that_nobody_reported_counts_as_sent_and_is_named(orders: Shop) -> None:
    orders.add("refunded", order_id="OLD", value=25)
    orders.add("refunded", value=5)
    orders.add("refunded", value=7, trust=SERVER)
    orders.add("refunded", order_id="OLDER")
    found = orders.euros()
    assert (found.refunds, found.refund_count) == (37, 4)
    assert found.remarks.refunds_of_unknown_orders_count == 4
    assert found.remarks.refunds_without_value_count == 1


def test_a_refund_in_another_currency_is_counted_there_and_named(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100)
    orders.add("refunded", order_id="A1", value=20, currency="USD")
    euros, dollars = orders.report().currencies
    assert (euros.currency, *money(euros)) == ("EUR", 1, 100, 0, 100)
    assert (dollars.currency, *money(dollars)) == ("USD", 0, 0, 20, -20)
    assert dollars.remarks.refunds_in_other_currency_count == 1


def test_a_cancelled_order_does_not_count_at_the_time_of_the_order_nor_do_its_refunds(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100)
    orders.add("refunded", order_id="A1", value=100, day=39)
    orders.add("cancelled", order_id="A1", day=40)
    found = orders.euros()
    assert (*money(found), found.cancelled_count, found.customer_count) == (0, 0, 0, 0, 1, 0)
    april = orders.euros(**{"from": "2026-04-01", "to": "2026-05-01"})
    assert (april.refund_count, april.cancelled_count) == (0, 0)


def test_a_servers_last_update_is_the_figure_and_a_browsers_is_not(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=100, currency="USD", trust=SERVER)
    orders.add("updated", order_id="A1", value=120, day=1, trust=SERVER)
    orders.add("updated", order_id="A1", value=110, day=2, trust=SERVER)
    orders.add("updated", order_id="A1", day=3, trust=SERVER)
    orders.add("updated", order_id="A1", value=1, day=4)
    orders.add("updated", order_id="A2", value=50, trust=SERVER)
    [found] = orders.report().currencies
    assert (found.currency, *money(found)) == ("USD", 1, 110, 0, 110)


# Money.


def test_sums_are_exact(orders: Shop) -> None:
    for number in range(10):
        orders.add("completed", order_id=number, value=0.1)
    orders.add("completed", order_id="float", value=0.1 + 0.2)
    found = orders.euros()
    assert found.gross == 1.3
    assert '"gross":1.3,' in found.model_dump_json()


def test_amounts_are_rounded_to_what_the_currency_has(orders: Shop) -> None:
    for currency, value in (("JPY", 1500.5), ("KWD", 1.2345), ("EUR", "1.005")):
        orders.add("completed", order_id=currency, value=value, currency=currency)
    found = {each.currency: each.gross for each in orders.report().currencies}
    assert found == {"EUR": 1.01, "JPY": 1501, "KWD": 1.235}


def test_sums_beyond_64_bits_are_right(orders: Shop) -> None:
    for number in range(10):
        orders.add("completed", order_id=number, value=1e15, currency="JPY")
    orders.add("completed", order_id="more", value=1e16, currency="JPY")
    [yen] = orders.report().currencies
    assert (yen.gross, yen.remarks.without_value_count) == (1e16, 1)


@pytest.mark.parametrize(
    "value", [None, "", "ten", True, [1], {"amount": 1}, "1,50", "1e999", 10**400, "1e-99999999999"]
)
def test_an_order_whose_value_is_no_number_counts_without_one(orders: Shop, value: object) -> None:
    orders.add("completed", order_id="A1", value=value)
    found = orders.euros()
    assert money(found) == (1, 0, 0, 0)
    assert found.remarks.without_value_count == 1


@pytest.mark.parametrize("currency", ["euros", "€", "=1+1", 978])
def test_an_amount_of_what_can_be_no_currency_is_none(orders: Shop, currency: object) -> None:
    orders.add("completed", order_id="A1", value=10, currency=currency)
    found = orders.euros()
    assert (found.gross, found.remarks.without_value_count) == (0, 1)


def test_currencies_are_never_added_and_only_so_many_are_shown(orders: Shop) -> None:
    for number in range(CURRENCIES_MAX + 2):
        orders.add("completed", order_id=number, value=1, currency="AA" + chr(ord("A") + number))
    orders.add("completed", order_id="own", value=1)
    orders.add("completed", order_id="own too", value=1)
    result = orders.report()
    assert [each.currency for each in result.currencies][:3] == ["EUR", "AAA", "AAB"]
    assert len(result.currencies) == 20
    assert result.left_out_currencies == ["AAT", "AAU", "AAV"]


# Periods, groups, conditions.


def test_periods_have_no_gaps_and_begin_where_the_storefront_is(orders: Shop) -> None:
    orders.storefront = replace(orders.storefront, time_zone="America/New_York")
    orders.add("completed", order_id="A1", value=10, day=0.1)  # the evening of 28 February there
    orders.add("completed", order_id="A2", value=20, day=9)
    members = {"from": "2026-02-28", "to": "2026-04-01", "period": "month"}
    found = [
        (each.period_start.isoformat(), each.gross, each.complete) for each in orders.euros(**members).periods or []
    ]
    assert found == [("2026-02-28T00:00:00-05:00", 10, True), ("2026-03-01T00:00:00-05:00", 20, True)]
    assert len(orders.euros(period="day").periods or []) == 31
    weeks = orders.euros(period="week").periods or []
    assert [week.gross for week in weeks] == [0, 0, 20, 0, 0, 0]


def test_a_period_that_is_not_over_is_marked_and_ends_what_the_answer_is_good_for(orders: Shop) -> None:
    members = {"from": "2027-04-04", "to": "2027-04-07", "period": "day"}
    assert [each.complete for each in orders.euros(**members).periods or []] == [True, False, False]
    midnight = to_us(datetime(2027, 4, 6, tzinfo=UTC))
    assert orders.report(**members).valid_until_us == midnight - 1


def test_groups_are_the_largest_values_then_the_others_and_those_without(orders: Shop) -> None:
    for number, coupon in enumerate(["A", "B", "A", "C", "(other)", "(other)", None]):
        named: dict[str, Any] = {"coupon": coupon} if coupon else {}
        orders.add("completed", order_id=number, value=10, visitor=number % 2 + 1, **named)
    orders.add("refunded", order_id=3, value=1, coupon="ignored")
    found = orders.euros(property="coupon", limit=2).groups or []
    assert [(each.value, each.kind, *money(each)) for each in found] == [
        ("(other)", "value", 2, 20, 0, 20),
        ("A", "value", 2, 20, 0, 20),
        ("(other)", "other", 2, 20, 1, 19),
        ("(not set)", "not_set", 1, 10, 0, 10),
    ]


def test_groups_have_their_periods_when_both_are_asked_for(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=10, _url="https://shop.example/thanks")
    orders.add("completed", order_id="A2", value=20, day=1)
    found = orders.report(to="2026-03-03", period="day", dimension="page_path")
    [euros] = found.currencies
    assert [(each.value, [period.gross for period in each.periods or []]) for each in euros.groups or []] == [
        ("/thanks", [10, 0]),
        ("(not set)", [0, 20]),
    ]
    names = ("currency", "group", "group_kind", "order_count", "gross")
    assert [tuple(row[name] for name in names) for row in found.table().rows] == [
        ("EUR", None, None, 2, 30),
        ("EUR", None, None, 1, 10),
        ("EUR", None, None, 1, 20),
        ("EUR", "/thanks", "value", 1, 10),
        ("EUR", "/thanks", "value", 1, 10),
        ("EUR", "/thanks", "value", 0, 0),
        ("EUR", "(not set)", "not_set", 1, 20),
        ("EUR", "(not set)", "not_set", 0, 0),
        ("EUR", "(not set)", "not_set", 1, 20),
    ]


def test_conditions_are_on_orders_and_their_refunds_follow_them(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=10, device="mobile")
    orders.add("completed", order_id="A1", value=11, trust=SERVER)
    orders.add("refunded", order_id="A1", value=1, trust=SERVER)
    orders.add("completed", order_id="A2", value=20, device="desktop")
    orders.add("refunded", order_id="A2", value=2, device="mobile")
    orders.add("completed", order_id="A3", value=30)
    orders.add("refunded", value=4, device="mobile")

    def asked(*filters: dict[str, Any]) -> tuple[int, float, float, float]:
        return money(orders.euros(filters=filters))

    assert asked({"property": "device", "op": "=", "value": "mobile"}) == (1, 11, 5, 6)
    assert asked({"property": "device", "op": "!=", "value": "mobile"}) == (2, 50, 2, 48)
    assert asked({"property": "device", "op": "exists", "value": False}) == (1, 30, 0, 30)
    trusted = {"dimension": "trust", "op": "in", "value": ["server", "signed", "import"]}
    assert asked(trusted) == (1, 11, 1, 10)
    assert asked(trusted, {"property": "device", "op": "=", "value": "desktop"}) == (0, 0, 0, 0)


def test_a_condition_on_trust_also_says_who_is_asked_what_became_of_an_order(orders: Shop) -> None:
    orders.add("completed", order_id="A1", value=10, coupon="SAVE10")
    orders.add("completed", order_id="A1", value=11, trust=SERVER)
    orders.add("refunded", order_id="A1")
    orders.add("completed", order_id="A2", value=20, trust=SERVER)
    orders.add("cancelled", order_id="A2")
    trusted = {"dimension": "trust", "op": "in", "value": ["server", "signed", "import"]}
    assert money(orders.euros()) == (1, 11, 11, 0)
    found = orders.euros(filters=[trusted], property="coupon")
    assert money(found) == (2, 31, 0, 31)
    assert [(each.value, each.gross) for each in found.groups or []] == [("SAVE10", 11), ("(not set)", 20)]


# What brought the buyers.


def by(orders: Shop, dimension: str, **members: Any) -> dict[str, tuple[int, float]]:
    """Orders and revenue of each of its values."""
    groups = orders.euros(dimension=dimension, **members).groups or []
    return {each.value: (each.order_count, each.revenue) for each in groups}


def test_an_orders_channel_is_that_of_its_session_and_not_of_the_payment_service_it_came_back_from(
    orders: Shop,
) -> None:
    orders.visit(ADS)
    orders.visit(None, day=20 * MINUTE)
    orders.add("completed", order_id="A1", value=10, day=40 * MINUTE, _campaign_context_id=PAYMENT)
    orders.add("refunded", order_id="A1", value=1, day=9, _campaign_context_id=MAIL)
    orders.visit(MAIL, day=2)
    orders.add("completed", order_id="A2", value=20, day=2 + 29 * MINUTE)
    orders.visit(MAIL, day=4)
    orders.add("completed", order_id="A3", value=40, day=4 + 31 * MINUTE)
    assert by(orders, "channel") == {"paid_search": (1, 9), "email": (1, 20), "direct": (1, 40)}
    assert by(orders, "utm_source") == {"google": (1, 9), "news": (1, 20), "(not set)": (1, 40)}
    assert by(orders, "channel", as_of="2027-03-01T00:00:00Z") == by(orders, "channel")


def test_a_servers_order_has_the_channel_of_the_buyers_session(orders: Shop) -> None:
    orders.visit(ADS, visitor=1, _customer_id=7)
    orders.add("completed", order_id="A1", value=10, day=MINUTE, trust=SIGNED, _visitor_id=None, _customer_id=7)
    orders.add("completed", order_id="A2", value=20, day=MINUTE, trust=SIGNED, _visitor_id=None, _customer_id=8)
    assert by(orders, "channel") == {"paid_search": (1, 10), "(not set)": (1, 20)}


def test_what_a_server_tells_before_the_first_page_does_not_hide_what_brought_the_buyer(orders: Shop) -> None:
    orders.add("updated", order_id="A0", value=5, trust=SERVER)
    orders.visit(MAIL, day=MINUTE)
    orders.add("completed", order_id="A1", value=10, day=2 * MINUTE)
    assert by(orders, "channel") == {"email": (1, 10)}


def test_an_order_that_says_to_be_offline_is_so_though_the_buyer_looked_at_the_shop_just_before(orders: Shop) -> None:
    orders.visit(ADS)
    orders.add("completed", order_id="A1", value=10, day=MINUTE, trust=IMPORT, _campaign_context_id=TILL)
    assert by(orders, "channel") == {"offline": (1, 10)}


def test_pages_of_bots_and_of_others_bring_nobody(orders: Shop) -> None:
    orders.visit(ADS, _is_bot=True)
    orders.visit(MAIL, visitor=2)
    orders.add("completed", order_id="A1", value=10, day=MINUTE)
    assert by(orders, "channel") == {"direct": (1, 10)}


def test_a_condition_on_the_channel_is_on_that_of_the_session(orders: Shop) -> None:
    orders.visit(ADS)
    orders.add("completed", order_id="A1", value=10, day=MINUTE, _campaign_context_id=PAYMENT)
    orders.visit(MAIL, visitor=2)
    orders.add("completed", order_id="A2", value=20, day=MINUTE, visitor=2)
    orders.add("completed", order_id="A3", value=40, visitor=3)

    def asked(dimension: str, op: str, value: object) -> float:
        return orders.euros(filters=[{"dimension": dimension, "op": op, "value": value}]).revenue

    assert asked("channel", "=", "paid_search") == 10
    assert asked("channel", "!=", "paid_search") == 60
    assert asked("channel", "in", ["paid_search", "email"]) == 30
    assert asked("channel", "contains", "ect") == 40
    assert asked("utm_source", "exists", False) == 40
    assert asked("utm_source", "!=", "google") == 60
    assert asked("utm_source", ">", "h") == 20
    by_trust = {"dimension": "trust", "op": "=", "value": "browser"}
    by_channel = {"dimension": "channel", "op": "=", "value": "email"}
    assert orders.euros(filters=[by_channel, by_trust]).revenue == 20


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"to": "2026-02-01"}, "/to"),
        ({"period": "hour", "to": "2027-03-01"}, "/period"),
        ({"period": "day", "to": "2027-03-01", "property": "coupon", "limit": 50}, "/period"),
    ],
)
def test_what_can_not_be_answered_is_refused_with_a_pointer(
    orders: Shop, members: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        orders.report(**members)
    assert [fault.pointer for fault in refused.value.errors] == [pointer]


# The oracle.


def order_events() -> st.SearchStrategy[OrderEvent]:
    def one_of(*options: object) -> st.SearchStrategy[Any]:
        return st.sampled_from(options)

    return st.builds(
        OrderEvent,
        kind=one_of("completed", "completed", "refunded", "updated", "cancelled"),
        order_id=one_of("A", "A", "A", "B", None),
        value=one_of("10", "0.005", "2.5", "7", None),
        currency=one_of(None, None, "EUR", "JPY"),
        refund_id=one_of(None, None, "R1", "R2"),
        trust=one_of("browser", "server"),
        person=one_of(1, 2),
        at=one_of(-1, 0, 0.25, 0.5, 1),
        seq=one_of(0, 1),
    )


@settings(max_examples=200)
@given(st.lists(order_events(), max_size=16))
def test_it_is_what_the_oracle_says_whatever_is_told_in_whatever_order(
    filled: FilledMirror, events: list[OrderEvent]
) -> None:
    orders = Shop(filled, next(_storefront_ids))
    orders.add_all([_row(orders, event) for event in events])
    ranked = [replace(event, stored=number) for number, event in enumerate(events)]
    expected = revenue_oracle(ranked, "EUR") or {"EUR": Counted()}
    assert {each.currency: _counted(each) for each in orders.report(to="2026-03-02").currencies} == expected


def _row(orders: Shop, event: OrderEvent) -> Row:
    trust = SERVER if event.is_trusted else BROWSER
    told = as_properties(event)
    return orders.row(event.kind, day=event.at, trust=trust, visitor=event.person, _seq=event.seq, **told)


def _counted(found: CurrencyRevenue) -> Counted:
    return Counted(
        found.order_count,
        Decimal(str(found.gross)),
        Decimal(str(found.refunds)),
        found.customer_count,
        found.refund_count,
        found.cancelled_count,
    )
