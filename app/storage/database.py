"""Connections to Postgres: one address in the forms its three clients want, and pools with deadlines."""

from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import FootfallError
from app.storage.roles import INGEST_ROLE, REPORT_ROLE, take_role

PROJECT_ROOT = Path(__file__).resolve().parents[2]
CONNECT_TIMEOUT_SECONDS = 5.0
# Administrative statements (keys, saved funnels) touch few rows: one that takes longer is stuck behind a lock.
ADMIN_STATEMENT_TIMEOUT_SECONDS = 10.0
ANSWER_SECONDS = 2.0
POSTGRES_VERSION_MIN = 160_000


class BadDatabaseUrl(FootfallError):
    """The database address can't be used"""


@dataclass(frozen=True, repr=False)
class DatabaseUrl:
    """A Postgres address as libpq (ADBC), asyncpg and SQLAlchemy want it. Holds the password: never log it."""

    libpq: str

    @classmethod
    def parse(cls, given: str) -> "DatabaseUrl":
        try:
            url = make_url(given)
        except ArgumentError as error:
            raise BadDatabaseUrl(
                "FOOTFALL_DATABASE_URL must look like postgresql://user:password@host:5432/db"
            ) from error
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise BadDatabaseUrl(f"FOOTFALL_DATABASE_URL must start with postgresql://, not {url.drivername}://")
        return cls(url.set(drivername="postgresql").render_as_string(hide_password=False))

    @property
    def place(self) -> str:
        """Host, port and database, for messages."""
        url = make_url(self.libpq)
        return f"{url.host or url.query.get('host', 'localhost')}:{url.port or 5432}/{url.database}"


def create_engine(url: DatabaseUrl) -> AsyncEngine:
    """For what is set up and looked after, as the owner of the tables: keys, funnels, partitions, erasure."""
    return _engine(url, "footfall", role=None, connections=4)


def create_report_engine(url: DatabaseUrl) -> AsyncEngine:
    """For reading only, in a pool of its own: however much is asked, the set-up can still be changed."""
    return _engine(url, "footfall report", role=REPORT_ROLE, connections=2)


def _engine(url: DatabaseUrl, name: str, *, role: str | None, connections: int) -> AsyncEngine:
    async def connect() -> asyncpg.Connection:
        # The driver reads the address itself: it knows libpq's parameters (sslmode ...), SQLAlchemy does not.
        connection = await asyncpg.connect(
            url.libpq,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=ADMIN_STATEMENT_TIMEOUT_SECONDS + ANSWER_SECONDS,
            server_settings={"application_name": name, **server_deadlines(ADMIN_STATEMENT_TIMEOUT_SECONDS)},
        )
        if role is not None:
            await take_role(connection, role)
        return connection

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=connections,
        max_overflow=connections,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,  # they are senders' data, and errors are logged with their text
    )


def server_deadlines(seconds: float) -> dict[str, str]:
    """For Postgres itself: it ends a statement, a wait for a lock, a transaction that its client left open.

    The client waits ANSWER_SECONDS longer, so that a server that works gets to say so and keeps its connection.
    """
    milliseconds = str(int(seconds * 1000))
    return {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": str(int((seconds + ANSWER_SECONDS) * 1000)),
    }


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """Ingestion leaves nothing behind on a connection, so the round trip that clears it is saved."""


async def _become_ingest(connection: asyncpg.Connection) -> None:
    await take_role(connection, INGEST_ROLE)


def create_ingest_pool(url: DatabaseUrl, *, connections: int, timeout_seconds: float) -> asyncpg.Pool:
    """An unopened pool: it connects when first used, so the service starts although Postgres is away."""
    return asyncpg.create_pool(
        url.libpq,
        min_size=0,
        max_size=connections,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=timeout_seconds,
        init=_become_ingest,
        reset=_leave_as_it_is,
        server_settings={
            "application_name": "footfall ingest",
            # A reply is a promise: whatever the server's default is, our commits wait for the disk.
            "synchronous_commit": "on",
            "jit": "off",
            **server_deadlines(timeout_seconds),
        },
    )


def _alembic_config(url: DatabaseUrl | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(PROJECT_ROOT / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if url is not None:
        config.attributes["url"] = url.libpq
    return config


def newest_revision() -> str:
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None
    return head


def is_behind(revision: str | None) -> bool:
    """Whether a database at this revision lacks what this version needs. A later version's schema has it all."""
    if revision is None:
        return True
    older = {script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()}
    return revision in older - {newest_revision()}


def migrate(url: DatabaseUrl, *, patience_seconds: float | None = None) -> None:
    """Bring the schema up to the newest revision, and make the roles. Blocking; runs an event loop of its own.

    A database that a later version has migrated is left as it is. Raises FootfallError when locks could not be had
    within patience_seconds (None: a minute).
    """
    config = _alembic_config(url)
    if patience_seconds is not None:
        config.attributes["patience_seconds"] = patience_seconds
    command.upgrade(config, "head")


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision the database is at; None for a database without our tables."""
    async with engine.connect() as connection:
        if (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar() is None:
            return None
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
