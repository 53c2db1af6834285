"""Ingestion goes on while the schema changes under it, and the version before goes on after the change."""

import asyncio
import time
import uuid

import asyncpg
import pytest
from alembic import command

from app.errors import FootfallError
from app.storage.database import DatabaseUrl, _alembic_config, create_engine, current_revision, migrate, newest_revision
from app.storage.partitions import ensure_months
from tests.events import NOW

FIRST = "2026_11_21_first_tables"

# What the version of the first revision writes, and how.
COLUMNS = (
    "storefront_id",
    "event_id",
    "client_time",
    "occurred_at",
    "received_at",
    "visitor_id",
    "customer_id",
    "account_id",
    "position",
    "seq",
    "trust",
    "event_name",
    "url",
    "referrer",
    "properties",
)
CREATE_INCOMING = (
    f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {', '.join(COLUMNS)} FROM event WITH NO DATA"
)
INSERT_NEW = f"""
    INSERT INTO event ({", ".join(COLUMNS)}) SELECT {", ".join(COLUMNS)} FROM incoming ORDER BY position
    ON CONFLICT DO NOTHING RETURNING position
"""
QUARANTINE_COLUMNS = (
    "storefront_id",
    "received_at",
    "format",
    "trust",
    "reason",
    "pointer",
    "detail",
    "raw",
    "sent_at",
)


async def store_as_before(connection: asyncpg.Connection, event_id: uuid.UUID) -> int:
    """Both paths of the first version: COPY, and COPY by way of a temporary table. Returns how many were new."""
    row = (1, event_id, NOW, NOW, NOW, 1, None, None, 0, 0, 1, "page_viewed", None, None, "{}")
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO visitor (storefront_id, visitor_key) VALUES (1, 'ana') ON CONFLICT DO NOTHING"
        )
        await connection.execute(CREATE_INCOMING)
        await connection.copy_records_to_table("incoming", records=[row], columns=COLUMNS)
        new = len(await connection.fetch(INSERT_NEW))
        refused = (1, NOW, "native", 1, "empty", "", "", b"raw", None)
        await connection.copy_records_to_table("quarantined_event", records=[refused], columns=QUARANTINE_COLUMNS)
    async with connection.transaction():
        other = (1, uuid.uuid4(), *row[2:])
        await connection.copy_records_to_table("event", records=[other], columns=COLUMNS)
    return new + 1


@pytest.fixture
async def first_version(empty_database: DatabaseUrl) -> DatabaseUrl:
    """A database at the first revision, with its partitions."""
    await asyncio.to_thread(command.upgrade, _alembic_config(empty_database), FIRST)
    engine = create_engine(empty_database)
    await ensure_months(engine, NOW)
    await engine.dispose()
    return empty_database


async def revision(database: DatabaseUrl) -> str | None:
    engine = create_engine(database)
    try:
        return await current_revision(engine)
    finally:
        await engine.dispose()


async def test_the_version_before_stores_on_the_new_schema(database: DatabaseUrl) -> None:
    connection = await asyncpg.connect(database.libpq)
    event_id = uuid.uuid4()
    try:
        assert await store_as_before(connection, event_id) == 2
        assert await store_as_before(connection, event_id) == 1
        assert await connection.fetchval("SELECT count(*) FROM event WHERE is_bot IS NULL AND shape_id IS NULL") == 3
    finally:
        await connection.close()


async def test_no_insert_waits_a_second_for_a_migration_behind_an_open_transaction(first_version: DatabaseUrl) -> None:
    connection = await asyncpg.connect(first_version.libpq)
    blocker = await asyncpg.connect(first_version.libpq)
    migrated = asyncio.Event()

    async def insert() -> float:
        longest = 0.0
        while not migrated.is_set():
            started = time.monotonic()
            await store_as_before(connection, uuid.uuid4())
            longest = max(longest, time.monotonic() - started)
        return longest

    try:
        holding = blocker.transaction()
        await holding.start()
        await blocker.execute("SELECT count(*) FROM event")  # and thereby holds a lock until its transaction ends
        inserting = asyncio.create_task(insert())
        migrating = asyncio.create_task(asyncio.to_thread(migrate, first_version))
        await asyncio.wait({migrating}, timeout=3)
        assert not migrating.done()
        assert await revision(first_version) == FIRST

        await holding.rollback()
        await migrating
        migrated.set()

        assert await inserting < 1.0
        assert await revision(first_version) == newest_revision()
    finally:
        migrated.set()
        await blocker.close()
        await connection.close()


async def test_a_migration_that_never_gets_its_lock_gives_up_and_says_who_is_in_the_way(
    first_version: DatabaseUrl,
) -> None:
    blocker = await asyncpg.connect(first_version.libpq, server_settings={"application_name": "a report by hand"})
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT count(*) FROM event")
            with pytest.raises(FootfallError, match="a report by hand, idle in transaction"):
                await asyncio.to_thread(migrate, first_version, patience_seconds=1)

        assert await revision(first_version) == FIRST
    finally:
        await blocker.close()


async def test_a_schema_of_a_later_version_is_left_alone(database: DatabaseUrl) -> None:
    connection = await asyncpg.connect(database.libpq)
    try:
        await connection.execute("UPDATE alembic_version SET version_num = '2031_01_01_not_thought_of_yet'")

        await asyncio.to_thread(migrate, database)

        assert await revision(database) == "2031_01_01_not_thought_of_yet"
    finally:
        await connection.close()
