"""The reporting part of the service: the mirror, the reports over it, and the routes for all that is asked and set up.

Imported only by processes that report: DuckDB, Arrow and numba take more memory than everything else.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from fastapi import APIRouter

from app.background import background_threads
from app.domain.ledger import LedgerKey
from app.jobs import Jobs
from app.mirror.follow import Mirror
from app.ops.health import mirror_check
from app.ops.ledger import ledger_router
from app.ops.quarantine import quarantine_router
from app.parts import Parts, close
from app.persons.router import persons_router
from app.reports import REPORTS
from app.reports.answers import Answers
from app.reports.funnel import FUNNEL
from app.reports.looks import Looks
from app.reports.published import PublishedFunnels
from app.reports.router import ReportParts, reports_routers
from app.reports.runner import ReportRunner
from app.reports.warm import compile_matchers
from app.storage.funnels import list_published
from app.upkeep import settle_memory

REWRITE_CHECK_SECONDS = 5


class Reporting:
    """On a mirror that is open."""

    def __init__(self, parts: Parts, mirror: Mirror) -> None:
        self._parts = parts
        self._mirror = mirror
        self._compiled = asyncio.Event()
        self._answers = _open_answers(parts, mirror, self._compiled)
        self.check = mirror_check(mirror, parts.settings.mirror_lag_max_seconds)
        parts.metrics.watch_mirror(mirror.lag_seconds, lambda: mirror.progress.event_count if mirror.progress else 0)
        for report in REPORTS:
            parts.metrics.report_seconds.labels(report.name)  # so that zeros exist before the first

    def start(self) -> None:
        """Follow Postgres, compile, keep answers and published funnels fresh."""
        _look_after_mirror(self._parts.jobs, self._mirror, self._parts.settings.mirror_interval_seconds)
        _look_after_answers(self._parts, self._answers)
        self._parts.jobs.run_once("compile", _compile(self._compiled))

    def routers(self, pending: Callable[[], Mapping[LedgerKey, int]]) -> Iterable[APIRouter]:
        """pending: what this process holds that the ledger in Postgres does not know of yet."""
        parts = self._parts
        published_max = parts.settings.published_funnels_max
        return (
            *reports_routers(ReportParts(parts.keys, parts.engine, self._answers, published_max, parts.reading)),
            persons_router(parts.url, parts.keys, parts.clock),
            quarantine_router(parts.reading, parts.keys),
            ledger_router(parts.reading, parts.keys, parts.clock, pending),
        )


async def open_reporting(parts: Parts, stack: AsyncExitStack) -> Reporting:
    mirror = Mirror(
        parts.settings.data_dir / "mirror.duckdb",
        parts.url.libpq,
        memory_bytes=parts.settings.mirror_memory_bytes,
        cache_bytes=parts.settings.report_cache_bytes,
    )
    await asyncio.to_thread(mirror.open)
    stack.push_async_callback(close, partial(asyncio.to_thread, mirror.close))
    return Reporting(parts, mirror)


def _open_answers(parts: Parts, mirror: Mirror, compiled: asyncio.Event) -> Answers:
    settings, timeout_seconds = parts.settings, parts.settings.report_timeout_seconds
    runner = ReportRunner(
        mirror,
        concurrency=settings.report_concurrency,
        timeout_seconds=timeout_seconds,
        metrics=parts.metrics,
        compiled=compiled,
    )
    looks = Looks(mirror, timeout_seconds=timeout_seconds)
    return Answers(mirror, looks, runner, cache_bytes=settings.report_results_bytes, metrics=parts.metrics)


def _look_after_answers(parts: Parts, answers: Answers) -> None:
    settings, interval_seconds = parts.settings, parts.settings.publish_interval_seconds
    load = partial(list_published, parts.reading, settings.published_funnels_max)
    ask = partial(answers.result, FUNNEL)
    published = PublishedFunnels(load, ask, parts.metrics, parts.clock, retry_seconds=interval_seconds)
    parts.jobs.repeat("outdated answers", answers.drop_outdated, settings.mirror_interval_seconds)
    parts.jobs.repeat("published funnels", published.refresh, interval_seconds)


def _look_after_mirror(jobs: Jobs, mirror: Mirror, interval_seconds: float) -> None:
    async def follow() -> None:
        await asyncio.to_thread(mirror.catch_up)

    async def rewrite() -> None:
        await asyncio.to_thread(mirror.rewrite_when_due)

    jobs.repeat("follow", follow, interval_seconds)
    jobs.repeat("rewrite mirror", rewrite, REWRITE_CHECK_SECONDS)


async def _compile(compiled: asyncio.Event) -> None:
    """Sets it when it is done, and the compiler's many objects are there.

    In a thread of its own, since the end of the loop waits for the loop's, and a stop need not wait for a compiler.
    """
    threads = background_threads(1)
    try:
        await asyncio.get_running_loop().run_in_executor(threads, compile_matchers)
    finally:
        threads.shutdown(wait=False)
        compiled.set()
    settle_memory()
