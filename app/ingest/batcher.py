"""Groups the events of many requests into one commit; a request waits for the commit its events ride in."""

import asyncio
import contextlib
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable, SpoolFull, UnstorableError
from app.errors import InsufficientStorage, RetryLater, TooMany, Unavailable
from app.ingest.apart import native_json, store_apart
from app.ingest.line import FairLine
from app.ingest.notes import Notes
from app.ingest.sink import Batch, EventSink, store_in_time
from app.logs import Seldom
from app.metrics import Metrics

logger = logging.getLogger(__name__)

# How long the ledger may wait for what it is told when there are no events to commit.
NOTE_SECONDS = 1.0
# A storefront may fill half of the buffer: one shop in a sale must not shut out the others.
STOREFRONT_SHARE = 0.5
# What one commit may hold that goes beside those of the writers: written in a few ms.
SMALL_MAX_EVENTS = 100
# A writer rests this long after a commit, so that the next one holds more: that takes a quarter of all work off a busy
# process. Where little comes, another writer is free meanwhile.
REST_SECONDS = 0.003
FAILED_LOG_SECONDS = 10.0  # the disk that the log is on may be the one that is full
RETRY_AFTER_SECONDS = 2
FULL_RETRY_AFTER_SECONDS = 10  # room on disk does not come as soon


@dataclass(slots=True)
class Submission:
    """One request's part of a commit.

    size_bytes: of its body, for the bound on memory. raw_of: the bytes, as received, of the event at a place in
    `events`; asked only for events that can't be stored.
    """

    storefront_id: int
    events: Sequence[Event]
    refused: Sequence[RefusedEvent]
    size_bytes: int
    received: Sequence[Received] = ()
    raw_of: Callable[[int], bytes] | None = None
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
    """Bounded buffer in front of the sink.

    `writers` commits may be under way at once, and one more of little: of storefronts that have no other under way.
    """

    def __init__(self, sink: EventSink, limits: BatcherLimits, *, writers: int, metrics: Metrics) -> None:
        self._sink = sink
        self._limits = limits
        self._metrics = metrics
        self._waiting: FairLine[Submission] = FairLine()
        self._notes = Notes()
        self._unfinished: dict[int, Submission] = {}
        self._events_held = 0
        self._bytes_held = 0
        self._held_by_storefront: Counter[int] = Counter()
        self._under_way: Counter[int] = Counter()  # commits, by storefront
        self._failed = Seldom(FAILED_LOG_SECONDS)
        self._work = asyncio.Event()
        self._small_work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._writers = [asyncio.create_task(self._write(), name=f"writer {n}") for n in range(writers)]
        self._writers.append(asyncio.create_task(self._write_small(), name="writer of little"))
        metrics.watch_buffer(lambda: self._events_held, self.oldest_age_seconds)

    async def submit(self, submission: Submission) -> list[Outcome]:
        """Returns what became of each event once they are durable. Raises as `put`, and what kept them from that."""
        self.put(submission)
        return await submission.done

    def put(self, submission: Submission) -> None:
        """`submission.done` says when they are durable. Raises TooMany (429) or Unavailable (503): there is no room.

        A sender that hangs up may cancel that future: the commit, in which others ride, goes on.
        """
        self._admit(submission)
        self._waiting.append(submission.storefront_id, submission.count, submission)
        self._work.set()
        if submission.storefront_id not in self._under_way:
            self._small_work.set()

    def note(self, received: Received) -> None:
        """For the ledger: requests of which no event is left. Rides in the next commit, or soon in one of its own."""
        if self._notes.add(received):
            asyncio.get_running_loop().call_later(NOTE_SECONDS, self._work.set)

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
                if self._notes:
                    await self._flush([])
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
            batch = self._waiting.take(self._limits.flush_max_events)
            if not self._waiting:
                self._work.clear()
            if batch or self._notes:
                await self._flush(batch)
                await asyncio.sleep(REST_SECONDS)

    async def _write_small(self) -> None:
        """So that whoever sends little does not wait for the large commits of others."""
        while True:
            await self._small_work.wait()
            self._small_work.clear()
            await asyncio.sleep(0)  # an idle writer goes first
            batch = self._waiting.take_small(SMALL_MAX_EVENTS, self._under_way)
            if batch:
                await self._flush(batch)

    async def _flush(self, submissions: list[Submission]) -> None:
        """Commit and answer. Never raises: whatever goes wrong is the answer."""
        started = time.monotonic()
        storefronts = {submission.storefront_id for submission in submissions}
        self._under_way.update(storefronts)
        notes = self._notes.take()
        batch = Batch(
            [event for submission in submissions for event in submission.events],
            [event for submission in submissions for event in submission.refused],
            [part for submission in submissions for part in submission.received] + notes,
        )
        try:
            outcomes = await store_apart(self._commit, batch, lambda place: _raw_of(submissions, place))
        except Exception as error:  # noqa: BLE001  # a bug in the sink must not end the writer; logged, counted, answered
            for note in notes:
                self.note(note)
            self._fail(submissions, error)
        else:
            self._metrics.flush_seconds.observe(time.monotonic() - started)
            self._metrics.flush_batch_events.observe(len(outcomes))
            if Outcome.REJECTED in outcomes:
                self._metrics.flush_failures.labels("unstorable").inc()
            self._answer(submissions, outcomes)
        finally:
            self._under_way -= Counter(storefronts)

    async def _commit(self, batch: Batch) -> list[Outcome]:
        return await store_in_time(self._sink, batch, self._limits.flush_timeout_seconds)

    def _answer(self, batch: Sequence[Submission], outcomes: Sequence[Outcome]) -> None:
        start = 0
        for submission in batch:
            end = start + len(submission.events)
            self._finish(submission, list(outcomes[start:end]))
            start = end

    def _fail(self, batch: Sequence[Submission], error: Exception) -> None:
        fallback = "unstorable" if isinstance(error, UnstorableError) else "database"
        reason = error.reason if isinstance(error, SinkUnavailable) else fallback
        facts = {"action": "flush_failed", "reason": reason, "requests": len(batch), "error": type(error).__name__}
        if isinstance(error, SinkUnavailable | UnstorableError):
            facts["error"] = str(error)
        else:  # a bug: where it happened, but not its text, which may quote an event
            facts["frames"] = "".join(traceback.format_tb(error.__traceback__))
        self._metrics.flush_failures.labels(reason).inc()
        if failures := self._failed.due(f"{reason} {type(error).__name__}"):
            logger.error("flush failed", extra={**facts, "failures": failures})
        for submission in batch:
            self._finish(submission, error=_answer_to(error))


def _answer_to(error: Exception) -> RetryLater:
    if isinstance(error, SpoolFull):
        detail = "Postgres is away, and there is no room on disk to keep events until it is back; send again later."
        return InsufficientStorage(detail, retry_after_seconds=FULL_RETRY_AFTER_SECONDS)
    detail = "Events can't be stored at the moment; send again."
    return Unavailable(detail, retry_after_seconds=RETRY_AFTER_SECONDS)


def _raw_of(submissions: Sequence[Submission], place: int) -> bytes:
    """The bytes of the event at a place in a batch, as received."""
    for submission in submissions:
        if place < len(submission.events):
            return submission.raw_of(place) if submission.raw_of else native_json(submission.events[place])
        place -= len(submission.events)
    raise IndexError(place)
