"""Joins the parts together: the only place that knows them all."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app import problems
from app.background import background_threads
from app.clock import Clock, SystemClock
from app.collecting import open_store, start_collecting
from app.config import KEYS_FILE, Role, Settings, Worker
from app.ingest.cors import Header
from app.ingest.formats import FORMATS
from app.ingest.openapi import describe_ingest
from app.ingest.router import IngestEndpoint
from app.ingest.sink import EventSink
from app.ingest.spool.spools import Spools
from app.ingest.stubs import stubs_router
from app.ingest.whole import SendWhole
from app.jobs import Jobs
from app.metrics import Metrics
from app.observe import ObserveRequests
from app.ops.elsewhere import elsewhere_router
from app.ops.health import database_checks, flag_check
from app.ops.ledger_watch import LedgerWatch
from app.ops.router import ops_router
from app.ops.scrape import Scrape
from app.parts import Parts, close
from app.persons.eraser import Eraser
from app.storage.database import DatabaseUrl, create_engine, create_report_engine
from app.storage.key_cache import CachedKeys
from app.tracker.router import TRACKER_PATHS, tracker_router
from app.upkeep import look_after_erasures, ready_tables, settle_memory, watch_over_tables

if TYPE_CHECKING:
    from app.reporting import Reporting

logger = logging.getLogger(__name__)

VERSION = version("footfall")
SPARE_THREADS = 6  # beside those of reports: the mirror's follower, its rewriting, small files, look-ups of names
SWITCH_SECONDS = 0.001  # for the event loop to take over from a thread; Python's own 5 ms add up over a request


class Application(FastAPI):
    """FastAPI with the ingest endpoints ahead of its middleware and routing, which cost more than they do."""

    def __init__(self, *, metrics: Metrics, **options: Any) -> None:
        super().__init__(**options)
        self.ingest: Mapping[str, IngestEndpoint] = {}
        self.metrics = metrics
        self.stopping = False  # set by the server, a while before the lifespan ends
        self._observed = ObserveRequests(self._dispatch, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._observed(scope, receive, send)

    def answer_whole(self, scope: Scope, body: bytes, reply: SendWhole) -> bool:
        """As `WholeRequests.answer`."""
        endpoint = self.ingest.get(scope["path"])
        if endpoint is None:
            return False
        note = self._observed.watch(scope)

        def reply_and_note(status: int, headers: Sequence[Header], content: bytes) -> None:
            reply(status, headers, content)
            note(status)

        return endpoint.answer_whole(scope, body, reply_and_note)

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
    worker: Worker | None = None,
    clock: Clock | None = None,
    sink: EventSink | None = None,
    postgres_restarts: Callable[[], int] = lambda: 0,
) -> Application:
    """The service on a database, or the part of it that its role says.

    worker: which of several this is, if there are several; the settings are its own then. clock and sink are for tests;
    the rest is made from the settings. Parts are made when the application starts, and put away when it stops: first no
    more events are taken, then what is held is committed, then connections are closed.
    """
    clock = clock or SystemClock()
    metrics = Metrics()
    metrics.announce(VERSION)
    metrics.postgres_restarts.set_function(postgres_restarts)

    def lifespan(started: FastAPI) -> AbstractAsyncContextManager[None]:
        assert isinstance(started, Application)
        return _lifespan(started, _Start(settings, url, clock, metrics, worker, sink))

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
    if settings.role.collects:
        describe_ingest(app)
        app.include_router(stubs_router())
        app.include_router(tracker_router())
    _leave_to_others(app, settings.role, worker)
    return app


def _leave_to_others(app: Application, role: Role, worker: Worker | None) -> None:
    """What the other roles answer, and what other processes measure."""
    if not role.collects:
        stubs = [stub.path for wire_format in FORMATS for stub in wire_format.stubs]
        paths = [*(path for wire_format in FORMATS for path in wire_format.paths), *stubs, *TRACKER_PATHS]
        app.include_router(elsewhere_router(paths, here=role, there=Role.COLLECT))
    if not role.reports:
        app.include_router(elsewhere_router(["/v1/{path:path}"], here=role, there=Role.REPORT))
        app.metrics.leave_out(app.metrics.of_reports)
    if worker is not None and not worker.is_first:
        app.metrics.leave_out(app.metrics.of_tables)


class _Start(NamedTuple):
    """What a start is given. sink: instead of Postgres."""

    settings: Settings
    url: DatabaseUrl
    clock: Clock
    metrics: Metrics
    worker: Worker | None
    sink: EventSink | None


@contextlib.asynccontextmanager
async def _lifespan(app: Application, start: _Start) -> AsyncIterator[None]:
    settings, role = start.settings, start.settings.role
    async with AsyncExitStack() as stack:
        parts = _open_parts(start, stack)
        sys.setswitchinterval(SWITCH_SECONDS)
        # Reports and the mirror run in the loop's own threads.
        threads = SPARE_THREADS + (settings.report_concurrency if role.reports else 0)
        asyncio.get_running_loop().set_default_executor(background_threads(threads))
        reporting = await _open_reporting(parts, stack) if role.reports else None
        store = await open_store(parts, start.sink, stack) if role.collects else None
        spools = store.spools if store else Spools()
        stack.push_async_callback(parts.jobs.stop)
        await ready_tables(parts.jobs, settings, parts.engine, parts.url, parts.clock)
        _look_after_tables(parts, spools, store.forget_identities if store else lambda: None)
        await parts.keys.load_copy()

        checks = [
            flag_check("serving", lambda: not app.stopping, "is stopping"),
            *database_checks(parts.engine, parts.clock),
            flag_check("background", lambda: parts.jobs.healthy, "a job has died: restart the service"),
        ]
        if reporting is not None:
            reporting.start()
            checks.append(reporting.check)
            for router in reporting.routers(spools.pending):
                app.include_router(router)
        else:
            settle_memory()
        if store is not None:
            app.ingest, of_ingestion = await start_collecting(parts, store, stack)
            checks += of_ingestion
        scrape = Scrape(parts.metrics, parts.worker)
        await stack.enter_async_context(scrape.answering_others())
        app.include_router(ops_router(checks, scrape, VERSION))
        logger.info("service started", extra={"action": "started", "version": VERSION, "role": role})
        yield
        logger.info("service stopping", extra={"action": "stopping"})


def _open_parts(start: _Start, stack: AsyncExitStack) -> Parts:
    settings = start.settings
    engine, reading = create_engine(start.url), create_report_engine(start.url)
    for each in (engine, reading):
        stack.push_async_callback(close, each.dispose)
    copy = settings.data_dir / KEYS_FILE if settings.role.collects and settings.spool_max_bytes else None
    keys = CachedKeys(engine, copy)
    return Parts(settings, start.url, start.clock, start.metrics, engine, reading, keys, Jobs(), start.worker)


async def _open_reporting(parts: Parts, stack: AsyncExitStack) -> "Reporting":
    from app.reporting import open_reporting  # with a hundred megabytes

    return await open_reporting(parts, stack)


def _look_after_tables(parts: Parts, spools: Spools, forget_identities: Callable[[], None]) -> None:
    jobs, engine, url, metrics, clock = parts.jobs, parts.engine, parts.url, parts.metrics, parts.clock
    if parts.worker is None or parts.worker.is_first:
        watch_over_tables(jobs, engine, url, LedgerWatch(engine, parts.reading, metrics, clock), clock, metrics)
    commit_seconds = parts.settings.flush_timeout_seconds
    look_after_erasures(
        jobs, Eraser(engine, url, spools, forget_identities, commit_seconds=commit_seconds, metrics=metrics)
    )
