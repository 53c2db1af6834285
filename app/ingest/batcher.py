"""Groups the events of many requests into one commit; a request waits for the commit its events ride in."""

import asyncio
import contextlib
import json
import logging
import time
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import (
    Outcome,
    RefusedEvent,
    Rejection,
    RejectReason,
    SinkUnavailable,
    UnstorableError,
)
from app.errors import TooMany, Unavailable
from app.ingest.sink import EventSink
from app.metrics import Metrics

logger = logging.getLogger(__name__)

# A storefront may fill half of the buffer: one shop in a sale must not shut out the others.
STOREFRONT_SHARE = 0.5
RETRY_AFTER_SECONDS = 2


@dataclass(slots=True)
class Submission:
    """One request's part of a commit. size_bytes: of its body, for the bound on memory."""

    storefront_id: int
    events: Sequence[Event]
    refused: Sequence[RefusedEvent]
    size_bytes: int
    received: Sequence[Received] = ()
    done: asyncio.Future[list[Outcome]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    submitted_at: float = field(default_factory=time.monotonic)

    @property
    def count(self) -> int:
        return len(self.events) + len(self.refused)


@dataclass(slots=True, frozen=True)
class BatcherLimits:
    max_events: int
    max_bytes: int
    flush_max_events: int
    flush_timeout_seconds: float


class Batcher:
    """Bounded buffer in front of the sink. `writers` commits may be under way at once."""

    def __init__(self, sink: EventSink, limits: BatcherLimits, *, writers: int, metrics: Metrics) -> None:
        self._sink = sink
        self._limits = limits
        self._metrics = metrics
        self._waiting: deque[Submission] = deque()
        self._unfinished: dict[int, Submission] = {}
        self._events_held = 0
        self._bytes_held = 0
        self._held_by_storefront: Counter[int] = Counter()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._writers = [asyncio.create_task(self._write(), name=f"writer {n}") for n in range(writers)]
        metrics.watch_buffer(lambda: self._events_held, self.oldest_age_seconds)

    async def submit(self, submission: Submission) -> list[Outcome]:
        """Returns what became of each event once they are durable. Raises TooMany (429) or Unavailable (503)."""
        self._admit(submission)
        self._waiting.append(submission)
        self._work.set()
        # A sender that hangs up cancels its own future, not the commit that others ride in.
        return await submission.done

    def oldest_age_seconds(self) -> float:
        oldest = next(iter(self._unfinished.values()), None)
        return time.monotonic() - oldest.submitted_at if oldest else 0.0

    @property
    def healthy(self) -> bool:
        return not any(writer.done() for writer in self._writers)

    async def drain(self, timeout_seconds: float) -> None:
        """Take no more, commit what is held, end. Waits at most timeout_seconds."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        for submission in list(self._unfinished.values()):
            self._finish(submission, error=Unavailable("The service is stopping; send again.", retry_after_seconds=1))

    def _admit(self, submission: Submission) -> None:
        if self._draining:
            raise Unavailable("The service is stopping; send again.", retry_after_seconds=1)
        limits, count = self._limits, submission.count
        if self._events_held + count > limits.max_events or self._bytes_held + submission.size_bytes > limits.max_bytes:
            raise Unavailable("The service is behind; send again later.", retry_after_seconds=RETRY_AFTER_SECONDS)
        held = self._held_by_storefront[submission.storefront_id]
        if held and held + count > limits.max_events * STOREFRONT_SHARE:
            raise TooMany(
                "This storefront has too many events waiting; send more slowly.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._unfinished[id(submission)] = submission
        self._idle.clear()
        self._events_held += count
        self._bytes_held += submission.size_bytes
        self._held_by_storefront[submission.storefront_id] += count

    def _finish(
        self, submission: Submission, outcomes: list[Outcome] | None = None, error: Exception | None = None
    ) -> None:
        del self._unfinished[id(submission)]
        if not self._unfinished:
            self._idle.set()
        self._events_held -= submission.count
        self._bytes_held -= submission.size_bytes
        self._held_by_storefront[submission.storefront_id] -= submission.count
        if not self._held_by_storefront[submission.storefront_id]:
            del self._held_by_storefront[submission.storefront_id]
        if submission.done.done():
            return  # its sender has hung up
        if error is not None:
            submission.done.set_exception(error)
            submission.done.exception()  # marks it as seen, though its sender may have hung up
        else:
            submission.done.set_result(outcomes or [])

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            batch = self._take()
            if batch:
                await self._flush(batch)

    def _take(self) -> list[Submission]:
        batch: list[Submission] = []
        count = 0
        while self._waiting and (not batch or count + self._waiting[0].count <= self._limits.flush_max_events):
            submission = self._waiting.popleft()
            batch.append(submission)
            count += submission.count
        if not self._waiting:
            self._work.clear()
        return batch

    async def _flush(self, batch: list[Submission]) -> None:
        """Commit a batch and answer its submissions. Never raises: whatever goes wrong is their answer."""
        started = time.monotonic()
        try:
            outcomes = await self._store(batch)
        except UnstorableError as error:
            await self._store_apart(batch, error)
        except SinkUnavailable as error:
            self._fail(batch, error.reason, error)
        except Exception as error:  # noqa: BLE001  # a bug in the sink must not end the writer; logged, counted, answered
            self._fail(batch, "database", error)
        else:
            self._metrics.flush_seconds.observe(time.monotonic() - started)
            self._metrics.flush_batch_events.observe(len(outcomes))
            self._answer(batch, outcomes)

    async def _store(self, batch: Sequence[Submission]) -> list[Outcome]:
        events = [event for submission in batch for event in submission.events]
        refused = [event for submission in batch for event in submission.refused]
        received = [part for submission in batch for part in submission.received]
        return await self._commit(events, refused, received)

    async def _commit(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        """The sink within the time limit. Raises SinkUnavailable or UnstorableError."""
        try:
            async with asyncio.timeout(self._limits.flush_timeout_seconds):
                return await self._sink.store(events, refused, received)
        except TimeoutError as error:
            raise SinkUnavailable("timeout", "storage did not answer in time") from error

    def _answer(self, batch: Sequence[Submission], outcomes: Sequence[Outcome]) -> None:
        start = 0
        for submission in batch:
            end = start + len(submission.events)
            self._finish(submission, list(outcomes[start:end]))
            start = end

    def _fail(self, batch: Sequence[Submission], reason: str, error: Exception) -> None:
        self._metrics.flush_failures.labels(reason).inc()
        facts = {"action": "flush_failed", "reason": reason, "requests": len(batch), "error": type(error).__name__}
        if isinstance(error, SinkUnavailable | UnstorableError):
            facts["error"] = str(error)
        else:  # a bug: where it happened, but not its text, which may quote an event
            facts["frames"] = "".join(traceback.format_tb(error.__traceback__))
        logger.error("flush failed", extra=facts)
        for submission in batch:
            self._finish(
                submission,
                error=Unavailable(
                    "Events can't be stored at the moment; send again.",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                ),
            )

    async def _store_apart(self, batch: list[Submission], error: UnstorableError) -> None:
        """Some event can't be stored at all: find it by storing requests, then events, one by one."""
        self._metrics.flush_failures.labels("unstorable").inc()
        logger.error("event can't be stored", extra={"action": "unstorable", "error": str(error)})
        if len(batch) > 1:
            for submission in batch:
                await self._flush([submission])
            return
        submission = batch[0]
        outcomes: list[Outcome] = []
        try:
            for index, event in enumerate(submission.events):
                outcomes += await self._store_or_quarantine(index, event)
            if submission.refused or submission.received:
                await self._commit([], submission.refused, submission.received)
        except Exception as failure:  # noqa: BLE001  # as in _flush: a writer never ends
            self._fail(batch, "unstorable", failure)
        else:
            self._finish(submission, outcomes)

    async def _store_or_quarantine(self, index: int, event: Event) -> list[Outcome]:
        try:
            return await self._commit([event], [])
        except UnstorableError:
            detail = "The database can't hold this event; it is kept for inspection."
            raw = json.dumps(asdict(event), default=str).encode()
            rejection = Rejection(index, RejectReason.UNSTORABLE, "", detail, raw)
            await self._commit(
                [],
                [RefusedEvent(event.storefront_id, "native", event.trust, event.received_at, None, rejection)],
            )
            return [Outcome.REJECTED]
