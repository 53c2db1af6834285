"""Trends: who entered in which period, what is not over yet, and how many periods there may be."""

from typing import Any

import pytest
from hypothesis import given, settings

from app.domain.periods import Granularity
from app.errors import Invalid
from app.reports.funnel.result import FunnelResult
from tests.journeys import DAY, HOUR, MINUTE, JourneyEvent, journey
from tests.strategies import journeys
from tests.unit.reports.asking import ADDED, ORDERED, VIEWED, ask, range_of, shop
from tests.unit.reports.journey_mirror import JourneyMirror

THREE_DAYS = range_of(0, 3 * DAY)  # from 2025-03-01, a Saturday


def periods(result: FunnelResult) -> list[tuple[str, list[int]]]:
    assert result.trend is not None
    return [(period.period_start.isoformat(), period.reached_counts) for period in result.trend]


SHOPPERS = [
    *journey("ana", (0, VIEWED), (DAY, ADDED)),
    *journey("ben", (DAY - 0.000_001, VIEWED)),
    *journey("cleo", (2 * DAY, VIEWED), (2 * DAY + 1, ADDED), (2 * DAY + 2, ORDERED)),
    *journey("dan", (3 * DAY, VIEWED)),
]


def test_those_who_entered_in_a_period_count_there_whenever_they_went_on(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, ORDERED, range=THREE_DAYS, trend="day")
    assert periods(result) == [
        ("2025-03-01T00:00:00+00:00", [2, 1, 0]),
        ("2025-03-02T00:00:00+00:00", [0, 0, 0]),
        ("2025-03-03T00:00:00+00:00", [1, 1, 1]),
    ]
    assert result.trend is not None
    assert [(each.entered_count, each.converted_count, each.conversion_ratio) for each in result.trend] == [
        (2, 0, 0.0),
        (0, 0, None),
        (1, 1, 1.0),
    ]
    assert result.trend[2].period_end.isoformat() == "2025-03-04T00:00:00+00:00"


def test_the_days_are_those_of_the_storefront(mirror: JourneyMirror) -> None:
    """Midnight in UTC is 19:00 of the day before in New York."""
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, range=THREE_DAYS, trend="day", storefront=shop("America/New_York"))
    assert periods(result) == [
        ("2025-02-28T19:00:00-05:00", [1, 1]),
        ("2025-03-01T00:00:00-05:00", [1, 0]),
        ("2025-03-02T00:00:00-05:00", [1, 1]),
        ("2025-03-03T00:00:00-05:00", [0, 0]),
    ]


def test_a_person_counts_in_the_period_of_the_chain_that_is_reported(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (2 * DAY, VIEWED), (2 * DAY + HOUR, ADDED))
    result = ask(mirror, events, VIEWED, ADDED, range=THREE_DAYS, trend="day")
    assert [counts for _, counts in periods(result)] == [[0, 0], [0, 0], [1, 1]]


def test_a_period_is_complete_when_the_window_of_its_last_instant_is_over(mirror: JourneyMirror) -> None:
    def complete(at: float) -> list[bool]:
        asked: dict[str, Any] = {"range": range_of(0, 2 * DAY), "trend": "day", "conversion_window_seconds": 3600}
        found = ask(mirror, SHOPPERS, VIEWED, ADDED, at=at, **asked).trend
        assert found is not None
        return [period.complete for period in found]

    assert complete(DAY + HOUR - 0.000_001) == [False, False]
    assert complete(DAY + HOUR) == [True, False]
    assert complete(2 * DAY + HOUR) == [True, True]


def test_the_answer_says_until_when_it_stays_the_same(mirror: JourneyMirror) -> None:
    """Nobody is in progress: what changes next is that the first day is complete."""
    events = journey("ana", (0, VIEWED), (1, ADDED))
    asked: dict[str, Any] = {"range": range_of(0, 2 * DAY), "trend": "day", "conversion_window_seconds": 3600}
    result = ask(mirror, events, VIEWED, ADDED, at=HOUR, **asked)
    assert result.valid_until_us == events[0].occurred_at_us + (25 * 3600 * 1_000_000) - 1


def test_hours_are_there_without_gaps(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (30 * MINUTE, VIEWED)), *journey("ben", (2 * HOUR, VIEWED))]
    result = ask(mirror, events, VIEWED, ADDED, range=range_of(0, 4 * HOUR), trend="hour")
    assert [counts for _, counts in periods(result)] == [[1, 0], [0, 0], [1, 0], [0, 0]]


def test_where_nobody_entered_every_period_is_there(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, "never", ADDED, range=range_of(0, 70 * DAY), trend="month")
    assert periods(result) == [
        ("2025-03-01T00:00:00+00:00", [0, 0]),
        ("2025-04-01T00:00:00+00:00", [0, 0]),
        ("2025-05-01T00:00:00+00:00", [0, 0]),
    ]


@pytest.mark.parametrize(
    ("days", "granularity", "advice"),
    [
        (42, "hour", "ask for `day`"),
        (1_001, "hour", "ask for `week`"),
        (1_001, "day", "ask for `week`"),
        (7_100, "week", "ask for `month`"),
        (31_000, "month", "shorten the range"),
    ],
)
def test_too_many_periods_are_refused_with_what_would_fit(
    mirror: JourneyMirror, days: int, granularity: str, advice: str
) -> None:
    with pytest.raises(Invalid) as refused:
        ask(mirror, SHOPPERS, VIEWED, range=range_of(0, days * DAY), trend=granularity)
    (fault,) = refused.value.errors
    assert fault.pointer == "/trend"
    assert advice in fault.detail


def test_a_thousand_periods_are_possible(mirror: JourneyMirror) -> None:
    found = ask(mirror, SHOPPERS, VIEWED, range=range_of(0, 1_000 * DAY), trend="day").trend
    assert found is not None
    assert len(found) == 1_000


@settings(max_examples=60)
@given(journeys())
def test_periods_add_up_to_the_whole(mirror: JourneyMirror, events: list[JourneyEvent]) -> None:
    for granularity in Granularity:
        options: dict[str, Any] = {"range": range_of(-2 * HOUR, DAY), "trend": granularity.value, "count": "entries"}
        result = ask(mirror, events, VIEWED, ADDED, ORDERED, **options)
        columns = zip(*(counts for _, counts in periods(result)), strict=True)
        assert [sum(column) for column in columns] == [step.reached_count for step in result.steps]
