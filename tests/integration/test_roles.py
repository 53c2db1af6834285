"""Ingestion and reports run as Postgres roles that may do what they need and nothing else."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator

import asyncpg
import pytest
from adbc_driver_postgresql import dbapi as adbc
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.outcome import Outcome
from app.mirror.source import connect
from app.storage.database import DatabaseUrl, create_ingest_pool, create_report_engine, migrate
from app.storage.events import PostgresSink
from app.storage.partitions import ensure_months
from tests.conftest import new_database, run_sql
from tests.events import NOW, stored_event


@pytest.fixture
async def ingest(database: DatabaseUrl) -> AsyncIterator[asyncpg.Pool]:
    async with create_ingest_pool(database, connections=1, timeout_seconds=5) as pool:
        yield pool


@pytest.fixture
async def reading(database: DatabaseUrl) -> AsyncIterator[AsyncEngine]:
    engine = create_report_engine(database)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM event",
        "UPDATE event SET event_name = 'x'",
        "TRUNCATE ledger",
        "DELETE FROM ledger",
        "SELECT * FROM api_key",
        "INSERT INTO storefront (name, time_zone, currency) VALUES ('x', 'UTC', 'EUR')",
        "CREATE TABLE mine (id int)",
        "DROP TABLE event_undated",
    ],
)
async def test_ingestion_can_neither_change_nor_delete_nor_see_keys(ingest: asyncpg.Pool, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ingest.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO instance VALUES (gen_random_uuid())",
        "DELETE FROM event",
        "UPDATE storefront SET name = 'x'",
        "CREATE TABLE mine (id int)",
    ],
)
async def test_reports_can_only_read(reading: AsyncEngine, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        async with reading.begin() as connection:
            await connection.execute(text(statement))


async def test_reports_see_no_secret_of_a_webhook(reading: AsyncEngine) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with reading.connect() as connection:
            await connection.execute(text("SELECT secret FROM webhook"))


async def test_ingestion_stores_into_partitions_made_later(engine: AsyncEngine, ingest: asyncpg.Pool) -> None:
    sink = PostgresSink(ingest)
    event = stored_event(customer="c", account="a")

    assert await sink.store([event], []) == [Outcome.STORED]
    await ensure_months(engine, NOW)

    assert await sink.store([event, stored_event()], []) == [Outcome.DUPLICATE, Outcome.STORED]
    assert await ingest.fetchval("SELECT current_user") == "footfall_ingest"


async def test_reports_read_everything_and_so_does_the_mirror(
    engine: AsyncEngine, reading: AsyncEngine, database: DatabaseUrl
) -> None:
    await ensure_months(engine, NOW)
    query = "SELECT current_user FROM instance WHERE (SELECT count(*) FROM event) + (SELECT count(*) FROM ledger) = 0"

    async with reading.connect() as connection:
        assert (await connection.execute(text(query))).scalar() == "footfall_report"
    with connect(database.libpq) as mirror, mirror.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchone() == ("footfall_report",)


async def test_without_the_right_to_make_roles_everything_runs_as_the_owner(postgres: DatabaseUrl) -> None:
    run_sql(postgres, "DROP ROLE IF EXISTS plain_owner")
    run_sql(postgres, "CREATE ROLE plain_owner LOGIN PASSWORD 'secret'")
    try:
        with new_database(postgres) as url:
            run_sql(url, "GRANT ALL ON SCHEMA public TO plain_owner")
            own = make_url(url.libpq).set(username="plain_owner", password="secret")
            owned = DatabaseUrl(own.render_as_string(hide_password=False))
            await asyncio.to_thread(migrate, owned)

            async with create_ingest_pool(owned, connections=1, timeout_seconds=5) as pool:
                assert await PostgresSink(pool).store([stored_event()], []) == [Outcome.STORED]
                assert await pool.fetchval("SELECT current_user") == "plain_owner"
    finally:
        run_sql(postgres, "DROP ROLE plain_owner")


def test_databases_of_one_cluster_can_be_migrated_at_the_same_moment(postgres: DatabaseUrl) -> None:
    spawn = multiprocessing.get_context("spawn")
    with new_database(postgres) as one, new_database(postgres) as two, new_database(postgres) as three:
        processes = [spawn.Process(target=migrate, args=(url,)) for url in (one, two, three)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=60)

        assert [process.exitcode for process in processes] == [0, 0, 0]
        with adbc.connect(three.libpq) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT has_table_privilege('footfall_ingest', 'event', 'INSERT')")
            assert cursor.fetchone() == (True,)
