"""Retention: what is older than its storefront keeps it goes, everything else stays, and ingestion never waits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Event, Trust
from app.domain.ledger import Received
from app.domain.outcome import RefusedEvent, Rejection, RejectReason
from app.storage import retention
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.partitions import ensure_months
from app.storage.persons import work_connection
from app.storage.retention import enforce_retention, set_retention
from app.storage.storefronts import create_storefront, find_storefront
from tests.events import stored_event
from tests.integration.mirror_rows import mirror_at, read

DAY = timedelta(days=1)
TODAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def sink(database: DatabaseUrl) -> AsyncIterator[PostgresSink]:
    async with create_ingest_pool(database, connections=2, timeout_seconds=10) as pool:
        yield PostgresSink(pool)


@pytest.fixture
async def connection(database: DatabaseUrl) -> AsyncIterator[asyncpg.Connection]:
    async with work_connection(database) as connection:
        yield connection


@pytest.fixture
async def shops(engine: AsyncEngine) -> None:
    """Storefront 1 keeps its events for 30 days, storefront 2 for ever."""
    await ensure_months(engine, TODAY)
    for name in ("short", "long"):
        await create_storefront(engine, name, "UTC", "EUR")
    await set_retention(engine, 1, 30)


def event_of(age: timedelta, name: str, storefront_id: int = 1, *, has_time: bool = True) -> Event:
    at = TODAY - age
    event = stored_event(name, storefront_id=storefront_id, client_time=at if has_time else None, occurred_at=at)
    event.received_at = at
    return event


def refused(age: timedelta, storefront_id: int) -> RefusedEvent:
    rejection = Rejection(0, RejectReason.EMPTY, "", "", b"raw")
    return RefusedEvent(storefront_id, "native", Trust.BROWSER, TODAY - age, None, rejection)


async def names(connection: asyncpg.Connection) -> list[str]:
    return [name for [name] in await connection.fetch("SELECT event_name FROM event ORDER BY event_name")]


async def test_older_events_go_and_others_stay(
    engine: AsyncEngine, database: DatabaseUrl, shops: None, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    old = 30 * DAY + timedelta(seconds=1)
    await sink.store(
        [
            event_of(old, "a_little_too_old"),
            event_of(4000 * DAY, "far_too_old"),
            event_of(old, "old_without_a_time", has_time=False),
            event_of(30 * DAY, "just_kept"),
            event_of(timedelta(), "of_today_without_a_time", has_time=False),
            event_of(old, "old_of_another_storefront", storefront_id=2),
        ],
        [],
    )

    assert await enforce_retention(engine, database, TODAY) == 3

    assert await names(connection) == ["just_kept", "of_today_without_a_time", "old_of_another_storefront"]
    assert await enforce_retention(engine, database, TODAY) == 0


async def test_an_events_age_is_that_of_its_corrected_time(
    engine: AsyncEngine, database: DatabaseUrl, shops: None, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    wrong_clock = TODAY - 3000 * DAY
    await sink.store([stored_event("kept", client_time=wrong_clock, occurred_at=TODAY)], [])

    await enforce_retention(engine, database, TODAY)

    assert await names(connection) == ["kept"]


async def test_a_partition_that_nobody_needs_is_emptied_at_once(
    engine: AsyncEngine, database: DatabaseUrl, shops: None, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    await sink.store([event_of(100 * DAY, "old") for _ in range(100)], [], [Received(1, "native", TODAY, 100)])
    size = "SELECT pg_relation_size('event_history')"
    assert await connection.fetchval(size) > 0

    assert await enforce_retention(engine, database, TODAY) == 100

    assert await connection.fetchval(size) == 0


async def test_events_wait_at_most_a_moment_for_a_partition_in_use(
    engine: AsyncEngine, database: DatabaseUrl, shops: None, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    await sink.store([event_of(100 * DAY, "old")], [])
    async with connection.transaction():
        await connection.execute("SELECT FROM event_history")
        retention = asyncio.create_task(enforce_retention(engine, database, TODAY))
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not retention.done()
            await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            await sink.store([event_of(100 * DAY, "old_of_another_storefront", storefront_id=2)], [])
        assert await retention == 1  # event by event, as the partition could not be had

    assert await names(connection) == ["old_of_another_storefront"]


async def test_refused_events_and_the_ledger_go_with_them(
    engine: AsyncEngine, database: DatabaseUrl, shops: None, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    received = [Received(shop, "native", TODAY - age, 1) for shop in (1, 2) for age in (DAY, 40 * DAY)]
    await sink.store([], [refused(age, shop) for shop in (1, 2) for age in (DAY, 40 * DAY)], received)

    await enforce_retention(engine, database, TODAY)

    left = [(1, TODAY - DAY), (2, TODAY - 40 * DAY), (2, TODAY - DAY)]
    of_quarantine = "SELECT storefront_id, received_at FROM quarantined_event ORDER BY 1, 2"
    assert [tuple(row) for row in await connection.fetch(of_quarantine)] == left
    of_ledger = "SELECT DISTINCT storefront_id, minute FROM ledger ORDER BY 1, 2"
    assert [tuple(row) for row in await connection.fetch(of_ledger)] == left


@pytest.mark.parametrize("other_event_of_the_month", [True, False])
async def test_the_ledger_says_what_was_removed(
    other_event_of_the_month: bool,
    engine: AsyncEngine,
    database: DatabaseUrl,
    shops: None,
    sink: PostgresSink,
    connection: asyncpg.Connection,
) -> None:
    imported = event_of(100 * DAY, "old")
    imported.received_at = TODAY
    others = [event_of(100 * DAY, "needed", storefront_id=2)] if other_event_of_the_month else []
    await sink.store([imported, *others], [])

    await enforce_retention(engine, database, TODAY)

    erased = "SELECT storefront_id, minute, erased FROM ledger WHERE erased > 0"
    assert [tuple(row) for row in await connection.fetch(erased)] == [(1, TODAY, 1)]


@pytest.mark.parametrize("other_event_of_the_month", [True, False])
async def test_the_mirror_follows(
    other_event_of_the_month: bool,
    engine: AsyncEngine,
    database: DatabaseUrl,
    shops: None,
    sink: PostgresSink,
    tmp_path: Path,
) -> None:
    others = [event_of(100 * DAY, "needed", storefront_id=2)] if other_event_of_the_month else []
    await sink.store([event_of(100 * DAY, "old"), event_of(DAY, "new"), *others], [])
    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        await asyncio.to_thread(mirror.catch_up)

        await enforce_retention(engine, database, TODAY)
        await asyncio.to_thread(mirror.catch_up)

        left = read(mirror, "SELECT name FROM event JOIN event_name USING (name_id) ORDER BY name")
        assert left == ([("needed",), ("new",)] if others else [("new",)])


async def test_nothing_goes_where_no_retention_is_set(
    engine: AsyncEngine, database: DatabaseUrl, shops: None, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    await sink.store([event_of(4000 * DAY, "old")], [])
    await set_retention(engine, 1, None)

    assert await enforce_retention(engine, database, TODAY) == 0

    assert await names(connection) == ["old"]
    assert (await find_storefront(engine, "short")).retention_days is None


async def test_what_comes_while_a_partition_is_looked_through_is_kept(
    engine: AsyncEngine,
    database: DatabaseUrl,
    shops: None,
    sink: PostgresSink,
    connection: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events without a time of their own share a partition, of which all may have expired but the one that comes."""
    await sink.store([event_of(400 * DAY, "too_old", has_time=False)], [])
    look = retention._Run._is_needed
    came = False

    async def look_slowly(run: retention._Run, table: str) -> bool:
        nonlocal came
        is_needed = await look(run, table)
        if not is_needed and not came:
            came = True
            await sink.store([event_of(timedelta(), "of_today", has_time=False)], [])
        return is_needed

    monkeypatch.setattr(retention._Run, "_is_needed", look_slowly)
    await enforce_retention(engine, database, TODAY)

    assert came
    assert await names(connection) == ["of_today"]
