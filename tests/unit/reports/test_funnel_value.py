"""The value at each step, and lost at each drop-off: sums by currency, and what is not added."""

from typing import Any

import pytest

from app.reports.funnel.result import FunnelResult
from app.reports.funnel.steps import FunnelStep
from tests.journeys import DAY, JourneyEvent, journey
from tests.unit.reports.asking import ADDED, ORDERED, VIEWED, ask, shop, step
from tests.unit.reports.journey_mirror import JourneyMirror

Sums = tuple[str, float | None, float | None, float | None]


def sums(step: FunnelStep) -> list[Sums]:
    """Currency, sum, lost, in progress."""
    assert step.value is not None
    return [(each.currency, each.sum, each.lost_sum, each.in_progress_sum) for each in step.value]


def without(result: FunnelResult) -> list[int | None]:
    return [step.without_value_count for step in result.steps]


def priced(value: object, currency: object = None) -> dict[str, object]:
    return {"value": value} if currency is None else {"value": value, "currency": currency}


SHOPPERS = [
    *journey("ana", (0, VIEWED, priced(10)), (1, ADDED, priced(20)), (2, ORDERED, priced(30.5))),
    *journey("ben", (0, VIEWED, priced("5", "EUR")), (1, ADDED, priced(7.5, "USD"))),
    *journey("cleo", (0, VIEWED, priced(3, "usd"))),
    *journey("dan", (5 * DAY, VIEWED, priced(100, "USD")), (5 * DAY + 1, ADDED, priced(50))),
]


def test_every_number_written_out(mirror: JourneyMirror) -> None:
    """A window of 7 days: on the eighth day only Dan is in progress."""
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, ORDERED, value="value", at=8 * DAY)
    viewed, added, ordered = result.steps
    assert sums(viewed) == [("EUR", 15, 0, 0), ("USD", 103, 3, 0)]
    assert sums(added) == [("EUR", 70, 0, 50), ("USD", 7.5, 7.5, 0)]
    assert sums(ordered) == [("EUR", 30.5, None, None)]
    assert without(result) == [0, 0, 0]


def test_without_a_currency_it_is_that_of_the_storefront(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, ORDERED, value="value", storefront=shop(currency="CHF"))
    assert sums(result.steps[2]) == [("CHF", 30.5, None, None)]


@pytest.mark.parametrize("value", ["ten", "", None, True, [10], {"amount": 10}, "1e999"])
def test_what_is_no_number_is_counted_and_not_added(mirror: JourneyMirror, value: object) -> None:
    events = [*journey("ana", (0, VIEWED, priced(value))), *journey("ben", (0, VIEWED, priced(2)))]
    result = ask(mirror, [*events, *journey("cleo", (0, VIEWED))], VIEWED, ADDED, value="value")
    assert sums(result.steps[0]) == [("EUR", 2, 2, 0)]
    assert without(result) == [2, 0]


@pytest.mark.parametrize("currency", ["euros", "€", "=1+1", "", 978, "eu\u017f"])
def test_what_can_be_no_currency_is_counted_and_not_added(mirror: JourneyMirror, currency: object) -> None:
    events = journey("ana", (0, VIEWED, {"value": 10, "currency": currency}))
    result = ask(mirror, events, VIEWED, ADDED, value="value")
    assert sums(result.steps[0]) == []
    assert without(result) == [1, 0]


def test_sums_show_no_rounding_of_floats(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED, priced(0.1))), *journey("ben", (0, VIEWED, priced(0.2)))]
    assert sums(ask(mirror, events, VIEWED, value="value").steps[0]) == [("EUR", 0.3, None, None)]


def test_a_sum_beyond_a_double_is_null(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED, priced(1e308))), *journey("ben", (0, VIEWED, priced(1e308)))]
    assert sums(ask(mirror, events, VIEWED, value="value").steps[0]) == [("EUR", None, None, None)]


def test_who_skipped_a_step_adds_nothing_to_it(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED, priced(1)), (1, ORDERED, priced(2)))
    result = ask(mirror, events, step(VIEWED), step(ADDED, optional=True), step(ORDERED), value="value")
    assert [sums(each) for each in result.steps] == [[("EUR", 1, 0, 0)], [], [("EUR", 2, None, None)]]
    assert without(result) == [0, 0, 0]


def test_each_attempt_adds_its_own_event(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (1, ORDERED, priced(2)), (2, VIEWED), (3, ORDERED, priced(4)))
    result = ask(mirror, events, VIEWED, ORDERED, value="value", count="entries")
    assert sums(result.steps[1]) == [("EUR", 6, None, None)]


def test_groups_and_the_other_range_have_values_too(mirror: JourneyMirror) -> None:
    asked: dict[str, Any] = {"value": "value", "breakdown": {"property": "currency", "of": "step", "step": 2}}
    earlier = {"start": "2025-03-01T00:00:00Z", "end": "2025-03-02T00:00:00Z"}
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, compare=earlier, **asked)
    assert result.groups is not None
    assert [(group.value, sums(group.steps[1])) for group in result.groups] == [
        ("USD", [("USD", 7.5, None, None)]),
        ("(not set)", [("EUR", 70, None, None)]),
    ]
    assert result.compare is not None
    assert sums(result.compare.steps[1]) == [("EUR", 20, None, None), ("USD", 7.5, None, None)]


def test_nothing_is_added_when_it_is_not_asked_for(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED)
    assert {(each.value, each.without_value_count) for each in result.steps if each.value is None} == {(None, None)}


def test_a_value_that_nobody_ever_sent_adds_nothing(mirror: JourneyMirror) -> None:
    events: list[JourneyEvent] = journey("ana", (0, VIEWED))
    result = ask(mirror, events, VIEWED, ADDED, value="never sent")
    assert [sums(each) for each in result.steps] == [[], []]
    assert without(result) == [1, 0]
