"""The conversion curve: who is watched for how long, and where it ends."""

from typing import Any

import pytest
from hypothesis import given, settings

from app.domain.funnel import FunnelDefinition
from app.reports.base import NEVER_US
from app.reports.funnel.curve import CurvePoint, curve_of, curve_times
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.steps import funnel_steps
from tests.journeys import DAY, HOUR, MINUTE, JourneyEvent, at_us, journey
from tests.strategies import definitions, journeys
from tests.unit.reports.asking import ADDED, LONG_AFTER, ORDERED, VIEWED, ask
from tests.unit.reports.journey_mirror import JourneyMirror

WINDOW: dict[str, Any] = {"conversion_window_seconds": 100}


def curve(mirror: JourneyMirror, events: list[JourneyEvent], at: float, **members: Any) -> dict[float, CurvePoint]:
    found = ask(mirror, events, VIEWED, ADDED, at=at, curve=True, **{**WINDOW, **members}).curve
    assert found is not None
    return {point.seconds: point for point in found}


def counts(point: CurvePoint) -> tuple[int, int, float | None]:
    ratio = point.conversion_ratio
    return point.at_risk_count, point.converted_count, None if ratio is None else round(ratio, 9)


def test_every_number_written_out(mirror: JourneyMirror) -> None:
    """Ana and Ben convert after 10 s and 20 s, Cleo and Dan never; Eve entered 50 s ago."""
    events = [
        *journey("ana", (0, VIEWED), (10, ADDED)),
        *journey("ben", (0, VIEWED), (20, ADDED)),
        *journey("cleo", (0, VIEWED)),
        *journey("dan", (0, VIEWED)),
        *journey("eve", (950, VIEWED)),
    ]
    found = curve(mirror, events, at=1_000)
    assert counts(found[0]) == (5, 0, 0)
    assert counts(found[5]) == (5, 0, 0)
    assert counts(found[10]) == (5, 1, 0.2)
    assert counts(found[15]) == (4, 1, 0.2)
    assert counts(found[20]) == (4, 2, 0.4)  # 1 - 4/5 * 3/4
    assert counts(found[50]) == (3, 2, 0.4)
    assert counts(found[55]) == (2, 2, 0.4)
    assert counts(found[100]) == (2, 2, 0.4)
    low, high = found[100].low_ratio, found[100].high_ratio
    assert low is not None
    assert high is not None
    assert 0 < low < 0.4 < high < 1


def test_who_entered_just_now_does_not_pull_the_curve_down(mirror: JourneyMirror) -> None:
    """Of those watched for a minute one of two converts; of the eight who have just come nothing is known."""
    events = [
        *journey("ana", (0, VIEWED), (60, ADDED)),
        *journey("ben", (0, VIEWED)),
        *(event for number in range(8) for event in journey(f"p{number}", (999, VIEWED))),
    ]
    assert counts(curve(mirror, events, at=1_000)[100]) == (1, 1, 0.5)


def test_beyond_the_longest_time_that_anybody_was_watched_there_is_no_ratio(mirror: JourneyMirror) -> None:
    found = curve(mirror, journey("ana", (0, VIEWED)), at=30)
    assert counts(found[30]) == (1, 0, 0)
    assert counts(found[35]) == (0, 0, None)


def test_where_nobody_entered_there_is_no_ratio(mirror: JourneyMirror) -> None:
    found = curve(mirror, [], at=30)
    assert {counts(point) for point in found.values()} == {(0, 0, None)}


def test_an_attempt_that_was_excluded_counts_as_not_converted(mirror: JourneyMirror) -> None:
    """Taken out after 5 s, Ana would leave a curve that ends at 1, though only one of two attempts converted."""
    events = [
        *journey("ana", (0, VIEWED), (5, "left")),
        *journey("ben", (0, VIEWED), (10, ADDED)),
    ]
    exclude = [{"after_step": 1, "before_step": 2, "any_of": [{"event": "left"}]}]
    found = curve(mirror, events, at=1_000, count="entries", exclude=exclude)
    assert counts(found[5]) == (2, 0, 0)
    assert counts(found[10]) == (2, 1, 0.5)
    assert counts(found[100]) == (1, 1, 0.5)


def test_an_attempt_that_was_excluded_is_watched_no_longer_than_others_who_entered_then(mirror: JourneyMirror) -> None:
    events = [
        *journey("ana", (0, VIEWED), (5, "left")),
        *journey("ben", (0, VIEWED)),
    ]
    exclude = [{"after_step": 1, "before_step": 2, "any_of": [{"event": "left"}]}]
    found = curve(mirror, events, at=30, count="entries", exclude=exclude)
    assert counts(found[30]) == (2, 0, 0)
    assert counts(found[35]) == (0, 0, None)


@pytest.mark.parametrize("window_seconds", [1, 59, 100, HOUR, DAY, 7 * DAY, 30 * DAY, 366 * DAY, 3_660 * DAY])
def test_the_times_are_at_most_about_sixty_from_zero_to_the_window(window_seconds: int) -> None:
    times = curve_times(window_seconds)
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, window_seconds)
    assert len(times) <= 65


def test_the_times_of_a_week_show_the_first_minutes_and_every_six_hours() -> None:
    times = curve_times(7 * DAY)
    assert times[:10] == [0, 1, 2, 5, 10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE]
    assert times[-3:] == [7 * DAY - 12 * HOUR, 7 * DAY - 6 * HOUR, 7 * DAY]


def test_the_answer_says_whether_it_changes_with_time(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED), (10, ADDED)), *journey("ben", (0, VIEWED))]
    moving = ask(mirror, events, VIEWED, ADDED, at=50, curve=True, **WINDOW)
    assert moving.valid_until_us == at_us(50)
    assert ask(mirror, events, VIEWED, ADDED, at=101, curve=True, **WINDOW).valid_until_us == NEVER_US


def test_the_last_step_of_more_than_two_is_what_counts(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (10, ADDED), (30, ORDERED))
    found = ask(mirror, events, VIEWED, ADDED, ORDERED, curve=True, **WINDOW).curve
    assert found is not None
    assert next(point.seconds for point in found if point.converted_count) == 30


@settings(max_examples=200)
@given(definitions(), journeys())
def test_when_every_window_has_closed_the_curve_ends_at_the_conversion_ratio(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    with mirror.scan(events, at_us(LONG_AFTER)) as scan:
        attempts = match_funnel(definition, scan)
        expected, points = funnel_steps(attempts)[-1].conversion_ratio, curve_of(attempts)
    assert points[-1].conversion_ratio == (None if expected is None else pytest.approx(expected))
