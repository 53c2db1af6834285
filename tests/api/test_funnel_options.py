"""Every option of a funnel through HTTP, on journeys of a line each and with the numbers written out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.test_reports import ADDED, ORDERED, VIEWED, event, funnel, step
from tests.service import Service

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
PROMOTED = "promotion_viewed"


def did(person: str, name: str, minute: float, **properties: object) -> dict[str, Any]:
    return event(person, name, NOON + timedelta(minutes=minute), **properties)


JOURNEYS = [
    *(did("ana", VIEWED, 0, cart_id=1), did("ana", ADDED, 5, cart_id=1), did("ana", ORDERED, 10, cart_id=1)),
    *(did("ben", VIEWED, 0, cart_id=1), did("ben", PROMOTED, 1), did("ben", ADDED, 30, cart_id="1")),
    *(did("cleo", ADDED, 0), did("cleo", VIEWED, 1), did("cleo", ORDERED, 2)),
    *(
        did("dan", VIEWED, 0, cart_id=1),
        did("dan", ORDERED, 50, cart_id=2),
        did("dan", VIEWED, 55),
        did("dan", ADDED, 60),
    ),
]


@pytest.fixture
async def shop(service: Service) -> Service:
    assert (await service.send(JOURNEYS)).json()["stored"] == len(JOURNEYS)
    return service


async def reached(shop: Service, **options: Any) -> list[int]:
    reply = await shop.funnel(funnel(VIEWED, ADDED, ORDERED, **options))
    assert reply.status_code == 200, reply.text
    return [each["reached_count"] for each in reply.json()["steps"]]


async def test_in_order(shop: Service) -> None:
    assert await reached(shop) == [4, 3, 1]


async def test_strict_allows_no_event_of_any_name_between(shop: Service) -> None:
    assert await reached(shop, order="strict") == [4, 2, 1]


async def test_in_any_order_the_number_of_steps_counts(shop: Service) -> None:
    assert await reached(shop, order="any_order") == [4, 4, 3]
    answer = (await shop.funnel(funnel(VIEWED, ADDED, order="any_order"))).json()
    assert [each["label"] for each in answer["steps"]] == ["1 of 2 steps", "2 of 2 steps"]


async def test_within_and_not_before_are_times_since_the_step_before(shop: Service) -> None:
    quickly = [step(VIEWED), step(ADDED, within_seconds=300), step(ORDERED)]
    assert await reached(shop, steps=quickly) == [4, 2, 1]
    slowly = [step(VIEWED), step(ADDED, not_before_seconds=301), step(ORDERED)]
    assert await reached(shop, steps=slowly) == [4, 2, 0]


async def test_an_optional_step_is_reached_by_those_who_skip_it_and_says_who_did_it(shop: Service) -> None:
    steps = [step(VIEWED), step(ADDED, optional=True), step(ORDERED)]
    found = (await shop.funnel(funnel(VIEWED, steps=steps))).json()["steps"]
    assert [each["reached_count"] for each in found] == [4, 4, 3]
    assert (found[1]["done_count"], found[1]["done_ratio"]) == (1, pytest.approx(1 / 3))
    assert found[0]["done_count"] is found[2]["done_count"] is None


async def test_an_excluded_event_between_two_steps(shop: Service) -> None:
    exclude = [{"after_step": 1, "before_step": 2, "any_of": [{"event": PROMOTED}]}]
    assert await reached(shop, exclude=exclude) == [4, 2, 1]


async def test_the_same_cart_in_all_steps(shop: Service) -> None:
    assert await reached(shop, same=["cart_id"]) == [4, 2, 1]


async def test_sessions_end_with_a_gap_of_half_an_hour(shop: Service) -> None:
    """Dan has two, and what he orders in the second one belongs to no view in it."""
    assert await reached(shop, actor="session") == [5, 3, 1]


async def test_accounts_are_the_events_that_name_them(shop: Service) -> None:
    assert await reached(shop, actor="account") == [0, 0, 0]
    acme = [{**did("eve", VIEWED, 0), "account_id": "acme"}, {**did("fay", ADDED, 1), "account_id": "acme"}]
    assert (await shop.send(acme)).json()["stored"] == 2
    assert await reached(shop, actor="account") == [1, 1, 0]


async def test_every_attempt_counts(shop: Service) -> None:
    assert await reached(shop, count="entries", conversion_window_seconds=600) == [5, 2, 1]


async def test_filters_are_conditions_on_every_step(shop: Service) -> None:
    cart = {"property": "cart_id", "op": "=", "value": 1}
    assert await reached(shop, filters=[cart]) == [3, 2, 1]
    assert await reached(shop, filters=[{"dimension": "trust", "op": "=", "value": "browser"}]) == [4, 3, 1]
    assert await reached(shop, filters=[{"dimension": "trust", "op": "=", "value": "server"}]) == [0, 0, 0]


async def test_filters_choose_persons_by_what_they_did(shop: Service) -> None:
    promoted = {"any_of": [{"event": PROMOTED}]}
    assert await reached(shop, filters=[{"did": promoted}]) == [1, 1, 0]
    assert await reached(shop, filters=[{"did_not": promoted}]) == [3, 2, 1]
    before = {"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"}
    assert await reached(shop, filters=[{"did": {**promoted, "range": before}}]) == [0, 0, 0]


async def test_as_of_a_time_before_anything_was_received_there_is_nothing(shop: Service) -> None:
    assert await reached(shop, as_of="2020-01-01T00:00:00Z") == [0, 0, 0]
    assert await reached(shop, as_of="0001-01-01T00:00:00+14:00") == [0, 0, 0]
    assert await reached(shop, as_of="2999-01-01T00:00:00Z") == [4, 3, 1]
