"""Systems to break. A data directory is prepared once per test process and copied for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from app.storage.embedded import EmbeddedPostgres
from tests.faults.system import Keys, System, copy_of, end_postgres, prepare, running


class Prepared(NamedTuple):
    data_dir: Path
    keys: Keys


@pytest.fixture(scope="session")
def prepared() -> Iterator[Prepared]:
    """Not below pytest's own folder, which the next run of pytest closes to the user that runs Postgres."""
    with tempfile.TemporaryDirectory(prefix="footfall-faults-") as folder:
        data_dir = Path(folder) / "data"
        yield Prepared(data_dir, prepare(data_dir))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="footfall-faults-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def system(prepared: Prepared, folder: Path) -> Iterator[System]:
    """A running service with its embedded Postgres."""
    with running(System(copy_of(prepared.data_dir, folder / "data"), prepared.keys)) as system:
        yield system


@pytest.fixture
def postgres_beside(prepared: Prepared, folder: Path) -> Iterator[EmbeddedPostgres]:
    """Of `system_beside`; a test may stop and start it."""
    server = EmbeddedPostgres(copy_of(prepared.data_dir, folder / "database"))
    server.start()
    yield server
    end_postgres(folder / "database")  # first: a frozen one would not stop
    server.stop()


@pytest.fixture
def system_beside(prepared: Prepared, folder: Path, postgres_beside: EmbeddedPostgres) -> Iterator[System]:
    """A running service with a Postgres that others look after."""
    with running(System(folder / "service", prepared.keys, database_url=postgres_beside.url)) as system:
        yield system
