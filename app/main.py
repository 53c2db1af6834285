"""Joins the parts together: the only place that knows them all."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Receive, Scope, Send

from app import problems
from app.clock import Clock, SystemClock
from app.config import Settings
from app.domain.outcome import FAILURE_REASONS, Outcome, RejectReason
from app.domain.stages import DEFAULT_STAGES
from app.ingest.batcher import Batcher, BatcherLimits
from app.ingest.formats import FORMATS
from app.ingest.openapi import describe_ingest
from app.ingest.router import INGEST_STEPS, IngestEndpoint, IngestParts, ingest_endpoints
from app.ingest.sink import EventSink
from app.metrics import Metrics
from app.mirror.follow import Mirror
from app.observe import ObserveRequests
from app.ops.health import database_checks, flag_check, mirror_check
from app.ops.router import ops_router
from app.reports import REPORTS
from app.reports.router import ReportParts, reports_routers
from app.reports.runner import ReportRunner
from app.reports.warm import compile_matchers
from app.storage.database import DatabaseUrl, create_engine, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.partitions import ensure_months
from app.storage.storefronts import CachedKeys

logger = logging.getLogger(__name__)

VERSION = version("footfall")
PARTITION_CHECK_SECONDS = 6 * 3600


class Application(FastAPI):
    """FastAPI with the ingest endpoints ahead of its middleware and routing, which cost more than they do."""

    def __init__(self, *, metrics: Metrics, **options: Any) -> None:
        super().__init__(**options)
        self.ingest: dict[str, IngestEndpoint] = {}
        self._observed = ObserveRequests(self._dispatch, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._observed(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.ingest.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None:
            await super().__call__(scope, receive, send)
        else:
            await endpoint(scope, receive, send)


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
        stack.push_async_callback(engine.dispose)
        await _try("partitions", lambda: ensure_months(engine, clock.now()))  # before the first event comes
        batcher = await _open_batcher(settings, url, metrics, sink, stack)
        mirror = Mirror(settings.data_dir / "mirror.duckdb", url.libpq, memory_bytes=settings.mirror_memory_bytes)
        await asyncio.to_thread(mirror.open)
        stack.push_async_callback(asyncio.to_thread, mirror.close)
        metrics.watch_mirror(mirror.lag_seconds, lambda: mirror.progress.event_count if mirror.progress else 0)
        jobs = _start_jobs(settings, engine, mirror, clock, stack)
        # The batcher drains before everything else goes: registered last, called first.
        stack.push_async_callback(batcher.drain, settings.flush_timeout_seconds)

        keys = CachedKeys(engine)
        app.ingest = ingest_endpoints(IngestParts(settings, clock, keys, batcher, metrics))
        runner = ReportRunner(
            mirror,
            concurrency=settings.report_concurrency,
            timeout_seconds=settings.report_timeout_seconds,
            metrics=metrics,
        )
        for router in reports_routers(ReportParts(keys, engine, runner)):
            app.include_router(router)
        checks = [
            *database_checks(engine),
            mirror_check(mirror, settings.mirror_lag_max_seconds),
            flag_check("ingestion", lambda: batcher.healthy, "a writer has died: restart the service"),
            flag_check(
                "background",
                lambda: not any(job.done() for job in jobs),
                "a job has died: restart the service",
            ),
        ]
        app.include_router(ops_router(checks, metrics, VERSION))
        logger.info("service started", extra={"action": "started", "version": VERSION})
        yield
        logger.info("service stopping", extra={"action": "stopping"})


async def _open_batcher(
    settings: Settings,
    url: DatabaseUrl,
    metrics: Metrics,
    sink: EventSink | None,
    stack: contextlib.AsyncExitStack,
) -> Batcher:
    if sink is None:
        pool = create_ingest_pool(
            url, connections=settings.flush_writers, timeout_seconds=settings.flush_timeout_seconds
        )
        await pool
        stack.push_async_callback(_close_pool, pool.close, pool.terminate)
        sink = PostgresSink(pool)
    limits = BatcherLimits(
        settings.buffer_max_events,
        settings.buffer_max_bytes,
        settings.flush_max_events,
        settings.flush_timeout_seconds,
    )
    return Batcher(sink, limits, writers=settings.flush_writers, metrics=metrics)


async def _close_pool(close: Callable[[], Awaitable[None]], terminate: Callable[[], None]) -> None:
    try:
        async with asyncio.timeout(5):
            await close()
    except TimeoutError:
        terminate()


def _start_jobs(
    settings: Settings, engine: AsyncEngine, mirror: Mirror, clock: Clock, stack: contextlib.AsyncExitStack
) -> list[asyncio.Task[None]]:
    """Background work. A job that fails is logged and tried again; one that ends makes /readyz fail."""

    async def partitions() -> None:
        await ensure_months(engine, clock.now())

    async def follow() -> None:
        await asyncio.to_thread(mirror.catch_up)

    jobs = [
        asyncio.create_task(_repeat("partitions", partitions, PARTITION_CHECK_SECONDS)),
        asyncio.create_task(_repeat("follow", follow, settings.mirror_interval_seconds)),
    ]
    compiling = asyncio.create_task(_compile())

    async def stop() -> None:
        for job in (*jobs, compiling):
            job.cancel()
        await asyncio.gather(*jobs, compiling, return_exceptions=True)
        gc.unfreeze()

    stack.push_async_callback(stop)
    return jobs


async def _compile() -> None:
    """Then everything that stays for good is there. The garbage collector need not look through it again and again:
    with the compiler's many objects a full collection takes 0.1 s, in which no request is answered."""
    await asyncio.to_thread(compile_matchers)
    gc.collect()
    gc.freeze()


async def _repeat(name: str, job: Callable[[], Awaitable[None]], interval_seconds: float) -> None:
    well = True
    while True:
        well = await _try(name, job, was_well=well)
        await asyncio.sleep(interval_seconds)


async def _try(name: str, job: Callable[[], Awaitable[None]], *, was_well: bool = True) -> bool:
    """Whether it went well. Logs the first failure and the recovery; /readyz and the lag show what lies between."""
    try:
        await job()
    except Exception as error:  # noqa: BLE001  # the next round may succeed
        if was_well:
            logger.warning("job failed", extra={"action": "job_failed", "job": name, "error": str(error)})
        return False
    if not was_well:
        logger.info("job works again", extra={"action": "job_recovered", "job": name})
    return True
