"""Joins the parts together: the only place that knows them all."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
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
from app.jobs import Jobs, attempt, within
from app.metrics import Metrics
from app.mirror.follow import Mirror
from app.observe import ObserveRequests
from app.ops.health import database_checks, flag_check, mirror_check, state_check
from app.ops.ledger import ledger_router
from app.ops.ledger_watch import LedgerWatch
from app.ops.quarantine import quarantine_router
from app.ops.router import ops_router
from app.persons.eraser import Eraser, NoSpool
from app.persons.router import persons_router
from app.reports import REPORTS
from app.reports.answers import Answers
from app.reports.looks import Looks
from app.reports.router import ReportParts, reports_routers
from app.reports.runner import ReportRunner
from app.storage.database import (
    DatabaseUrl,
    create_engine,
    create_ingest_pool,
    create_report_engine,
)
from app.storage.events import PostgresSink
from app.storage.key_cache import CachedKeys
from app.storage.renewable import RenewableSink
from app.storage.salts import REFRESH_SECONDS as SALT_REFRESH_SECONDS
from app.storage.salts import DailySalts
from app.tracker.router import tracker_router
from app.upkeep import (
    look_after_erasures,
    look_after_mirror,
    look_after_reports,
    ready_tables,
    start_compiling,
    watch_over_tables,
)

logger = logging.getLogger(__name__)

VERSION = version("footfall")
SPARE_THREADS = 6  # beside those of reports: the mirror's follower, its rewriting, small files, look-ups of names
CLOSE_SECONDS = 3.0
SWITCH_SECONDS = 0.001  # for the event loop to take over from a thread; Python's own 5 ms add up over a request
SALT_START_SECONDS = 2  # a start waits no longer; without, cookieless visitors of today are counted once more


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
        await ready_tables(jobs, settings, engine, url, clock)
        look_after_mirror(jobs, mirror, settings.mirror_interval_seconds)
        watch_over_tables(jobs, engine, url, LedgerWatch(engine, reading, metrics, clock), clock, metrics)
        forget = sink.forget_identities if isinstance(sink, RenewableSink) else lambda: None
        eraser = Eraser(
            engine, url, spool or NoSpool(), forget, commit_seconds=settings.flush_timeout_seconds, metrics=metrics
        )
        look_after_erasures(jobs, eraser)
        if spooling:
            drain = Drain(
                spooling,
                max_events=settings.flush_max_events,
                timeout_seconds=settings.flush_timeout_seconds,
                metrics=metrics,
            )
            jobs.run("drain", drain.run())
        compiled = start_compiling(jobs)
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
        look_after_reports(jobs, settings, reading, answers, clock, metrics)
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


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    """A server that hangs must not hold up the stop. What waits for it in a thread is left behind with its thread."""
    try:
        await within(CLOSE_SECONDS, close())
    except TimeoutError:
        logger.warning("left open at the stop", extra={"action": "left_open"})
        asyncio.get_running_loop().set_default_executor(background_threads(1))  # the end of a loop waits for its own
