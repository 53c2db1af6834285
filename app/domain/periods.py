"""Calendar periods where a storefront is: hours, days, weeks and months of a time zone, without gaps."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo

from app.domain.time_range import EARLIEST, LATEST, from_us, instant, to_us

EARLIEST_US, LATEST_US = to_us(EARLIEST), to_us(LATEST)
HOUR = timedelta(hours=1)


class Granularity(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def period_edges(
    start_us: int, end_us: int, granularity: Granularity, time_zone: str, at_most: int
) -> list[int] | None:
    """Where the periods of [start_us, end_us) begin, and last where the range ends; the first and the last period may
    be cut off by the range. None when there are more than at_most periods.

    time_zone: IANA. Weeks begin on Monday. A day begins with its first instant and may have 23 or 25 hours. Hours are
    real ones: one that the clocks repeat is there twice, one that they skip is not there.
    """
    first_us, last_us = max(start_us, EARLIEST_US), min(end_us, LATEST_US)
    edges = [start_us]
    if first_us < last_us:
        edges += islice(_boundaries(first_us, last_us, granularity, ZoneInfo(time_zone)), at_most)
    return [*edges, end_us] if len(edges) <= at_most else None


def local(moment_us: int, time_zone: str) -> datetime:
    """The time on the clocks in time_zone (IANA); no earlier than EARLIEST and no later than LATEST."""
    return from_us(min(max(moment_us, EARLIEST_US), LATEST_US)).astimezone(ZoneInfo(time_zone))


def range_before(start_us: int, end_us: int, time_zone: str) -> tuple[int, int] | None:
    """The same length of time just before: as many days for a range of whole days in time_zone (IANA), however long
    those were. None when it would begin before there are any events."""
    before_us = start_us - (end_us - start_us)
    if before_us <= EARLIEST_US:
        return None
    if end_us <= LATEST_US:
        first, last = local(start_us, time_zone).date(), local(end_us, time_zone).date()
        if (_midnight_us(first, time_zone), _midnight_us(last, time_zone)) == (start_us, end_us):
            before_us = _midnight_us(first - (last - first), time_zone)
    return before_us, start_us


def _midnight_us(day: date, time_zone: str) -> int:
    return to_us(instant(day, time_zone))


def _boundaries(start_us: int, end_us: int, granularity: Granularity, zone: ZoneInfo) -> Iterator[int]:
    """The ones between, in order."""
    starts = _hours(start_us, zone) if granularity is Granularity.HOUR else _days(start_us, granularity, zone)
    last_us = start_us
    for boundary_us in starts:
        if boundary_us >= end_us:
            return
        if boundary_us > last_us:  # a day that a change of the date line left out would begin with the next one
            yield boundary_us
            last_us = boundary_us


def _hours(start_us: int, zone: ZoneInfo) -> Iterator[int]:
    moment = from_us(start_us)
    while True:
        shown = moment.astimezone(zone)
        into_hour = timedelta(minutes=shown.minute, seconds=shown.second, microseconds=shown.microsecond)
        moment += HOUR - into_hour
        yield to_us(moment)


def _days(start_us: int, granularity: Granularity, zone: ZoneInfo) -> Iterator[int]:
    day = from_us(start_us).astimezone(zone).date()
    while True:
        match granularity:
            case Granularity.WEEK:
                day += timedelta(days=7 - day.weekday())
            case Granularity.MONTH:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            case _:
                day += timedelta(days=1)
        yield to_us(datetime.combine(day, time(), zone))
