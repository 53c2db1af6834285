"""Times as reports count them: integer microseconds since the epoch, half-open ranges."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_PER_SECOND = 1_000_000
# No event lies outside, and every time between can be written in every time zone.
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """moment: aware."""
    return (moment - EPOCH) // MICROSECOND


def from_us(moment_us: int) -> datetime:
    return EPOCH + moment_us * MICROSECOND


def instant(moment: date, time_zone: str) -> datetime:
    """An aware datetime as it is, a day as its midnight in time_zone (IANA); between EARLIEST and LATEST."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), ZoneInfo(time_zone))
    return min(max(moment, EARLIEST), LATEST)
