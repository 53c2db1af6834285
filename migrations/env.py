"""Runs migrations: one process at a time, and giving way rather than having events wait for a lock."""

import asyncio
import logging
import random
import time

import asyncpg
from alembic import context
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from app.errors import FootfallError
from app.storage.database import CONNECT_TIMEOUT_SECONDS
from app.storage.roles import grant_roles
from app.storage.tables import metadata
from migrations.locks import LOCK_WAIT_MAX, STATEMENT_TIMEOUT

logger = logging.getLogger(__name__)

# One number for all processes of this product: whoever holds it migrates, the rest wait and find nothing to do.
ADVISORY_LOCK = 0x466F6F7466616C6C  # "Footfall"
COMMAND_TIMEOUT_SECONDS = 90.0  # beyond STATEMENT_TIMEOUT: only a server that hangs takes so long to answer
PATIENCE_SECONDS = 60.0  # for locks, and for another process that migrates
PAUSE_SECONDS = 1.0  # between two tries: the inserts that waited go first
GIVE_WAY = (
    "55P03",  # lock_not_available
    "57014",  # query_canceled, by statement_timeout
    "40P01",  # deadlock_detected
)

# Purpose: who may be in the way. Transactions open for a second or more.
OPEN_TRANSACTIONS = """
    SELECT format('process %s (%s, %s, open for %s s)', pid, coalesce(nullif(application_name, ''), 'unnamed'), state,
                  extract(epoch FROM now() - xact_start)::int)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '1 second'
    ORDER BY xact_start LIMIT 3
"""


class MigrationBlocked(FootfallError):
    """A migration could not get its locks"""


def _run(connection: Connection) -> None:
    give_up_at = time.monotonic() + context.config.attributes.get("patience_seconds", PATIENCE_SECONDS)
    _be_the_only_one(connection, give_up_at)
    connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT_MAX}'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.commit()
    while not _is_done(connection):
        if time.monotonic() > give_up_at:
            raise _blocked(connection, "A table is in use by a transaction that does not end")
        # Not in step with whatever takes the lock at intervals.
        time.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # no secret


def _be_the_only_one(connection: Connection, give_up_at: float) -> None:
    """Asks again and again: a statement that waits would hold a snapshot, which holds up others in turn."""
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK}).scalar():
        connection.rollback()
        if time.monotonic() > give_up_at:
            raise _blocked(connection, "Another process is migrating this database and does not end")
        time.sleep(0.1)


def _is_done(connection: Connection) -> bool:
    """Whether everything is applied; what was, when a later migration had to give way, stays."""
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    try:
        if not _is_newer(connection):
            with context.begin_transaction():
                context.run_migrations()
            grant_roles(connection)
    except DBAPIError as error:
        connection.rollback()
        if getattr(error.orig, "sqlstate", None) not in GIVE_WAY:
            raise
        logger.warning("migration gave way", extra={"action": "migration_gave_way", "error": type(error.orig).__name__})
        return False
    return True


def _is_newer(connection: Connection) -> bool:
    """A later version has migrated already: its schema serves this version too, and is not touched."""
    current = context.get_context().get_current_revision()
    connection.rollback()
    try:
        context.script.get_revision(current or "base")
    except (CommandError, ResolutionError):
        logger.info("schema is newer than this version", extra={"action": "schema_newer", "revision": current})
        return True
    return False


def _blocked(connection: Connection, cause: str) -> MigrationBlocked:
    transactions = list(connection.execute(text(OPEN_TRANSACTIONS)).scalars())
    return MigrationBlocked(
        f"{cause}. Nothing was changed that is not complete; end what is in the way and run `footfall migrate` again. "
        f"Open transactions: {'; '.join(transactions) or 'none'}."
    )


async def _main() -> None:
    url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True)["url"]
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={"application_name": "footfall migrate"},
        ),
        poolclass=pool.NullPool,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


asyncio.run(_main())
