"""The migrations build the schema that the code expects, up and down, also when several processes start at once."""

import asyncio
import multiprocessing
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.main import create_app
from app.storage.database import (
    DatabaseUrl,
    _alembic_config,
    create_engine,
    current_revision,
    migrate,
    newest_revision,
)
from app.storage.tables import metadata


def differences(connection: Connection) -> list[Any]:
    """What alembic would change; partitions are made by the service and are in no metadata."""
    partitions = set(connection.execute(text("SELECT inhrelid::regclass::text FROM pg_inherits")).scalars())

    def is_ours(item: object, name: str | None, kind: str, *_: object) -> bool:
        table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
        return table not in partitions

    options = {"include_object": is_ours, "compare_server_default": True}
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return found


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8':sqlalchemy.exc.SAWarning")
async def test_the_migrations_build_the_tables_of_the_code(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.run_sync(MigrationContext.configure) is not None
    assert await current_revision(engine) == newest_revision()


async def test_down_leaves_nothing_and_up_again_works(database: DatabaseUrl) -> None:
    engine = create_engine(database)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    try:
        await asyncio.to_thread(command.downgrade, _alembic_config(database), "base")
        async with engine.connect() as connection:
            assert (await connection.execute(text(tables))).scalar() == 0
        assert await current_revision(engine) is None

        await asyncio.to_thread(migrate, database)
        assert await current_revision(engine) == newest_revision()
    finally:
        await engine.dispose()


async def test_an_empty_database_has_no_revision(empty_database: DatabaseUrl) -> None:
    engine = create_engine(empty_database)
    try:
        assert await current_revision(engine) is None
    finally:
        await engine.dispose()


def test_several_processes_migrate_at_once(empty_database: DatabaseUrl) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=migrate, args=(empty_database,)) for _ in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0, 0, 0, 0, 0]


async def test_a_schema_that_could_not_be_migrated_at_the_start_is_migrated_later(
    settings: Settings, database: DatabaseUrl, engine: AsyncEngine
) -> None:
    """Postgres was away when the command migrates, and is back when the service starts."""
    await asyncio.to_thread(command.downgrade, _alembic_config(database), "-1")

    app = create_app(settings, database)
    async with app.router.lifespan_context(app), asyncio.timeout(30):
        while await current_revision(engine) != newest_revision():
            pass
