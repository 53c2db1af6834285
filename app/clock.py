"""The time, handed to whoever needs it, so that tests can set it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The time as an aware datetime in UTC."""
        ...

    def now_us(self) -> int:
        """The time in whole microseconds since the epoch, as columns keep it."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def now_us(self) -> int:
        return time.time_ns() // 1_000
