"""The demo's made-up week looks like a real shop's and stays within the limits of the service."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from app.demo.synthetic import synthetic_week

END = datetime(2025, 5, 19, 10, 0, tzinfo=UTC)

CONSIDERATION = {
    "product_list_viewed",
    "product_viewed",
    "product_searched",
    "product_compared",
    "product_reviews_viewed",
    "product_added_to_wishlist",
}
DECISION = {
    "product_added",
    "cart_viewed",
    "checkout_started",
    "coupon_applied",
    "shipping_info_added",
    "payment_info_added",
}


@pytest.fixture(scope="module")
def week() -> list[dict[str, Any]]:
    return list(synthetic_week(end=END))


def stages(event: dict[str, Any]) -> set[int]:
    """Indexes of the default stages an event can mean; retention only counts in a chain after a purchase."""
    name = event["event"]
    found = {
        0: name in {"page_viewed", "ad_clicked", "email_opened"},
        1: name in CONSIDERATION,
        2: name in DECISION,
        3: name == "order_completed",
        4: name in {"order_completed", "loyalty_joined"},
        5: name in {"product_reviewed", "product_shared", "referral_sent"}
        or (name == "survey_answered" and event["properties"]["score"] >= 9),
    }
    return {index for index, matches in found.items() if matches}


def reached(week: list[dict[str, Any]]) -> list[int]:
    """Visitors who come to each of the six stages, one after the other."""
    depth: dict[str, int] = defaultdict(int)
    for event in week:
        if depth[event["visitor_id"]] in stages(event):
            depth[event["visitor_id"]] += 1
    return [sum(1 for deepest in depth.values() if deepest > index) for index in range(6)]


def test_same_arguments_give_the_same_events() -> None:
    first = list(synthetic_week(end=END, seed=5, visitor_count=60))

    assert first == list(synthetic_week(end=END, seed=5, visitor_count=60))
    assert first != list(synthetic_week(end=END, seed=6, visitor_count=60))


def test_events_are_sorted_and_lie_in_the_week_before_the_end(week: list[dict[str, Any]]) -> None:
    times = [datetime.fromisoformat(event["client_time"]) for event in week]

    assert times == sorted(times)
    assert END - timedelta(days=7) <= times[0]
    assert times[-1] < END


def test_event_ids_are_unique_version_7_and_carry_the_client_time(week: list[dict[str, Any]]) -> None:
    assert len({event["event_id"] for event in week}) == len(week)
    for event in week:
        event_id = UUID(event["event_id"])
        sent_ms = round(datetime.fromisoformat(event["client_time"]).timestamp() * 1000)
        assert (event_id.version, event_id.variant) == (7, "specified in RFC 4122")
        assert event_id.int >> 80 == sent_ms


def test_sequence_numbers_of_a_visitor_count_up_with_time(week: list[dict[str, Any]]) -> None:
    journeys: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in week:
        journeys[event["visitor_id"]].append(event)

    assert len(journeys) == 3000
    for journey in journeys.values():
        assert [event["seq"] for event in journey] == list(range(1, len(journey) + 1))
        assert all(a["client_time"] < b["client_time"] for a, b in pairwise(journey))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stages_drop_off_like_a_real_shop_and_none_is_empty(seed: int) -> None:
    visitors, consideration, decision, purchase, retention, advocacy = reached(list(synthetic_week(end=END, seed=seed)))

    assert visitors == 3000
    assert 0.55 < consideration / visitors < 0.68
    assert 0.16 < decision / visitors < 0.25
    assert 0.03 < purchase / visitors < 0.06
    assert 20 < retention < purchase
    assert 5 < advocacy < retention


def test_an_ordinary_week_has_some_ten_thousand_events(week: list[dict[str, Any]]) -> None:
    assert 30_000 < len(week) < 60_000


def test_evenings_are_busier_than_nights(week: list[dict[str, Any]]) -> None:
    hours = [datetime.fromisoformat(event["client_time"]).hour for event in week]  # UTC, Berlin is 2 h ahead

    assert hours.count(18) > 5 * hours.count(1)


def test_every_event_is_labelled_and_within_the_limits(week: list[dict[str, Any]]) -> None:
    for event in week:
        assert event["properties"]["synthetic"] is True
        assert event["properties"]["device_type"] in {"mobile", "desktop", "tablet"}
        assert len(event["event"]) <= 100
        assert len(event["visitor_id"]) <= 200
        assert len(event["properties"]) <= 100
        assert len(json.dumps(event)) < 4096


def test_a_customer_is_named_from_the_login_on(week: list[dict[str, Any]]) -> None:
    known: dict[str, str] = {}
    for event in week:
        if event["event"] == "customer_identified":
            known[event["visitor_id"]] = event["customer_id"]
        assert event.get("customer_id") == known.get(event["visitor_id"])
    assert len(known) > 100


def test_orders_add_up(week: list[dict[str, Any]]) -> None:
    orders = [event["properties"] for event in week if event["event"] == "order_completed"]

    assert len({order["order_id"] for order in orders}) == len(orders)
    for order in orders:
        goods = sum(product["price"] * product["quantity"] for product in order["products"])
        share = 0.9 if order.get("coupon") else 1.0
        assert order["value"] == pytest.approx(goods * share + order["shipping"], abs=0.011)
        assert order["tax"] == pytest.approx(order["value"] * 19 / 119, abs=0.011)
        assert order["currency"] == "EUR"
    assert any(order.get("coupon") for order in orders)


def test_only_some_orders_are_refunded(week: list[dict[str, Any]]) -> None:
    orders = {event["properties"]["order_id"] for event in week if event["event"] == "order_completed"}
    refunds = {event["properties"]["order_id"] for event in week if event["event"] == "order_refunded"}

    assert refunds < orders
    assert 0 < len(refunds) < len(orders) / 10
