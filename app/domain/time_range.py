"""Times as reports count them: integer microseconds since the epoch, half-open ranges."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_PER_SECOND = 1_000_000


def to_us(moment: datetime) -> int:
    """moment: aware."""
    return (moment - EPOCH) // MICROSECOND


def from_us(moment_us: int) -> datetime:
    return EPOCH + moment_us * MICROSECOND
