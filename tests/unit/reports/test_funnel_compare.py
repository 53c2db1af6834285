"""Comparisons: which range is the other one, and what changed."""

from typing import Any

import pytest

from app.errors import Invalid
from tests.journeys import DAY, HOUR, journey
from tests.unit.reports.asking import ADDED, VIEWED, ask, range_of, shop, step
from tests.unit.reports.journey_mirror import JourneyMirror

# 2025-03-01 is second 0. In Berlin the clocks go forward on 2025-03-30.
SHOPPERS = [
    *journey("ana", (0, VIEWED), (40, ADDED)),
    *journey("ben", (HOUR, VIEWED)),
    *journey("cleo", (DAY, VIEWED)),
    *journey("dan", (DAY + 1, VIEWED), (DAY + 2, ADDED)),
    *journey("eve", (DAY + 2, VIEWED), (DAY + 3, ADDED)),
    *journey("finn", (DAY + 3, VIEWED), (DAY + 4, ADDED)),
]
SECOND_DAY = range_of(DAY, 2 * DAY)


def test_the_day_before_beside_the_day_with_every_number_written_out(mirror: JourneyMirror) -> None:
    """Second day: 3 of 4. First day: 1 of 2. Of the 15 ways in which 2 of the 6 can fail to convert, 8 have one of
    them on each day: nothing is likelier than that, so Fisher's exact test gives 1."""
    compare = ask(mirror, SHOPPERS, VIEWED, ADDED, range=SECOND_DAY, compare="previous").compare
    assert compare is not None
    assert compare.range.start.isoformat() == "2025-03-01T00:00:00+00:00"
    assert compare.range.end.isoformat() == "2025-03-02T00:00:00+00:00"
    assert [step.reached_count for step in compare.steps] == [2, 1]
    assert compare.seconds_to_convert is not None
    assert (compare.seconds_to_convert.count, compare.seconds_to_convert.mean) == (1, 40)
    assert compare.conversion_ratio_change == 0.25
    assert compare.p_value == pytest.approx(1)


def test_any_other_range_can_be_given(mirror: JourneyMirror) -> None:
    other = range_of(DAY, DAY + 2)
    compare = ask(mirror, SHOPPERS, VIEWED, ADDED, range=range_of(0, DAY), compare=other).compare
    assert compare is not None
    assert [step.reached_count for step in compare.steps] == [2, 1]
    assert compare.conversion_ratio_change == 0


def test_where_nobody_entered_no_change_can_be_told(mirror: JourneyMirror) -> None:
    compare = ask(mirror, SHOPPERS, VIEWED, ADDED, range=range_of(0, DAY), compare="previous").compare
    assert compare is not None
    assert [step.reached_count for step in compare.steps] == [0, 0]
    assert (compare.conversion_ratio_change, compare.p_value) == (None, None)


def test_previous_is_counted_in_days_of_the_storefront(mirror: JourneyMirror) -> None:
    week = {"start": "2025-03-31T00:00:00+02:00", "end": "2025-04-07T00:00:00+02:00"}
    compare = ask(mirror, SHOPPERS, VIEWED, range=week, compare="previous", storefront=shop("Europe/Berlin")).compare
    assert compare is not None
    assert compare.range.start.isoformat() == "2025-03-24T00:00:00+01:00"
    assert compare.range.end.isoformat() == "2025-03-31T00:00:00+02:00"


def test_person_filters_without_a_range_of_their_own_look_at_the_other_range(mirror: JourneyMirror) -> None:
    """Ana clicked on the first day only, Ben on the second only: each counts where they clicked."""
    events = [
        *journey("ana", (1, "ad_clicked"), (2, VIEWED), (DAY + 2, VIEWED)),
        *journey("ben", (2, VIEWED), (DAY + 1, "ad_clicked"), (DAY + 2, VIEWED), (DAY + 3, ADDED)),
    ]
    filters = [{"did": {"any_of": [{"event": "ad_clicked"}]}}]
    result = ask(mirror, events, VIEWED, ADDED, range=SECOND_DAY, compare="previous", filters=filters)
    assert result.compare is not None
    assert [step.reached_count for step in result.steps] == [1, 1]
    assert [step.reached_count for step in result.compare.steps] == [1, 0]


def test_both_ranges_are_seen_as_of_the_same_time(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED)), *journey("ben", (DAY, VIEWED))]
    asked: dict[str, Any] = {"range": SECOND_DAY, "compare": "previous", "conversion_window_seconds": int(DAY)}
    result = ask(mirror, events, VIEWED, ADDED, at=DAY + 1, **asked)
    assert result.compare is not None
    assert (result.steps[0].lost_count, result.steps[0].in_progress_count) == (0, 1)
    assert (result.compare.steps[0].lost_count, result.compare.steps[0].in_progress_count) == (1, 0)


def test_both_ranges_are_in_the_number_of_events_read(mirror: JourneyMirror) -> None:
    alone = ask(mirror, SHOPPERS, VIEWED, ADDED, range=SECOND_DAY)
    both = ask(mirror, SHOPPERS, VIEWED, ADDED, range=SECOND_DAY, compare="previous")
    assert both.events_read > alone.events_read


def test_there_is_nothing_before_the_beginning_of_time(mirror: JourneyMirror) -> None:
    everything = {"start": "1901-01-01T00:00:00Z", "end": "9999-12-31T00:00:00Z"}
    with pytest.raises(Invalid) as refused:
        ask(mirror, SHOPPERS, step(VIEWED), range=everything, compare="previous")
    (fault,) = refused.value.errors
    assert fault.pointer == "/compare"
