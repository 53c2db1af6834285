"""Databases, clock and a running service for all tests. Nothing here reads the settings of the shell."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from adbc_driver_postgresql import dbapi as adbc
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import ENV_PREFIX, Settings
from app.storage.database import DatabaseUrl, create_engine, migrate
from app.storage.embedded import EmbeddedPostgres
from tests.fakes import FixedClock
from tests.service import Service, running_service

# A Postgres >= 16 on which the role may create databases; without it the tests start their own.
EXTERNAL_URL = os.environ.get("FOOTFALL_TEST_DATABASE_URL")
for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
    del os.environ[name]

# The tests' data is thrown away, so nothing has to wait for the disk.
UNSAFE_AND_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
}

hypothesis.settings.register_profile("footfall", deadline=None, derandomize=False, print_blob=True)
hypothesis.settings.load_profile("footfall")


def run_sql(url: DatabaseUrl, statement: str) -> None:
    with adbc.connect(url.libpq, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def new_database(server: DatabaseUrl, template: str = "template0") -> Iterator[DatabaseUrl]:
    """A database of its own for one user; gone afterwards, whoever is still connected."""
    name = f"footfall_test_{uuid.uuid4().hex}"
    # Copying files is twice as fast here as copying through the WAL.
    run_sql(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield DatabaseUrl(make_url(server.libpq).set(database=name).render_as_string(hide_password=False))
    finally:
        run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseUrl]:
    """A Postgres server, one per test process."""
    if EXTERNAL_URL:
        yield DatabaseUrl.parse(EXTERNAL_URL)
        return
    # Not below pytest's own folder: the next run of pytest closes that to all other users, and as root we run
    # Postgres as one of those.
    with (
        tempfile.TemporaryDirectory(prefix="footfall-tests-") as folder,
        EmbeddedPostgres(Path(folder), settings=UNSAFE_AND_FAST) as server,
    ):
        yield DatabaseUrl.parse(server.url)


@pytest.fixture(scope="session")
def template(postgres: DatabaseUrl) -> Iterator[str]:
    """The name of a database that the migrations have built; one per test process."""
    with new_database(postgres) as url:
        migrate(url)
        yield str(make_url(url.libpq).database)


@pytest.fixture
def empty_database(postgres: DatabaseUrl) -> Iterator[DatabaseUrl]:
    """A database without our tables."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture
def database(postgres: DatabaseUrl, template: str) -> Iterator[DatabaseUrl]:
    """A database with the newest schema and no rows."""
    with new_database(postgres, template) as url:
        yield url


@pytest.fixture
async def engine(database: DatabaseUrl) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Change one with `settings.model_copy(update=...)`."""
    return Settings.model_validate(
        {"data_dir": tmp_path / "data", "mirror_interval_seconds": 0.2, "shutdown_timeout_seconds": 5}
    )


@pytest.fixture
async def service(settings: Settings, database: DatabaseUrl, clock: FixedClock) -> AsyncIterator[Service]:
    """The whole service on a database of its own, with a storefront and its keys."""
    async with running_service(settings, database, clock=clock) as service:
        yield service
