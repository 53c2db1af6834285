"""What the write path asks of storage, and what it hands over."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable


class EventSink(Protocol):
    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        """Make everything durable and say what became of each event, in order.

        received: what the requests brought that these are the remains of; for the ledger.
        Raises SinkUnavailable when it can't now, and UnstorableError when it never could; then nothing is stored,
        or (connection lost during the commit) everything: repeating is safe.
        """
        ...


@runtime_checkable
class CuttableSink(EventSink, Protocol):
    """A sink behind a connection, which may hang."""

    async def cut(self) -> None:
        """Calls under way have taken too long: whatever they wait on is given up, so that they end at once."""
        ...


@dataclass(slots=True, frozen=True)
class Batch:
    """What one commit stores."""

    events: list[Event]
    refused: list[RefusedEvent]
    received: list[Received]


async def store_in_time(sink: EventSink, batch: Batch, timeout_seconds: float) -> list[Outcome]:
    """As `sink.store`, but it raises SinkUnavailable in time even if a server hangs.

    Then cancelling alone may not end the call: the driver waits for a server to confirm the cancellation.
    """
    call = asyncio.create_task(sink.store(batch.events, batch.refused, batch.received))
    try:
        await asyncio.wait({call}, timeout=timeout_seconds)
        if call.done():
            return call.result()
    finally:
        if not call.done():
            call.cancel()
            call.add_done_callback(_seen)
            if isinstance(sink, CuttableSink):
                await sink.cut()
    raise SinkUnavailable("timeout", "storage did not answer in time")


def _seen(call: asyncio.Task[list[Outcome]]) -> None:
    """How a call ends that was given up interests nobody."""
    if not call.cancelled():
        call.exception()
