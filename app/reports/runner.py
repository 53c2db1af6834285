"""Runs a report: catch up, scan, answer; in a worker thread, a bounded number at once, within a time limit."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import duckdb

from app.errors import FootfallError, OverTimeLimit, TooMany, Unavailable
from app.metrics import Metrics
from app.mirror.follow import Mirror
from app.mirror.scan import Scan, open_scan

logger = logging.getLogger(__name__)

# Requests that may wait for each running report before more are turned away.
QUEUE_PER_SLOT = 8
RETRY_AFTER_SECONDS = 2

T = TypeVar("T")


class ReportTooLarge(FootfallError):
    """The report is too large"""

    status = 507
    type_slug = "report-too-large"


class ReportRunner:
    def __init__(self, mirror: Mirror, *, concurrency: int, timeout_seconds: float, metrics: Metrics) -> None:
        self._mirror = mirror
        self._slots = asyncio.Semaphore(concurrency)
        self._held_max = concurrency * (1 + QUEUE_PER_SLOT)
        self._held = 0
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics

    async def run(self, report_name: str, storefront_id: int, work: Callable[[Scan], T]) -> T:
        """What `work` makes of a scan that holds everything stored so far.

        Raises 429, 503 or 504 as FootfallError, and what `work` raises.
        """
        if self._held >= self._held_max:
            raise TooMany("Too many reports are asked for at once.", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._held += 1
        try:
            await self._slots.acquire()
        except BaseException:
            self._held -= 1
            raise
        with self._metrics.report_seconds.labels(report_name).time():
            return await self._run(storefront_id, work)

    async def _run(self, storefront_id: int, work: Callable[[Scan], T]) -> T:
        """The answer within the time limit. The slot is free when the thread has ended, which can be later."""
        started: list[Scan] = []
        task = asyncio.create_task(asyncio.to_thread(self._work, storefront_id, work, started))
        task.add_done_callback(self._release)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_seconds)
            if done:
                return task.result()
            if not started:
                raise Unavailable(
                    f"The database did not give its newest events within {self._timeout_seconds:g} seconds: it does "
                    "not answer, or the mirror is being built; try again.",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            raise OverTimeLimit(
                f"The report took longer than {self._timeout_seconds:g} seconds; "
                "shorten the range or add conditions to the first step."
            )
        finally:
            if started and not task.done():  # over the limit, or the client has gone
                started[0].interrupt()

    def _release(self, task: asyncio.Task[Any]) -> None:
        self._slots.release()
        self._held -= 1
        if not task.cancelled():
            task.exception()  # marks it as seen, though nobody may wait for it any more

    def _work(self, storefront_id: int, work: Callable[[Scan], T], started: list[Scan]) -> T:
        try:
            self._mirror.catch_up()
        except FootfallError:
            raise
        except Exception as error:  # whatever the drivers raise when Postgres is away
            logger.warning("mirror can't catch up", extra={"action": "mirror_behind", "error": str(error)})
            raise Unavailable(
                "The database can't be reached, so the report would be stale; try again.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from error
        try:
            with self._mirror.noticing_damage(), open_scan(self._mirror, storefront_id) as scan:
                started.append(scan)
                return work(scan)
        except duckdb.OutOfMemoryException as error:
            detail = (
                "The report needs more memory than it may use; shorten the range or raise FOOTFALL_MIRROR_MEMORY_BYTES."
            )
            raise ReportTooLarge(detail) from error
