"""Times between two steps, and their histogram."""

from typing import Any

import pytest

from app.errors import Invalid
from app.reports.funnel.between import Between
from tests.journeys import DAY, journey
from tests.unit.reports.asking import ADDED, ORDERED, VIEWED, ask, step
from tests.unit.reports.journey_mirror import JourneyMirror


def between(mirror: JourneyMirror, events: Any, from_step: int, to_step: int, *steps: Any, **more: Any) -> Between:
    asked = [{"from_step": from_step, "to_step": to_step}]
    found = ask(mirror, events, *(steps or (VIEWED, ADDED, ORDERED)), between=asked, **more).between
    assert found is not None
    (only,) = found
    return only


def test_every_number_written_out(mirror: JourneyMirror) -> None:
    """From the second step to the third Ana takes 10 s, Ben 20 s, Cleo 30 s, Dan 40 s; Eve does not get there."""
    events = [
        event
        for number, name in enumerate(("ana", "ben", "cleo", "dan"), start=1)
        for event in journey(name, (0, VIEWED), (100, ADDED), (100 + 10 * number, ORDERED))
    ]
    found = between(mirror, [*events, *journey("eve", (0, VIEWED), (1, ADDED))], 2, 3)
    assert (found.from_step, found.to_step) == (2, 3)
    assert found.seconds is not None
    assert found.seconds.model_dump() == pytest.approx(
        {"count": 4, "mean": 25, "median": 25, "p75": 32.5, "p90": 37, "p95": 38.5, "min": 10, "max": 40}
    )
    assert [(each.from_seconds, each.to_seconds, each.count) for each in found.histogram] == [
        (10, 12, 1),
        (12, 14, 0),
        (14, 16, 0),
        (16, 18, 0),
        (18, 20, 0),
        (20, 22, 1),
        (22, 24, 0),
        (24, 26, 0),
        (26, 28, 0),
        (28, 30, 0),
        (30, 32, 1),
        (32, 34, 0),
        (34, 36, 0),
        (36, 38, 0),
        (38, 40, 1),
    ]


def test_from_the_first_to_the_last_step_is_the_time_to_convert(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED), (1, ADDED), (5, ORDERED)), *journey("ben", (0, VIEWED), (1, ADDED))]
    result = ask(mirror, events, VIEWED, ADDED, ORDERED, between=[{"from_step": 1, "to_step": 3}])
    assert result.between is not None
    assert result.between[0].seconds == result.seconds_to_convert


def test_spans_of_very_different_length_have_bins_that_grow(mirror: JourneyMirror) -> None:
    events = [
        *journey("ana", (0, VIEWED), (0, ADDED)),
        *journey("ben", (0, VIEWED), (20, ADDED)),
        *journey("cleo", (0, VIEWED), (2 * DAY, ADDED)),
    ]
    found = between(mirror, events, 1, 2)
    assert len(found.histogram) <= 20
    assert sum(each.count for each in found.histogram) == 3
    assert (found.histogram[0].from_seconds, found.histogram[-1].to_seconds) == (0, 2 * DAY)


def test_who_skipped_one_of_the_steps_has_no_time_between_them(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED), (5, ORDERED)), *journey("ben", (0, VIEWED), (1, ADDED), (5, ORDERED))]
    found = between(mirror, events, 2, 3, step(VIEWED), step(ADDED, optional=True), step(ORDERED))
    assert found.seconds is not None
    assert (found.seconds.count, found.seconds.mean) == (1, 4)


def test_where_nobody_has_both_steps_there_are_no_times(mirror: JourneyMirror) -> None:
    found = between(mirror, journey("ana", (0, VIEWED)), 1, 2)
    assert (found.seconds, found.histogram) == (None, [])


def test_in_any_order_steps_are_counted_not_named(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, ORDERED), (10, VIEWED), (40, ADDED))
    found = between(mirror, events, 2, 3, order="any_order")
    assert found.seconds is not None
    assert found.seconds.mean == 30


@pytest.mark.parametrize(("from_step", "to_step"), [(2, 2), (2, 1), (1, 4)])
def test_steps_in_the_wrong_order_or_beyond_the_last_are_refused(
    mirror: JourneyMirror, from_step: int, to_step: int
) -> None:
    with pytest.raises(Invalid) as refused:
        between(mirror, [], from_step, to_step)
    (fault,) = refused.value.errors
    assert fault.pointer == "/between/0/to_step"
