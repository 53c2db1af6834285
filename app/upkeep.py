"""What the service does beside answering, in every role: it keeps tables and its own memory in order."""

import asyncio
import atexit
import gc
from datetime import date
from functools import cache, partial

from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.config import Settings
from app.errors import FootfallError
from app.jobs import Jobs, attempt, until_done, within
from app.metrics import Metrics
from app.ops.ledger_watch import AUDIT_INTERVAL_SECONDS, WATCH_INTERVAL_SECONDS, LedgerWatch
from app.persons.eraser import WATCH_SECONDS, Eraser
from app.storage.database import DatabaseUrl, current_revision, is_behind, migrate
from app.storage.partitions import ensure_months, months_ahead
from app.storage.retention import enforce_retention

MIGRATION_RETRY_SECONDS = 2.0
ERASE_INTERVAL_SECONDS = 1
PARTITION_CHECK_SECONDS = 600
RETENTION_CHECK_SECONDS = 60  # it runs once a day
PARTITION_START_SECONDS = 15  # a start does not wait longer for partitions: events do without
# New objects between two looks for garbage: as many as a thousand requests hold that wait for their commit. With fewer
# they are looked through again and again: with Python's own 700 that is a tenth of all work, with 20,000 a thirtieth.
YOUNG_OBJECTS = 100_000


async def ready_tables(jobs: Jobs, settings: Settings, engine: AsyncEngine, url: DatabaseUrl, clock: Clock) -> None:
    """At the start, or as soon as Postgres is there."""
    if not await attempt("start", lambda: within(PARTITION_START_SECONDS, _ready_tables(settings, engine, clock))):
        catch_up = partial(_catch_up_start, settings, engine, url, clock)
        jobs.run_once("migrate later", until_done("migrations", catch_up, MIGRATION_RETRY_SECONDS))


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


def watch_over_tables(
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


def look_after_erasures(jobs: Jobs, eraser: Eraser) -> None:
    jobs.repeat("erasures watched", eraser.watch, WATCH_SECONDS)
    jobs.repeat("erasures from the spool", eraser.clear_spool, ERASE_INTERVAL_SECONDS)
    jobs.repeat("erasures", eraser.work, ERASE_INTERVAL_SECONDS)


@cache
def settle_memory() -> None:
    """Everything that stays for good is there: the garbage collector need not look through it again and again.

    With a compiler's many objects a full collection takes 0.1 s, in which no request is answered. Once in a process;
    for its end, libraries want what is frozen to be freed like everything else.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    atexit.register(gc.unfreeze)
