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

PROJECT_ROOT = Path(__file__).resolve().parents[2]
CONNECT_TIMEOUT_SECONDS = 5.0
# Administrative statements (keys, saved funnels) touch few rows: one that takes longer is stuck behind a lock.
ADMIN_STATEMENT_TIMEOUT_SECONDS = 10.0
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
    """The engine for everything but the ingestion of events, which has a pool of its own."""
    return create_async_engine(
        "postgresql+asyncpg://",
        # The driver reads the address itself: it knows libpq's parameters (sslmode ...), SQLAlchemy does not.
        async_creator=lambda: asyncpg.connect(
            url.libpq, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=ADMIN_STATEMENT_TIMEOUT_SECONDS
        ),
        pool_size=4,
        max_overflow=4,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
    )


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """Ingestion leaves nothing behind on a connection, so the round trip that clears it is saved."""


def create_ingest_pool(url: DatabaseUrl, *, connections: int, timeout_seconds: float) -> asyncpg.Pool:
    """An unopened pool: it connects when first used, so the service starts although Postgres is away."""
    return asyncpg.create_pool(
        url.libpq,
        min_size=0,
        max_size=connections,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=timeout_seconds,
        reset=_leave_as_it_is,
        # A reply is a promise: whatever the server's default is, our commits wait for the disk.
        server_settings={"application_name": "footfall ingest", "synchronous_commit": "on", "jit": "off"},
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


def migrate(url: DatabaseUrl) -> None:
    """Bring the schema up to the newest revision. Blocking; runs an event loop of its own."""
    command.upgrade(_alembic_config(url), "head")


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision the database is at; None for a database without our tables."""
    async with engine.connect() as connection:
        if (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar() is None:
            return None
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
