"""Joins the parts together: the only place that knows them all."""

import asyncio
import atexit
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import date
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Receive, Scope, Send

from app import problems
from app.background import background_threads
from app.clock import Clock, SystemClock
from app.config import KEYS_FILE, Settings
from app.domain.outcome import FAILURE_REASONS, Outcome, RejectReason
from app.domain.stages import DEFAULT_STAGES
from app.errors import FootfallError
from app.ingest.batcher import Batcher, BatcherLimits
from app.ingest.context.country import Countries
from app.ingest.cookieless import CookielessKeys
from app.ingest.formats import FORMATS
from app.ingest.gate import Gate
from app.ingest.limits import RateLimits
from app.ingest.openapi import describe_ingest
from app.ingest.parts import IngestParts
from app.ingest.router import INGEST_STEPS, IngestEndpoint, ingest_endpoints
from app.ingest.sink import EventSink
from app.ingest.spool.drain import Drain
from app.ingest.spool.queue import Spool
from app.ingest.spool.sink import SpoolingSink
from app.ingest.stubs import stubs_router
from app.jobs import Jobs, attempt, until_done, within
from app.metrics import Metrics
from app.mirror.follow import Mirror
from app.observe import ObserveRequests
from app.ops.health import database_checks, flag_check, mirror_check, state_check
from app.ops.ledger import ledger_router
from app.ops.ledger_watch import AUDIT_INTERVAL_SECONDS, WATCH_INTERVAL_SECONDS, LedgerWatch
from app.ops.quarantine import quarantine_router
from app.ops.router import ops_router
from app.persons.eraser import WATCH_SECONDS, Eraser, NoSpool
from app.persons.router import persons_router
from app.reports import REPORTS
from app.reports.answers import Answers
from app.reports.funnel import FUNNEL
from app.reports.looks import Looks
from app.reports.published import PublishedFunnels
from app.reports.router import ReportParts, reports_routers
from app.reports.runner import ReportRunner
from app.reports.warm import compile_matchers
from app.storage.database import (
    DatabaseUrl,
    create_engine,
    create_ingest_pool,
    create_report_engine,
    current_revision,
    is_behind,
    migrate,
)
from app.storage.events import PostgresSink
from app.storage.funnels import list_published
from app.storage.key_cache import CachedKeys
from app.storage.partitions import ensure_months, months_ahead
from app.storage.renewable import RenewableSink
from app.storage.retention import enforce_retention
from app.storage.salts import REFRESH_SECONDS as SALT_REFRESH_SECONDS
from app.storage.salts import DailySalts
from app.tracker.router import tracker_router

logger = logging.getLogger(__name__)

VERSION = version("footfall")
SPARE_THREADS = 6  # beside those of reports: the mirror's follower, its rewriting, small files, look-ups of names
MIGRATION_RETRY_SECONDS = 2.0
CLOSE_SECONDS = 3.0
PARTITION_CHECK_SECONDS = 600
ERASE_INTERVAL_SECONDS = 1
SWITCH_SECONDS = 0.001  # for the event loop to take over from a thread; Python's own 5 ms add up over a request
# New objects between two looks for garbage; with Python's own 700, events that wait for their commit are looked
# through again and again, a tenth of all work.
YOUNG_OBJECTS = 20_000
RETENTION_CHECK_SECONDS = 60  # it runs once a day
REWRITE_CHECK_SECONDS = 5
SALT_START_SECONDS = 2  # a start waits no longer; without, cookieless visitors of today are counted once more
PARTITION_START_SECONDS = 15  # a start does not wait longer for partitions: events do without


