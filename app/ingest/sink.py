"""What the write path asks of storage."""

from collections.abc import Sequence
from typing import Protocol

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent


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
