"""The disk queue for when Postgres is away: bounded, and on disk before an append returns.

All work on the file happens in one thread. What several callers append at the same time shares a commit.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from app.clock import Clock
from app.domain.event import Event
from app.domain.ledger import LedgerKey
from app.domain.outcome import RefusedEvent, SpoolFull
from app.ingest.sink import Batch
from app.ingest.spool.recovering import RecoveringFile, SpooledBatch, Without

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Append = tuple[Batch, asyncio.Future[None]]


class Spool:
    """Open it before use. It survives a file that can't be used: then appending raises SpoolFull, as when it is full.

    turn: held from reading batches until they are removed, and while they are rewritten.
    """

    def __init__(self, path: Path, max_bytes: int, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._file = RecoveringFile(path, max_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: list[Append] = []
        self._writing: list[Append] = []
        self._appending: asyncio.Task[None] | None = None
        self.turn = asyncio.Lock()

    async def open(self) -> None:
        try:
            await self._run(self._file.open)
        except SpoolFull as error:
            facts = {"action": "spool_unusable", "error": str(error)}
            logger.error("spool can't be used", extra=facts)  # noqa: TRY400  # the reason is no bug of ours

    async def close(self) -> None:
        """Finishes what is being appended."""
        if self._appending is not None:
            await self._appending
        await self._run(self._file.close)
        self._thread.shutdown()

    @property
    def empty(self) -> bool:
        return not self._file.batch_count and not self._waiting and not self._writing

    @property
    def usable(self) -> bool:
        """Whether the last thing tried with its file worked."""
        return self._file.trouble is None

    @property
    def event_count(self) -> int:
        return self._file.event_count

    @property
    def size_bytes(self) -> int:
        """Of its file."""
        return self._file.size_bytes

    @property
    def lost_count(self) -> int:
        """Events that a damaged file did not give back."""
        return self._file.lost_count

    @property
    def takes_events(self) -> bool:
        return self.usable and not self._file.full

    def state(self) -> tuple[bool, str]:
        """Whether it takes events, and what there is to say of it."""
        facts = [f"{self.event_count} events wait, the oldest for {self.oldest_age_seconds():.0f} s"]
        if self.empty:
            facts = ["empty"]
        if self._file.full:
            facts.append("full")
        if self._file.trouble is not None:
            facts.append(f"can't be used: {self._file.trouble}")
        if put_aside := self.put_aside():
            facts.append(f"was damaged: see {', '.join(put_aside)}")
        return self.takes_events, "; ".join(facts)

    def oldest_age_seconds(self) -> float:
        oldest_at = self._file.oldest_at
        return 0.0 if oldest_at is None else max(0.0, (self._clock.now() - oldest_at).total_seconds())

    def pending(self) -> Mapping[LedgerKey, int]:
        """Events received that the ledger in Postgres does not know of yet, per line of the ledger."""
        return dict(self._file.pending)

    def put_aside(self) -> list[str]:
        """Names of damaged files that were put aside and are still there."""
        return sorted(path.name for path in self._path.parent.glob(f"{self._path.stem}.damaged-*{self._path.suffix}"))

    async def append(self, batch: Batch) -> None:
        """On disk when this returns. Raises SpoolFull, or UnstorableError for text that UTF-8 can't express.

        Cancelled before it is being written, it never is: its sender, told to repeat it, would have it twice.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, done))
        if self._appending is None or self._appending.done():
            self._appending = asyncio.create_task(self._append_waiting(), name="spool append")
        try:
            await done
        except asyncio.CancelledError:
            self._waiting = [append for append in self._waiting if append[1] is not done]
            raise

    async def read(self, max_events: int) -> list[SpooledBatch]:
        """The oldest batches: at most max_events events, but at least one batch unless there is none."""
        return await self._run(self._file.read, max_events)

    async def remove(self, batches: Sequence[SpooledBatch]) -> None:
        """Forget the oldest batches, these, as `read` gave them."""
        await self._run(self._file.remove, batches)

    async def erase(
        self, matches: Callable[[Event], bool], matches_refused: Callable[[RefusedEvent], bool] = lambda _: False
    ) -> int:
        """Take events out for good, and return how many there were. Raises SpoolFull when that can't be done."""
        async with self.turn:
            return await self._run(self._file.erase, Without(matches, matches_refused))

    async def _append_waiting(self) -> None:
        while self._waiting:
            taken = self._writing = self._waiting
            self._waiting = []
            results: Sequence[Exception | None]
            try:
                results = await self._run(self._write, taken)
            except Exception as error:  # noqa: BLE001  # those who wait get it
                results = [error] * len(taken)
            self._writing = []
            for (_, done), failure in zip(taken, results, strict=True):
                if done.done():
                    continue  # its caller has gone
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)

    def _write(self, appends: Sequence[Append]) -> Sequence[Exception | None]:
        """In the thread. Whoever gave up while that was busy is left out."""
        results: list[Exception | None] = [None] * len(appends)
        wanted = [place for place, (_, done) in enumerate(appends) if not done.cancelled()]
        for place, result in zip(wanted, self._file.append([appends[place][0] for place in wanted]), strict=True):
            results[place] = result
        return results

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))
