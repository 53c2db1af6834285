"""A `footfall serve` with a data directory of its own, which a test may kill, freeze, stop and start again."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from app.storage.database import DatabaseUrl, migrate
from app.storage.embedded import EmbeddedPostgres
from tests import COMPILED
from tests.integration.serving import footfall_json

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02


class Keys(NamedTuple):
    write: str
    server: str
    admin: str


def prepare(data_dir: Path) -> Keys:
    """A data directory with a cluster, the newest schema, and a shop with its keys."""

    with EmbeddedPostgres(data_dir) as postgres:
        migrate(DatabaseUrl.parse(postgres.url))
        environment = {**os.environ, "FOOTFALL_DATA_DIR": str(data_dir)}
        footfall_json(environment, "storefront", "create", "Shop")
        kinds = ("write", "server", "admin")
        return Keys(*[footfall_json(environment, "keys", "create", "Shop", "--kind", kind)["key"] for kind in kinds])


class System:
    """Not running before `start`. Its port stays the same, so that senders find it again."""

    def __init__(self, data_dir: Path, keys: Keys, *, module: str = "app.cli", **settings: object) -> None:
        """module: what is run as `python -m`; settings: of the service, by name."""
        self.data_dir = data_dir
        self.keys = keys
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings
        self.environment: dict[str, str] = {}
        self.log = data_dir / "serve.log"
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    # -- the service -----------------------------------------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def launch(self) -> None:
        """Start without waiting for anything."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, "serve"], env=self._environment(), stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.launch()
        wait_until(self.is_ready)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, as a supervisor would; returns the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def workers(self) -> list[psutil.Process]:
        """Of a service with several."""
        return [child for child in psutil.Process(self.process.pid).children() if "app.worker" in child.cmdline()]

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"it has ended:\n{self.log_tail()}"
        with contextlib.suppress(httpx.TransportError):
            return (
                httpx.get(f"{self.url}/readyz", timeout=PATIENCE_SECONDS, trust_env=False).status_code == httpx.codes.OK
            )
        return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series with these labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=PATIENCE_SECONDS, trust_env=False).text
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def has_logged(self, action: str) -> bool:
        return f'"action":"{action}"' in self.log.read_text().replace('": "', '":"')

    # -- its Postgres ----------------------------------------------------------------------------------------

    @property
    def database_url(self) -> str:
        given = self.settings.get("database_url")
        return str(given) if given else f"postgresql://footfall@/footfall?host={self.data_dir / 'postgres'}"

    def postmaster(self) -> psutil.Process:
        return postmaster_of(self.data_dir)

    async def rows(self, query: str) -> Sequence[asyncpg.Record]:
        """Asks again when Postgres ends itself meanwhile, as it does while the disk of its log is nearly full."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with self.connection() as connection:
                    return await connection.fetch(query)  # type: ignore[no-any-return]
            except asyncpg.PostgresConnectionError:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(POLL_SECONDS)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        connection = await self._connect()
        try:
            yield connection
        finally:
            await connection.close()

    async def _connect(self) -> Any:
        """Waits while Postgres is starting or recovering."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await asyncpg.connect(self.database_url, timeout=PATIENCE_SECONDS)
            except (OSError, asyncpg.CannotConnectNowError):
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(POLL_SECONDS)

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End what runs; the data is thrown away afterwards, so nothing has to be saved."""
        if self._process is not None and self._process.poll() is None:
            workers = self.workers()
            self.kill()
            psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
        end_postgres(self.data_dir)

    def _environment(self) -> dict[str, str]:
        given: Mapping[str, object] = {
            "migrate_on_start": False,  # `prepare` did: a start is quicker
            **self.settings,
            "data_dir": self.data_dir,
            "port": self.port,
        }
        variables = {f"FOOTFALL_{name.upper()}": str(value) for name, value in given.items()}
        # Compiled matchers are kept from test to test: compiling takes a minute.
        return {**os.environ, "NUMBA_CACHE_DIR": str(COMPILED), **variables, **self.environment}


@contextmanager
def running(system: System) -> Iterator[System]:
    system.data_dir.mkdir(exist_ok=True)
    try:
        system.start()
        yield system
    finally:
        system.close()


def postmaster_of(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))


def end_postgres(data_dir: Path) -> None:
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        end_server(postmaster_of(data_dir))


def end_server(postmaster: psutil.Process) -> None:
    """Kill a server with all its backends, also frozen ones."""
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)


def copy_of(data_dir: Path, target: Path) -> Path:
    """A copy with the owners of everything; quicker than making a cluster anew."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", data_dir, target], check=True)
    return target


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
