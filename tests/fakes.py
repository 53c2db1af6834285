"""Stand-ins for the parts that tests must hold in their own hands."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FixedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def now_us(self) -> int:
        return (self._now - EPOCH) // timedelta(microseconds=1)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
