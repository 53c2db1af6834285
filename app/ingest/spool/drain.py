"""Takes what waits in the spool to Postgres, oldest first, as soon as that is back."""

import asyncio
import itertools
import logging
import random
import traceback

from app.domain.outcome import Outcome, SinkUnavailable, SpoolFull, UnstorableError
from app.ingest.apart import store_apart
from app.ingest.sink import Batch, store_in_time
from app.ingest.spool.recovering import SpooledBatch
from app.ingest.spool.sink import SpoolingSink
from app.metrics import Metrics

logger = logging.getLogger(__name__)

# Between two tries while storage is away: from the first to the second, doubling, less a random part of it.
PAUSE_MIN_SECONDS = 0.1
PAUSE_MAX_SECONDS = 2.0


class Drain:
    """Run `run` as a task. Batches leave the spool only after their commit; one commit is under way at a time."""

    def __init__(self, sink: SpoolingSink, *, max_events: int, timeout_seconds: float, metrics: Metrics) -> None:
        """max_events: in one commit. timeout_seconds: for one commit."""
        self._sink = sink
        self._spool = sink.spool
        self._max_events = self._limit = max_events
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._stored: list[SpooledBatch] = []  # but still in the spool

    async def run(self) -> None:
        """Never ends by itself, whatever happens."""
        pause_seconds = PAUSE_MIN_SECONDS
        while True:
            await self._sink.spooling.wait()
            if await self._try():
                pause_seconds = PAUSE_MIN_SECONDS
            else:
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1))  # noqa: S311  # spreads load, guards nothing
                pause_seconds = min(pause_seconds * 2, PAUSE_MAX_SECONDS)

    async def _try(self) -> bool:
        """Whether it can go on at once."""
        count = 0
        try:
            count, went_on = await self._drain_some()
        except SinkUnavailable as error:
            self._sink.note_away(error)
            if error.reason == "timeout":
                self._limit = max(1, self._limit // 2)  # a slow server still takes small batches in time
            return False
        except Exception as error:  # noqa: BLE001  # it must go on, whatever a bug may be
            frames = "".join(traceback.format_tb(error.__traceback__))  # not its text, which may quote an event
            facts = {"action": "drain_failed", "error": type(error).__name__, "frames": frames}
            logger.error("spool is not drained", extra=facts)  # noqa: TRY400
            return False
        else:
            self._limit = min(self._max_events, self._limit * 2)
            self._sink.note_back(count)
            return went_on
        finally:
            self._sink.note_drained(count)

    async def _drain_some(self) -> tuple[int, bool]:
        """Returns the number of events, and whether the spool did its part."""
        async with self._spool.turn:
            waiting = await self._waiting()
            outcomes = await self._store(waiting)
            self._metrics.spool_replayed.inc(len(outcomes))
            if not waiting:
                return 0, self._spool.usable
            self._stored = waiting
            return len(outcomes), await self._removed()

    async def _waiting(self) -> list[SpooledBatch]:
        """None of a spool that can't be used: storage is asked all the same whether it is back."""
        try:
            return await self._spool.read(self._limit) if await self._removed() else []
        except SpoolFull:
            return []

    async def _removed(self) -> bool:
        """Take out of the spool what is stored: until that works, nothing else is, or it would be stored again."""
        try:
            if self._stored:
                await self._spool.remove(self._stored)
        except SpoolFull as error:
            facts = {"action": "spool_unusable", "error": str(error)}
            logger.error("stored events can't be taken out of the spool", extra=facts)  # noqa: TRY400  # no bug of ours
            return False
        self._stored = []
        return True

    async def _store(self, waiting: list[SpooledBatch]) -> list[Outcome]:
        """With nothing waiting this only asks whether storage is back."""
        batches = [spooled.batch for spooled in waiting]
        batch = Batch(
            list(itertools.chain.from_iterable(batch.events for batch in batches)),
            list(itertools.chain.from_iterable(batch.refused for batch in batches)),
            list(itertools.chain.from_iterable(batch.received for batch in batches)),
        )
        try:
            return await store_apart(self._store_in_time, batch)
        except UnstorableError as error:
            # Only refused events are left of it, with texts that we made ourselves: a bug, which must not block others.
            facts = {"action": "refused_lost", "refused": len(batch.refused), "error": str(error)}
            logger.error("refused events can't be kept", extra=facts)  # noqa: TRY400  # its trace may quote an event
            return []

    async def _store_in_time(self, batch: Batch) -> list[Outcome]:
        return await store_in_time(self._sink.storage, batch, self._timeout_seconds)
