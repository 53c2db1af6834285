"""What WooCommerce's webhooks mean; whole requests are under tests/golden/woocommerce."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.domain.event import Event, Trust
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.woocommerce import EVENT_NAMES, WOOCOMMERCE
from tests.events import NOW
from tests.golden_cases import golden_cases

DOCS = Path(__file__).parents[3] / "docs" / "webhooks.md"
# What the golden orders say of their buyer.
PERSONAL = (
    "Jonas",
    "Berg",
    "Hafenstr",
    "Kiel",
    "24103",
    "jonas@example.com",
    "5550123",
    "198.51.100.7",
    "1980",
    "neighbour",
)
ORDER: dict[str, Any] = {
    "id": 7,
    "number": "7",
    "status": "processing",
    "total": "20.00",
    "currency": "EUR",
    "customer_id": 70,
    "date_created_gmt": "2026-03-02T11:00:00",
    "date_modified_gmt": "2026-03-02T11:30:00",
}


def decode(topic: str, body: object) -> Decoded:
    context = RequestContext(1, Trust.SIGNED, NOW, "application/json", max_events=1_000, topic=topic)
    return WOOCOMMERCE.decode(json.dumps(body).encode(), context)


def events(topic: str, **changes: object) -> list[Event]:
    decoded = decode(topic, ORDER | changes)
    assert decoded.rejections == []
    return decoded.events


def named(found: list[Event]) -> list[str]:
    return [event.event_name for event in found]


# -- what an order has come to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("processing", ["order_completed"]),
        ("completed", ["order_completed"]),
        ("refunded", ["order_completed", "order_refunded"]),
        ("cancelled", ["order_cancelled"]),
        ("pending", ["order_updated"]),
        ("on-hold", ["order_updated"]),
        ("failed", ["order_updated"]),
        ("packed-by-plugin", ["order_updated"]),
    ],
)
def test_the_status_says_what_a_new_order_is(status: str, expected: list[str]) -> None:
    assert named(events("order.created", status=status)) == expected


@pytest.mark.parametrize("status", ["processing", "pending", "cancelled"])
def test_an_update_says_in_any_case_what_the_order_is_worth_now(status: str) -> None:
    updated = events("order.updated", status=status, total="18.00")[-1]

    assert (updated.event_name, updated.properties["value"]) == ("order_updated", 18.0)


def test_an_order_that_is_sent_again_and_again_completes_once() -> None:
    first = events("order.created")[0]
    second = events("order.updated", status="completed", date_modified_gmt="2026-03-04T09:00:00")[0]

    assert first.event_name == second.event_name == "order_completed"
    assert first.identity == second.identity


def test_a_delivery_that_is_repeated_makes_the_same_events() -> None:
    first, again = (events("order.updated", refunds=[{"id": 8, "total": "-2.00"}]) for _ in range(2))

    assert [event.identity for event in first] == [event.identity for event in again]
    assert named(first) == ["order_completed", "order_refunded", "order_updated"]


def test_an_order_in_the_bin_is_cancelled_once_whatever_it_was() -> None:
    [deleted] = decode("order.deleted", {"id": 7}).events
    cancelled = events("order.updated", status="cancelled")[0]

    assert deleted.event_name == "order_cancelled"
    assert deleted.identity == cancelled.identity


# -- refunds ---------------------------------------------------------------------------------------------------------


def test_each_refund_counts_once_however_often_the_order_is_sent() -> None:
    one, two = {"id": 8, "total": "-2.00"}, {"id": 9, "total": "-3.50"}

    first = events("order.updated", refunds=[one])[1]
    _, again, second, _ = events("order.updated", refunds=[one, two], date_modified_gmt="2026-03-03T11:30:00")

    assert first.identity == again.identity
    assert [event.properties["value"] for event in (again, second)] == [2.0, 3.5]
    assert [event.properties["refund_id"] for event in (again, second)] == ["8", "9"]


def test_an_order_refunded_without_saying_how_much_is_refunded_as_a_whole() -> None:
    refund = events("order.updated", status="refunded")[1]

    assert refund.properties == {"order_id": "7", "currency": "EUR"}


def test_a_refund_without_a_readable_total_is_refused_rather_than_taken_for_the_whole_order() -> None:
    decoded = decode("order.updated", ORDER | {"refunds": [{"id": 8, "total": "two"}]})

    assert [(refused.reason, refused.pointer) for refused in decoded.rejections] == [("wrong_type", "/refund/total")]
    assert named(decoded.events) == ["order_completed", "order_updated"]


# -- who -------------------------------------------------------------------------------------------------------------


def test_a_guest_is_no_customer() -> None:
    [order] = events("order.created", customer_id=0)

    assert (order.customer_key, order.visitor_key) == (None, "woocommerce:order:7")


def test_the_visitor_is_the_one_that_the_shop_passed_on() -> None:
    meta = [{"key": "_vat_id", "value": "DE1"}, {"key": "footfall_visitor", "value": "browser-7"}]

    [order] = events("order.created", meta_data=meta)

    assert (order.visitor_key, order.customer_key) == ("browser-7", "70")


def test_an_order_goes_by_the_number_that_the_shop_shows() -> None:
    [order] = events("order.created", number="2026-0007")

    assert order.properties["order_id"] == "2026-0007"


# -- what is not kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", golden_cases(WOOCOMMERCE), ids=lambda case: case.name)
def test_nothing_of_the_buyer_is_kept_but_ids_also_not_in_quarantine(case: Any) -> None:
    decoded = WOOCOMMERCE.decode(case.body, case.context)

    kept = b"".join([*decoded.raws(), *(refused.raw for refused in decoded.rejections)]).decode()
    stored = msgspec.json.encode(decoded.events).decode()
    assert not [word for word in PERSONAL if word in kept + stored]


@pytest.mark.parametrize(
    ("body", "is_ping"),
    [(b"webhook_id=12", True), (b"webhook_id=12&x=1", False), (b'{"id":7}', False), (b"", False)],
)
def test_a_ping_names_the_webhook_and_nothing_else(body: bytes, is_ping: bool) -> None:
    assert WOOCOMMERCE.webhook.is_ping(body) is is_ping


# -- docs ------------------------------------------------------------------------------------------------------------


def test_the_docs_say_what_becomes_of_each_status() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]

    for status, event in EVENT_NAMES.items():
        assert [row for row in rows if f"`{status}`" in row and f"`{event}`" in row], status
