"""Stores in Postgres, or, while that is away, in the spool."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable
from app.ingest.sink import Batch, CuttableSink, EventSink, store_in_time
from app.ingest.spool.queue import Spool
from app.metrics import Metrics

logger = logging.getLogger(__name__)

# While the spool drains, one new event may join it for so many that leave it. However much is sent, a backlog of N
# events is gone in the time that storage takes for 4/3 N: sooner than it came about, as long as there was no overload.
DRAIN_SHARE = 4


class SpoolingSink:
    """Fits `EventSink`. While storage is away, or anything waits in the spool, batches go into the spool.

    So what came first is stored first, and nobody waits for a server that is known to be away. With a spool that can't
    be used, storage that is well takes them at once.
    away: storage has failed, and has not stored anything since. spooling: set while there is something to drain.
    """

    def __init__(self, storage: EventSink, spool: Spool, *, after_seconds: float, metrics: Metrics) -> None:
        """after_seconds: how long storage may take until a batch goes into the spool."""
        self.storage = storage
        self.spool = spool
        self.spooling = asyncio.Event()
        self.away = False
        self._failures = metrics.flush_failures
        self._after_seconds = after_seconds
        self._allowance = 0  # events that may be added to those that wait, until the next commit of these
        self._drained_some = asyncio.Event()
        if not spool.empty:
            self.spooling.set()

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        """Raises UnstorableError, or SpoolFull when neither storage nor the spool takes the batch."""
        batch = Batch(list(events), list(refused), list(received))
        if self._behind and not self.away:
            await self._let_drain(len(batch.events))
        if not self._behind and not self.away:
            try:
                return await store_in_time(self.storage, batch, self._after_seconds)
            except SinkUnavailable as error:
                self.note_away(error)
        self.spooling.set()
        await self.spool.append(batch)
        return [Outcome.SPOOLED] * len(batch.events)

    @property
    def _behind(self) -> bool:
        """Whether others come first. Not those in a spool that can't be used: nobody knows how long they stay there."""
        return self.spool.usable and not self.spool.empty

    async def _let_drain(self, count: int) -> None:
        """Wait while storage takes what came earlier, so that the spool loses more than it gains, and gets empty."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._after_seconds):
                while self._allowance <= 0 and not self.away and self._behind:
                    await self._drained_some.wait()
        self._allowance -= count

    async def cut(self) -> None:
        if isinstance(self.storage, CuttableSink):
            await self.storage.cut()

    def note_drained(self, count: int) -> None:
        """A commit of so many of the events that had waited has ended; none if it failed."""
        self._allowance = min(self._allowance, 0) + count // DRAIN_SHARE
        self._drained_some.set()
        self._drained_some = asyncio.Event()

    def note_away(self, error: SinkUnavailable) -> None:
        self._failures.labels(error.reason).inc()
        if not self.away:
            facts = {"action": "storage_away", "reason": error.reason, "error": str(error)}
            logger.warning("storage is away; events go to the spool", extra=facts)
        self.away = True
        self._allowance = 0

    def note_back(self, drained_count: int) -> None:
        """drained_count: events that the first commit took out of the spool."""
        if self.away:
            facts = {"action": "storage_back", "spooled_events": drained_count + self.spool.event_count}
            logger.info("storage is back", extra=facts)
        self.away = False
        if self.spool.empty:
            self.spooling.clear()
