"""Stand-ins for the parts that tests must hold in their own hands."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable, UnstorableError
from app.ingest.sink import EventSink

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


class MemorySink:
    """Keeps everything in lists, and fails or hangs when a test says so.

    batches: numbers of events, one per call. failure: raised by every call. gate: calls wait until it is set.
    unstorable: names of events that can't be stored. answer: the outcome of an event that is new.
    """

    def __init__(self, *, answer: Outcome = Outcome.STORED) -> None:
        self.events: list[Event] = []
        self.refused: list[RefusedEvent] = []
        self.received: list[Received] = []
        self.batches: list[int] = []
        self.failure: Exception | None = None
        self.unstorable: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()
        self._answer = answer

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        self.batches.append(len(events))
        self.called.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if any(event.event_name in self.unstorable for event in events):
            raise UnstorableError("no place for it")
        self.refused += refused
        self.received += received
        return [self._outcome(event) for event in events]

    def _outcome(self, event: Event) -> Outcome:
        if event.identity in {stored.identity for stored in self.events}:
            return Outcome.DUPLICATE
        self.events.append(event)
        return self._answer


class LossyReplySink:
    """Stores in the sink behind it, but the answer of the first calls is lost after their commit."""

    def __init__(self, sink: EventSink, *, losses: int) -> None:
        self._sink = sink
        self._losses = losses

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        outcomes = await self._sink.store(events, refused, received)
        if self._losses:
            self._losses -= 1
            raise SinkUnavailable("connection", "the connection broke after the commit")
        return outcomes
