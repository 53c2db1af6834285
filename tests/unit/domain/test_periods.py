"""Calendar periods: every length and offset written out."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from app.domain.periods import Granularity, local, period_edges, range_before
from app.domain.time_range import to_us

HOUR, DAY, WEEK, MONTH = Granularity


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def edges(start: str, end: str, granularity: Granularity, time_zone: str) -> list[str]:
    found = period_edges(us(start), us(end), granularity, time_zone, 1000)
    assert found is not None
    return [local(edge_us, time_zone).isoformat() for edge_us in found]


def hours_long(start: str, end: str, granularity: Granularity, time_zone: str) -> list[float]:
    moments = [datetime.fromisoformat(edge) for edge in edges(start, end, granularity, time_zone)]
    return [(b - a).total_seconds() / 3600 for a, b in pairwise(moments)]


def test_the_first_and_the_last_period_are_cut_off_by_the_range() -> None:
    assert edges("2026-01-31T12:00:00Z", "2026-03-02T00:00:00Z", MONTH, "UTC") == [
        "2026-01-31T12:00:00+00:00",
        "2026-02-01T00:00:00+00:00",
        "2026-03-01T00:00:00+00:00",
        "2026-03-02T00:00:00+00:00",
    ]


def test_a_range_that_ends_with_a_period_has_no_empty_one_after_it() -> None:
    assert edges("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", MONTH, "UTC") == [
        "2026-01-01T00:00:00+00:00",
        "2026-02-01T00:00:00+00:00",
        "2026-03-01T00:00:00+00:00",
    ]


def test_weeks_begin_on_monday() -> None:
    """2026-01-07 is a Wednesday."""
    assert edges("2026-01-07T00:00:00Z", "2026-01-20T00:00:00Z", WEEK, "UTC") == [
        "2026-01-07T00:00:00+00:00",
        "2026-01-12T00:00:00+00:00",
        "2026-01-19T00:00:00+00:00",
        "2026-01-20T00:00:00+00:00",
    ]


def test_days_are_those_of_the_time_zone_and_may_have_23_or_25_hours() -> None:
    assert hours_long("2026-03-28T00:00:00+01:00", "2026-03-31T00:00:00+02:00", DAY, "Europe/Berlin") == [24, 23, 24]
    assert hours_long("2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00", DAY, "Europe/Berlin") == [24, 25, 24]


def test_an_hour_that_the_clocks_repeat_is_there_twice() -> None:
    assert edges("2026-10-25T01:30:00+02:00", "2026-10-25T04:00:00+01:00", HOUR, "Europe/Berlin") == [
        "2026-10-25T01:30:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
        "2026-10-25T04:00:00+01:00",
    ]


def test_an_hour_that_the_clocks_skip_is_not_there() -> None:
    assert edges("2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00", HOUR, "Europe/Berlin") == [
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T04:00:00+02:00",
    ]


def test_hours_begin_with_those_of_the_clocks_where_the_offset_is_no_whole_hour() -> None:
    assert edges("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", HOUR, "Asia/Kolkata") == [
        "2026-01-01T05:30:00+05:30",
        "2026-01-01T06:00:00+05:30",
        "2026-01-01T06:30:00+05:30",
    ]


def test_a_day_whose_midnight_the_clocks_skip_begins_with_its_first_instant() -> None:
    assert edges("2018-11-03T00:00:00-03:00", "2018-11-05T00:00:00-02:00", DAY, "America/Sao_Paulo") == [
        "2018-11-03T00:00:00-03:00",
        "2018-11-04T01:00:00-02:00",
        "2018-11-05T00:00:00-02:00",
    ]


def test_a_day_whose_midnight_comes_twice_begins_with_the_first() -> None:
    assert hours_long("2025-11-01T00:00:00-04:00", "2025-11-04T00:00:00-05:00", DAY, "America/Havana") == [24, 25, 24]


def test_a_day_that_a_country_left_out_is_no_period() -> None:
    """Samoa went over the date line on 2011-12-30."""
    assert edges("2011-12-29T00:00:00-10:00", "2012-01-01T00:00:00+14:00", DAY, "Pacific/Apia") == [
        "2011-12-29T00:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2012-01-01T00:00:00+14:00",
    ]


def test_more_periods_than_allowed_are_none() -> None:
    start, end = us("2026-01-01T00:00:00Z"), us("2026-01-01T03:00:00Z")
    assert period_edges(start, end, HOUR, "UTC", 2) is None
    assert len(period_edges(start, end, HOUR, "UTC", 3) or ()) == 4


@pytest.mark.parametrize("time_zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_ends_of_time_are_no_overflow(time_zone: str) -> None:
    first, last = us("0001-01-01T00:00:00Z"), us("9999-12-31T23:59:59Z")
    for granularity in Granularity:
        assert period_edges(first, last, granularity, time_zone, 1000) is None
        assert period_edges(first, first + 1, granularity, time_zone, 1000) == [first, first + 1]
        assert period_edges(last - 1, last, granularity, time_zone, 1000) == [last - 1, last]
    assert local(first, time_zone) == datetime(1900, 1, 1, tzinfo=UTC)
    assert local(last, time_zone) == datetime(9999, 1, 1, tzinfo=UTC)
    assert range_before(first, last, time_zone) is None
    assert range_before(us("1950-01-01T00:00:00Z"), last, time_zone) is None


# The range before


def before(start: str, end: str, time_zone: str) -> list[str]:
    found = range_before(us(start), us(end), time_zone)
    assert found is not None
    return [local(moment_us, time_zone).isoformat() for moment_us in found]


def test_before_whole_days_come_as_many_days_however_long_they_are() -> None:
    """The week before had an hour less: the clocks went forward on 2026-03-29."""
    assert before("2026-03-30T00:00:00+02:00", "2026-04-06T00:00:00+02:00", "Europe/Berlin") == [
        "2026-03-23T00:00:00+01:00",
        "2026-03-30T00:00:00+02:00",
    ]


def test_before_any_other_range_comes_the_same_length() -> None:
    assert before("2026-03-30T01:00:00+02:00", "2026-03-31T01:00:00+02:00", "Europe/Berlin") == [
        "2026-03-29T00:00:00+01:00",
        "2026-03-30T01:00:00+02:00",
    ]
    assert before("2026-03-30T00:00:00Z", "2026-03-31T00:00:00Z", "Europe/Berlin") == [
        "2026-03-29T01:00:00+01:00",
        "2026-03-30T02:00:00+02:00",
    ]
