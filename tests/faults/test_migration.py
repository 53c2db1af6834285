"""A migration with an open transaction in its way gives way itself: events go on being stored."""

import asyncio
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from alembic import command

from app.storage.database import PROJECT_ROOT, DatabaseUrl, _alembic_config, newest_revision
from tests.faults.load import Load
from tests.faults.system import System

STANDSTILL_MAX_SECONDS = 1.5  # a second of the migration's, the rest for a busy machine
HELD_SECONDS = [4, pytest.param(20, marks=pytest.mark.faults)]
NEXT_MIGRATION = """
from alembic import op
from migrations.locks import lock_tables

revision = "next"
down_revision = "{newest}"
branch_labels = depends_on = None


def upgrade():
    lock_tables("event")
    op.execute("ALTER TABLE event ADD COLUMN colour text")
"""


@pytest.mark.parametrize("seconds", HELD_SECONDS)
async def test_migration_behind_an_open_transaction(system: System, folder: Path, seconds: float) -> None:
    async with Load(system) as load, system.connection() as reader:
        await load.acknowledges(200)
        await reader.execute("BEGIN; SELECT count(*) FROM event")  # as a backup does, for as long as it runs
        load.reply_seconds.clear()
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            migration = process.submit(migrate_to_next, system.database_url, folder / "migrations")
            await asyncio.sleep(seconds)
            assert not migration.done()
            await reader.execute("COMMIT")
            await asyncio.wrap_future(migration)
        await load.acknowledges(200)
    await load.check()
    assert [row["colour"] for row in await system.rows("SELECT colour FROM event LIMIT 1")] == [None]
    assert max(load.reply_seconds) < STANDSTILL_MAX_SECONDS


def migrate_to_next(database_url: str, scripts: Path) -> None:
    """The migration that a later version might bring, run as the product runs its own."""
    shutil.copytree(PROJECT_ROOT / "migrations" / "versions", scripts)
    (scripts / "next.py").write_text(NEXT_MIGRATION.format(newest=newest_revision()))
    config = _alembic_config(DatabaseUrl(database_url))
    config.set_main_option("version_locations", str(scripts))
    command.upgrade(config, "head")
