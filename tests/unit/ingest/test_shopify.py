"""What Shopify's webhooks mean; whole requests are under tests/golden/shopify."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.domain.event import Event, Trust
from app.errors import Unreadable
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.shopify import EVENT_NAMES, SHOPIFY
from tests.events import NOW
from tests.golden_cases import golden_cases

DOCS = Path(__file__).parents[3] / "docs" / "webhooks.md"
# What the golden orders say of their buyer, and shops ask in notes.
PERSONAL = ("Mira", "Vogt", "Lindenweg", "Potsdam", "14467", "mira@example.com", "5550199", "192.0.2.44", "Ida", "ring")
ORDER: dict[str, Any] = {
    "id": 7,
    "created_at": "2026-03-02T11:00:00Z",
    "updated_at": "2026-03-02T11:30:00Z",
    "total_price": "20.00",
    "currency": "EUR",
    "customer": {"id": 70},
}
REFUND: dict[str, Any] = {"id": 9, "order_id": 7, "created_at": "2026-03-02T11:40:00Z", "transactions": []}


def decode(topic: str, body: object) -> Decoded:
    context = RequestContext(1, Trust.SIGNED, NOW, "application/json", max_events=1_000, topic=topic)
    return SHOPIFY.decode(json.dumps(body).encode(), context)


def events(topic: str, body: object) -> list[Event]:
    decoded = decode(topic, body)
    assert decoded.rejections == []
    return decoded.events


def note(value: object, name: str = "footfall_visitor") -> dict[str, object]:
    return {"note_attributes": [{"name": name, "value": value}]}


def refunded(*amounts: tuple[str, str, str]) -> dict[str, object]:
    return REFUND | {"transactions": [{"kind": kind, "status": s, "amount": a} for kind, s, a in amounts]}


# -- the order -------------------------------------------------------------------------------------------------------


def test_an_order_that_is_created_and_then_paid_is_one_event() -> None:
    [created], [paid] = (
        events("orders/create", ORDER),
        events("orders/paid", ORDER | {"updated_at": "2026-03-02T12:00:00Z"}),
    )

    assert created.event_name == "order_completed"
    assert created.identity == paid.identity


def test_each_update_of_an_order_is_an_event_and_a_repeated_one_is_none() -> None:
    [first] = events("orders/updated", ORDER)
    [again] = events("orders/updated", ORDER)
    [second] = events("orders/updated", ORDER | {"updated_at": "2026-03-02T11:31:00Z"})

    assert first.event_name == "order_updated"
    assert first.identity == again.identity != second.identity


def test_the_visitor_is_the_one_that_the_shop_passed_on() -> None:
    [order, _] = events("orders/create", ORDER | note("browser-7"))

    assert (order.visitor_key, order.customer_key) == ("browser-7", "70")


def test_a_note_may_be_hidden_from_buyers() -> None:
    assert events("orders/create", ORDER | note("browser-7", "_footfall_visitor"))[0].visitor_key == "browser-7"


def test_an_order_of_which_nobody_says_whose_it_is_is_a_visitor_of_its_own() -> None:
    [order] = events("orders/create", ORDER | {"customer": None})

    assert (order.visitor_key, order.customer_key) == ("shopify:order:7", None)


@pytest.mark.parametrize("value", ["x" * 201, "a\0b", "a\nb", "", None, ["browser-7"]])
def test_a_note_that_is_no_id_does_not_cost_the_order(value: object) -> None:
    [order] = events("orders/create", ORDER | note(value))

    assert order.visitor_key == "shopify:order:7"


def test_an_order_with_more_goods_than_there_is_room_for_is_kept_with_those_that_fit() -> None:
    line = {"product_id": 1, "title": "ä" * 255, "price": "1.00", "quantity": 1}

    [order] = events("orders/create", ORDER | {"line_items": [line] * 500})

    kept = len(order.properties["products"])
    assert 20 < kept < 100
    assert order.properties["products_left_out"] == 500 - kept
    assert order.properties["value"] == 20.0


def test_a_test_order_says_so() -> None:
    [test], [real] = (events("orders/updated", ORDER | {"test": is_test}) for is_test in (True, False))

    assert test.properties["is_test"] is True
    assert "is_test" not in real.properties


# -- refunds and cancellations ---------------------------------------------------------------------------------------


def test_a_refund_is_what_was_paid_back() -> None:
    transactions = ("refund", "success", "0.10"), ("refund", "success", "0.20"), ("refund", "failure", "5.00")

    [refund] = events("refunds/create", refunded(*transactions, ("capture", "success", "9.00")))

    assert refund.properties == {"order_id": "7", "refund_id": "9", "value": 0.3}


def test_goods_that_come_back_without_money_are_a_refund_of_nothing() -> None:
    assert events("refunds/create", REFUND)[0].properties["value"] == 0


def test_a_refund_without_a_readable_amount_is_refused_rather_than_taken_for_the_whole_order() -> None:
    [rejection] = decode("refunds/create", refunded(("refund", "success", "ten"))).rejections

    assert (rejection.reason, rejection.pointer) == ("wrong_type", "/refund/transactions")


def test_a_refund_which_names_only_the_order_leads_to_the_customer_whose_visitor_the_shop_passed_on() -> None:
    order, link = events("orders/create", ORDER | note("browser-7"))
    [refund] = events("refunds/create", REFUND)

    assert (link.event_name, link.visitor_key, link.customer_key) == ("customer_identified", refund.visitor_key, "70")
    assert order.customer_key == link.customer_key


def test_an_order_is_cancelled_when_it_says_so_itself() -> None:
    """The topic is a header, which is not signed."""
    [rejection] = decode("orders/cancelled", ORDER).rejections
    [cancelled] = events("orders/cancelled", ORDER | {"cancelled_at": "2026-03-02T11:50:00Z"})

    assert rejection.reason == "missing_field"
    assert cancelled.event_name == "order_cancelled"


# -- what is not kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", golden_cases(SHOPIFY), ids=lambda case: case.name)
def test_nothing_of_the_buyer_is_kept_but_ids_also_not_in_quarantine(case: Any) -> None:
    decoded = SHOPIFY.decode(case.body, case.context)

    kept = b"".join([*decoded.raws(), *(refused.raw for refused in decoded.rejections)]).decode()
    stored = msgspec.json.encode(decoded.events).decode()
    assert not [word for word in PERSONAL if word in kept + stored]


def test_what_is_no_order_is_refused_and_only_its_topic_is_kept() -> None:
    [rejection] = decode("customers/update", {"id": 70, "email": "mira@example.com"}).rejections

    assert rejection.raw == b'{"event":"customers/update","order":{"id":70},"refund":{}}'
    assert "Have the shop send orders/create, orders/paid" in rejection.detail


def test_a_body_that_is_no_json_is_unreadable() -> None:
    context = RequestContext(1, Trust.SIGNED, NOW, "application/json", max_events=1_000, topic="orders/create")

    with pytest.raises(Unreadable):
        SHOPIFY.decode(b"<order/>", context)


# -- docs ------------------------------------------------------------------------------------------------------------


def test_the_docs_say_what_becomes_of_each_topic() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|")]

    for topic, event in EVENT_NAMES.items():
        assert [row for row in rows if f"`{topic}`" in row and f"`{event}`" in row], topic