class Application(FastAPI):
    """FastAPI with the ingest endpoints ahead of its middleware and routing, which cost more than they do."""

    def __init__(self, *, metrics: Metrics, **options: Any) -> None:
        super().__init__(**options)
        self.ingest: dict[str, IngestEndpoint] = {}
        self.metrics = metrics
        self.stopping = False  # set by the server, a while before the lifespan ends
        self._observed = ObserveRequests(self._dispatch, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._observed(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.ingest.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None:
            await endpoint(scope, receive, send)
        elif scope["type"] == "http" and self._announces_too_much(scope):
            await problems.too_large_response(scope)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _announces_too_much(self, scope: Scope) -> bool:
        """Starlette, which stops bodies that become too large on their way, would answer this with plain text."""
        announced = dict(scope["headers"]).get(b"content-length", b"")
        return announced.isdigit() and self.max_body_size is not None and int(announced) > self.max_body_size


def create_app(
    settings: Settings,
    url: DatabaseUrl,
    *,
    clock: Clock | None = None,
    sink: EventSink | None = None,
    postgres_restarts: Callable[[], int] = lambda: 0,
) -> Application:
    """The service on a database. clock and sink are for tests; the rest is made from the settings.

    Parts are made when the application starts, and put away when it stops: first no more events are taken, then
    what is held is committed, then connections are closed.
    """
    clock = clock or SystemClock()
    metrics = Metrics()
    metrics.announce(
        version=VERSION,
        formats=[wire_format.name for wire_format in FORMATS],
        outcomes=list(Outcome),
        reasons=list(RejectReason),
        stages=[stage.name for stage in DEFAULT_STAGES],
        steps=INGEST_STEPS,
        reports=[report.name for report in REPORTS],
        failures=FAILURE_REASONS,
    )
    metrics.postgres_restarts.set_function(postgres_restarts)

    def lifespan(started: FastAPI) -> AbstractAsyncContextManager[None]:
        assert isinstance(started, Application)
        return _lifespan(started, settings, url, clock, metrics, sink)

    app = Application(
        metrics=metrics,
        max_body_size=settings.request_max_bytes,
        responses={"default": problems.PROBLEM_RESPONSE},
        # Their pages would load scripts from elsewhere, on the address where keys are used.
        docs_url=None,
        redoc_url=None,
        title="Footfall",
        version=VERSION,
        description="Event tracking for storefronts: events in, funnels and drop-off out.",
        lifespan=lifespan,
    )
    problems.install(app)
    describe_ingest(app)
    app.include_router(stubs_router())
    app.include_router(tracker_router())
    return app


@contextlib.asynccontextmanager
async def _lifespan(
    app: Application,
    settings: Settings,
    url: DatabaseUrl,
    clock: Clock,
    metrics: Metrics,
    sink: EventSink | None,
) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        engine = create_engine(url)
        stack.push_async_callback(_close, engine.dispose)
        reading = create_report_engine(url)
        stack.push_async_callback(_close, reading.dispose)
        sink = sink or _open_sink(settings, url, stack)
        spool = await _open_spool(settings, clock, metrics, stack)
        spooling = spool and SpoolingSink(sink, spool, after_seconds=settings.spool_after_seconds, metrics=metrics)
        batcher = _open_batcher(settings, metrics, spooling or sink)
        mirror = Mirror(
            settings.data_dir / "mirror.duckdb",
            url.libpq,
            memory_bytes=settings.mirror_memory_bytes,
            cache_bytes=settings.report_cache_bytes,
        )
        # Reports and the mirror run in the loop's own threads.
        asyncio.get_running_loop().set_default_executor(background_threads(settings.report_concurrency + SPARE_THREADS))
        await asyncio.to_thread(mirror.open)
        stack.push_async_callback(_close, partial(asyncio.to_thread, mirror.close))
        metrics.watch_mirror(mirror.lag_seconds, lambda: mirror.progress.event_count if mirror.progress else 0)
        jobs = Jobs()
        if not await attempt("start", lambda: within(PARTITION_START_SECONDS, _ready_tables(settings, engine, clock))):
            catch_up = partial(_catch_up_start, settings, engine, url, clock)
            jobs.run_once("migrate later", until_done("migrations", catch_up, MIGRATION_RETRY_SECONDS))
        _look_after_mirror(jobs, mirror, settings.mirror_interval_seconds)
        _watch_over_tables(jobs, engine, url, LedgerWatch(engine, reading, metrics, clock), clock, metrics)
        forget = sink.forget_identities if isinstance(sink, RenewableSink) else lambda: None
        eraser = Eraser(
            engine, url, spool or NoSpool(), forget, commit_seconds=settings.flush_timeout_seconds, metrics=metrics
        )
        jobs.repeat("erasures watched", eraser.watch, WATCH_SECONDS)
        jobs.repeat("erasures from the spool", eraser.clear_spool, ERASE_INTERVAL_SECONDS)
        jobs.repeat("erasures", eraser.work, ERASE_INTERVAL_SECONDS)
        if spooling:
            drain = Drain(
                spooling,
                max_events=settings.flush_max_events,
                timeout_seconds=settings.flush_timeout_seconds,
                metrics=metrics,
            )
            jobs.run("drain", drain.run())
        compiled = _start_compiling(jobs)
        stack.push_async_callback(jobs.stop)
        sys.setswitchinterval(SWITCH_SECONDS)
        large = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")
        stack.callback(large.shutdown, wait=False, cancel_futures=True)
        # The batcher drains before everything else goes: registered last, called first.
        stack.push_async_callback(batcher.drain, settings.flush_timeout_seconds)

        keys = CachedKeys(engine, settings.data_dir / KEYS_FILE if spool else None)
        await keys.load_copy()
        gate, limits = Gate(settings, batcher, metrics), RateLimits(settings, metrics)
        app.ingest = ingest_endpoints(
            IngestParts(
                settings,
                clock,
                keys,
                batcher,
                metrics,
                gate,
                limits,
                large,
                await _open_cookieless(jobs, engine, settings, clock),
                Countries(settings),
            )
        )
        answers = _open_answers(settings, mirror, metrics, compiled)
        _look_after_reports(jobs, settings, reading, answers, clock, metrics)
        for router in reports_routers(ReportParts(keys, engine, answers, settings.published_funnels_max, reading)):
            app.include_router(router)
        checks = [
            flag_check("serving", lambda: not app.stopping, "is stopping"),
            *database_checks(engine, clock),
            mirror_check(mirror, settings.mirror_lag_max_seconds),
            *([state_check("spool", spool.state)] if spool else []),
            flag_check("ingestion", lambda: batcher.healthy, "a writer has died: restart the service"),
            flag_check("background", lambda: jobs.healthy, "a job has died: restart the service"),
        ]
        app.include_router(ops_router(checks, metrics, VERSION))
        app.include_router(persons_router(url, keys, clock))
        app.include_router(quarantine_router(reading, keys))
        app.include_router(ledger_router(reading, keys, clock, spool.pending if spool else dict))
        logger.info("service started", extra={"action": "started", "version": VERSION})
        yield
        logger.info("service stopping", extra={"action": "stopping"})


async def _ready_tables(settings: Settings, engine: AsyncEngine, clock: Clock) -> None:
    """Raises when Postgres is away, or was when it should have been migrated."""
    if settings.migrate_on_start and is_behind(await current_revision(engine)):
        raise FootfallError("The schema is behind; it is migrated now.")
    await ensure_months(engine, clock.now())


async def _catch_up_start(settings: Settings, engine: AsyncEngine, url: DatabaseUrl, clock: Clock) -> None:
    """What is otherwise done at the start, when Postgres was away then. Raises while it still is."""
    async with asyncio.timeout(PARTITION_START_SECONDS):
        await current_revision(engine)
    if settings.migrate_on_start:
        await asyncio.to_thread(migrate, url)
    await ensure_months(engine, clock.now())


def _open_sink(settings: Settings, url: DatabaseUrl, stack: contextlib.AsyncExitStack) -> RenewableSink:
    # Beside the writers: one for small commits, one for what drains the spool.
    connections, timeout_seconds = settings.flush_writers + 2, settings.flush_timeout_seconds
    sink = RenewableSink(
        lambda: create_ingest_pool(url, connections=connections, timeout_seconds=timeout_seconds), PostgresSink
    )
    stack.push_async_callback(sink.close)
    return sink


async def _open_spool(
    settings: Settings, clock: Clock, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> Spool | None:
    if not settings.spool_max_bytes:
        return None
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    spool = Spool(settings.data_dir / "spool.sqlite", settings.spool_max_bytes, clock=clock, metrics=metrics)
    await spool.open()
    stack.push_async_callback(spool.close)
    return spool


def _open_batcher(settings: Settings, metrics: Metrics, sink: EventSink) -> Batcher:
    limits = BatcherLimits(
        settings.buffer_max_events,
        settings.buffer_max_bytes,
        settings.flush_max_events,
        settings.flush_timeout_seconds,
    )
    return Batcher(sink, limits, writers=settings.flush_writers, metrics=metrics)


async def _open_cookieless(jobs: Jobs, engine: AsyncEngine, settings: Settings, clock: Clock) -> CookielessKeys:
    salts = DailySalts(engine, clock)
    await attempt("salts", lambda: within(SALT_START_SECONDS, salts.refresh()))
    jobs.repeat("salts", salts.refresh, SALT_REFRESH_SECONDS)
    return CookielessKeys(salts, settings.trusted_proxies)


def _open_answers(settings: Settings, mirror: Mirror, metrics: Metrics, compiled: asyncio.Event) -> Answers:
    timeout_seconds = settings.report_timeout_seconds
    runner = ReportRunner(
        mirror,
        concurrency=settings.report_concurrency,
        timeout_seconds=timeout_seconds,
        metrics=metrics,
        compiled=compiled,
    )
    looks = Looks(mirror, timeout_seconds=timeout_seconds)
    return Answers(mirror, looks, runner, cache_bytes=settings.report_results_bytes, metrics=metrics)


def _look_after_reports(
    jobs: Jobs, settings: Settings, reading: AsyncEngine, answers: Answers, clock: Clock, metrics: Metrics
) -> None:
    interval_seconds = settings.publish_interval_seconds
    load = partial(list_published, reading, settings.published_funnels_max)
    ask = partial(answers.result, FUNNEL)
    published = PublishedFunnels(load, ask, metrics, clock, retry_seconds=interval_seconds)
    jobs.repeat("outdated answers", answers.drop_outdated, settings.mirror_interval_seconds)
    jobs.repeat("published funnels", published.refresh, interval_seconds)


def _watch_over_tables(
    jobs: Jobs, engine: AsyncEngine, url: DatabaseUrl, ledger: LedgerWatch, clock: Clock, metrics: Metrics
) -> None:
    """Partitions ahead, the ledger's sums, and what is older than its storefront keeps it."""
    retained_on: date | None = None

    async def partitions() -> None:
        await ensure_months(engine, clock.now())
        metrics.partitions_ahead_months.set(await months_ahead(engine, clock.now()))

    async def retain() -> None:
        nonlocal retained_on
        today = clock.now().date()
        if today != retained_on:
            metrics.removed_events.labels("retention").inc(await enforce_retention(engine, url, clock.now()))
            retained_on = today

    jobs.repeat("partitions", partitions, PARTITION_CHECK_SECONDS)
    jobs.repeat("ledger", ledger.settle_and_compare, WATCH_INTERVAL_SECONDS)
    jobs.repeat("audit", ledger.audit_last_hour, AUDIT_INTERVAL_SECONDS)
    jobs.repeat("retention", retain, RETENTION_CHECK_SECONDS)


def _look_after_mirror(jobs: Jobs, mirror: Mirror, interval_seconds: float) -> None:
    async def follow() -> None:
        await asyncio.to_thread(mirror.catch_up)

    async def rewrite() -> None:
        await asyncio.to_thread(mirror.rewrite_when_due)

    jobs.repeat("follow", follow, interval_seconds)
    jobs.repeat("rewrite mirror", rewrite, REWRITE_CHECK_SECONDS)


def _start_compiling(jobs: Jobs) -> asyncio.Event:
    """Which is set when it is done."""
    compiled = asyncio.Event()
    jobs.run_once("compile", _compile(compiled))
    return compiled


async def _compile(compiled: asyncio.Event) -> None:
    """In a thread of its own, since the end of the loop waits for the loop's, and a stop need not wait for a compiler.

    Then everything that stays for good is there. The garbage collector need not look through it again and again:
    with the compiler's many objects a full collection takes 0.1 s, in which no request is answered.
    """
    threads = background_threads(1)
    try:
        await asyncio.get_running_loop().run_in_executor(threads, compile_matchers)
    finally:
        threads.shutdown(wait=False)
        compiled.set()
    _settle_memory()


@cache
def _settle_memory() -> None:
    """Once in a process; for its end, libraries want what is frozen to be freed like everything else."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    atexit.register(gc.unfreeze)


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    """A server that hangs must not hold up the stop. What waits for it in a thread is left behind with its thread."""
    try:
        await within(CLOSE_SECONDS, close())
    except TimeoutError:
        logger.warning("left open at the stop", extra={"action": "left_open"})
        asyncio.get_running_loop().set_default_executor(background_threads(1))  # the end of a loop waits for its own
