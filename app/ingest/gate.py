"""Lets requests in while there is room, refuses the others before they cost anything, and spreads the refusals."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self

from app.config import Settings
from app.errors import RetryLater, TooMany, Unavailable
from app.metrics import Metrics

# After a refusal by the buffer, which had read and decoded its request for nothing. Short against the time in which a
# full buffer is worked off, so no room is left empty.
CLOSED_SECONDS = 0.05
# Large bodies that wait for their turn: a second's work for good ones, a minute's for the worst.
BODIES_WAITING_MAX = 100
# Refusals held back at once, and for how long at most. Few are let go almost at once, as they are no load.
HELD_MAX = 5_000
HELD_MAX_SECONDS = 1.0
HELD_SECONDS_EACH = 0.01


class Buffer(Protocol):
    """What the gate asks of the batcher."""

    def oldest_age_seconds(self) -> float: ...


class Gate:
    """Each request that is let in is let out again: used as a context manager, or by hand."""

    def __init__(self, settings: Settings, buffer: Buffer, metrics: Metrics) -> None:
        self._requests_max = settings.requests_max
        self._bytes_max = settings.buffer_max_bytes
        self._age_max_seconds = settings.buffer_max_age_seconds
        self._buffer = buffer
        self._shed = {reason: metrics.shed.labels(reason) for reason in ("in_flight", "behind", "buffer", "share")}
        self._in_flight = 0
        self._held = 0
        self._body_bytes = 0
        self._bodies_waiting = 0
        self._closed_until = 0.0
        self._closed_to: dict[int, float] = {}  # by storefront: until when

    def __enter__(self) -> Self:
        self.let_in()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.let_out()

    def let_in(self) -> None:
        """Raises Unavailable (503)."""
        if self._in_flight >= self._requests_max:
            raise self._refusal("in_flight", Unavailable, "There are too many requests at once; send again later.")
        if self._buffer.oldest_age_seconds() > self._age_max_seconds:
            raise self._refusal("behind", Unavailable, "The service is behind; send again later.")
        if self._closed_until and self._closed_until > time.monotonic():
            raise self._refusal("buffer", Unavailable, "The service is behind; send again later.")
        self._in_flight += 1

    def let_out(self) -> None:
        self._in_flight -= 1

    def check_storefront(self, storefront_id: int) -> None:
        """Raises TooMany (429)."""
        if self._closed_to and self._closed_to.get(storefront_id, 0.0) > time.monotonic():
            detail = "This storefront has too many events waiting; send more slowly."
            raise self._refusal("share", TooMany, detail)

    def note_refusal(self, storefront_id: int, error: RetryLater) -> None:
        """The buffer had no room for a request: there will be none for the next ones either."""
        until = time.monotonic() + CLOSED_SECONDS
        if isinstance(error, TooMany):
            self._closed_to[storefront_id] = until
        else:
            self._closed_until = until

    def take_body_bytes(self, count: int) -> None:
        """Of a body that comes in pieces; give them back with a negative count. Raises Unavailable (503)."""
        self._body_bytes += count
        if count > 0 and self._body_bytes > self._bytes_max:
            raise self._refusal("in_flight", Unavailable, "There are too many requests at once; send again later.")

    @contextmanager
    def waiting_body(self, byte_count: int) -> Iterator[None]:
        """Around the wait for a turn with a whole body in memory. Raises Unavailable (503)."""
        if self._bodies_waiting >= BODIES_WAITING_MAX:
            raise self._refusal("in_flight", Unavailable, "There are too many large bodies at once; send again later.")
        self._bodies_waiting += 1
        try:
            self.take_body_bytes(byte_count)
            yield
        finally:
            self._bodies_waiting -= 1
            self.take_body_bytes(-byte_count)

    async def hold_back(self, error: RetryLater) -> None:
        """Waits a moment before a refusal is sent. Clients that repeat at once then can't make a load of it, and
        others are told to come back at different times."""
        seconds = int(error.headers["Retry-After"])
        error.headers["Retry-After"] = str(seconds + random.randint(0, 1 + seconds // 2))  # noqa: S311  # no secret
        if self._held >= HELD_MAX:
            return
        self._held += 1
        try:
            await asyncio.sleep(random.random() * min(HELD_MAX_SECONDS, HELD_SECONDS_EACH * self._held))  # noqa: S311
        finally:
            self._held -= 1

    def _refusal(self, reason: str, kind: type[RetryLater], detail: str) -> RetryLater:
        self._shed[reason].inc()
        return kind(detail, retry_after_seconds=1)
