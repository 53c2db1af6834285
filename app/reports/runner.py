"""Runs a report: scan, answer; in a worker thread, a bounded number at once, within a time limit."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import duckdb

from app.errors import FootfallError, OverTimeLimit, TooMany
from app.metrics import Metrics
from app.mirror.follow import Mirror
from app.mirror.scan import Scan, open_scan

# Reports that may wait for each running one before more are turned away.
QUEUE_PER_SLOT = 8
RETRY_AFTER_SECONDS = 2
INTERRUPT_SECONDS = 0.1  # between two attempts: one that comes between two queries ends neither

T = TypeVar("T")


class ReportTooLarge(FootfallError):
    """The report is too large"""

    status = 507
    type_slug = "report-too-large"


class GivenUp(Exception):
    """Nobody waits for this report any more."""


class ReportRunner:
    """compiled: set once the matchers are; the first start takes half a minute for that, which is no report's fault."""

    def __init__(
        self,
        mirror: Mirror,
        *,
        concurrency: int,
        timeout_seconds: float,
        metrics: Metrics,
        compiled: asyncio.Event | None = None,
    ) -> None:
        self._mirror = mirror
        self._compiled = compiled
        self._slots = asyncio.Semaphore(concurrency)
        self._held_max = concurrency * (1 + QUEUE_PER_SLOT)
        self._held = 0
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._ending: set[asyncio.Task[None]] = set()

    async def run(
        self, report_name: str, storefront_id: int, work: Callable[[Scan], T], begin: Callable[[], None] = lambda: None
    ) -> T:
        """What `work` makes of a scan of what the mirror holds. Cancelled, it ends the work.

        begin: called before the scan is opened, in the same thread. Raises 429, 503, 504 or 507 as FootfallError, and
        what `work` raises.
        """
        if self._held >= self._held_max:
            raise TooMany("Too many reports are asked for at once.", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._held += 1
        try:
            if self._compiled is not None:
                await self._compiled.wait()
            await self._slots.acquire()
        except BaseException:
            self._held -= 1
            raise
        with self._metrics.report_seconds.labels(report_name).time():
            return await self._run(_Run(self._mirror, storefront_id, work, begin))

    async def _run(self, run: "_Run[T]") -> T:
        """The answer within the time limit. The slot is free when the thread has ended, which can be later."""
        task = asyncio.create_task(asyncio.to_thread(run))
        task.add_done_callback(self._release)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_seconds)
            if done:
                return task.result()
            raise OverTimeLimit(
                f"The report took longer than {self._timeout_seconds:g} seconds; "
                "shorten the range or add conditions to the first step."
            )
        finally:
            if not task.done():  # over the limit, or the client has gone
                ending = asyncio.create_task(_end(task, run))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)

    def _release(self, task: asyncio.Task[Any]) -> None:
        self._slots.release()
        self._held -= 1
        if not task.cancelled():
            task.exception()  # marks it as seen, though nobody may wait for it any more


async def _end(task: asyncio.Task[Any], run: "_Run[Any]") -> None:
    while not task.done():
        run.give_up()
        await asyncio.wait({task}, timeout=INTERRUPT_SECONDS)


@dataclass
class _Run(Generic[T]):
    """One report, called in its thread and given up from another."""

    mirror: Mirror
    storefront_id: int
    work: Callable[[Scan], T]
    begin: Callable[[], None]
    scan: Scan | None = None
    is_given_up: bool = False

    def __call__(self) -> T:
        self.begin()
        try:
            with self.mirror.noticing_damage(), open_scan(self.mirror, self.storefront_id) as self.scan:
                self._check()
                found = self.work(self.scan)
                self._check()  # what a pass makes of its events when it is stopped is no answer
                return found
        except duckdb.OutOfMemoryException as error:
            detail = (
                "The report needs more memory than it may use; shorten the range or raise FOOTFALL_MIRROR_MEMORY_BYTES."
            )
            raise ReportTooLarge(detail) from error

    def give_up(self) -> None:
        self.is_given_up = True
        if self.scan is not None:
            with contextlib.suppress(duckdb.Error):  # it has just been closed
                self.scan.interrupt()

    def _check(self) -> None:
        if self.is_given_up:
            raise GivenUp
