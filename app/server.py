"""Runs the application under uvicorn."""

import asyncio
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn

from app.compiled_code import cache_folder
from app.config import WORKER_FOLDER, Role, Settings, Worker
from app.connection import Connection
from app.connection_limits import ConnectionLimits
from app.errors import FootfallError
from app.logs import configure_logging
from app.storage.database import DatabaseUrl

if TYPE_CHECKING:
    from app.main import Application

# Longer than proxies keep idle connections (60 s is common), so that they close first and no request is cut off.
KEEP_ALIVE_SECONDS = 75
CHECK_SECONDS = 0.5  # between two looks for clients that are late
TICK_SECONDS = 0.1  # uvicorn's own
ANSWER_SHARE = 0.7  # of the time to stop, for answering what is under way; the rest is for closing the application
# Connections that are refused but still open, Postgres, the mirror, logs.
OTHER_FILES = 2_000
PRIVATE_FILES = ("mirror.duckdb*", "spool.*", "keys.json*", "demo.json", "serve.log")
LOCK_FILE = "serve.lock"  # held in its folder by each service, and by each worker
WORKERS_END_SECONDS = 60.0  # more than a stop takes, unless the settings give it much time
STARTUP_FAILURE = 3  # exit code, as uvicorn's

logger = logging.getLogger(__name__)


def stop_on_signals() -> None:
    """A stop that was asked for is no failure: exit code 0, through every `finally`.

    While uvicorn runs it takes the signals itself, and raises them again once it has stopped.
    """
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: sys.exit(0))


@contextmanager
def suppress_stop() -> Iterator[None]:
    """Around all that a stop ends, see `stop_on_signals`. Other exits go on."""
    try:
        yield
    except SystemExit as stop:
        if stop.code:
            raise


class CannotServe(FootfallError):
    """The service can't start here"""


@contextmanager
def only_service(settings: Settings) -> Iterator[None]:
    """Holds the data directory for one service, or one of each role, and sees that the port is free.

    Before anything is started, so that the reason is one line. Raises CannotServe.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    is_all = settings.role is Role.ALL
    with ExitStack() as locks:
        locks.enter_context(_locked(settings.data_dir / LOCK_FILE, fcntl.LOCK_EX if is_all else fcntl.LOCK_SH))
        if not is_all:
            locks.enter_context(_locked(settings.data_dir / f"serve.{settings.role}.lock", fcntl.LOCK_EX))
        if settings.role.collects:
            _await_workers(settings.data_dir)
        _check_port(settings)
        yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """The kernel gives it back when the process ends. Raises CannotServe."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            detail = f"Another service runs on {path.parent}: stop it, or choose another --data-dir."
            raise CannotServe(detail) from error
        yield


def _await_workers(data_dir: Path) -> None:
    """Workers of a service that was killed still answer what is under way, and use their spools. Raises CannotServe."""
    give_up_at = time.monotonic() + WORKERS_END_SECONDS
    for folder in data_dir.glob(f"{WORKER_FOLDER}*"):
        while True:
            try:
                with _locked(folder / LOCK_FILE, fcntl.LOCK_EX):
                    break
            except CannotServe:
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(TICK_SECONDS)


def _check_port(settings: Settings) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        place = f"Port {settings.port} on {settings.host}"
        raise CannotServe(f"{place} can't be used ({error.strerror}): choose another --port or --host.") from error


def run_server(settings: Settings, url: DatabaseUrl, postgres_restarts: Callable[[], int]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight.

    postgres_restarts: how often a dead embedded Postgres was started again.
    """
    _prepare_process(settings)
    from app.main import create_app  # after the cache's place is set: numba reads it when it is imported

    _run(create_app(settings, url, postgres_restarts=postgres_restarts), settings, None)


def run_worker(
    worker: Worker,
    settings: Settings,
    url: DatabaseUrl,
    postgres_restarts: Callable[[], int],
    listeners: list[socket.socket],
) -> None:
    """As `run_server`, for one of several processes. settings: of the whole service. listeners: bound, its own."""
    own = worker.settings(settings)
    own.data_dir.mkdir(exist_ok=True)
    with _locked(own.data_dir / LOCK_FILE, fcntl.LOCK_EX):
        _prepare_process(own, worker=worker.number)
        from app.main import create_app

        _run(create_app(own, url, worker=worker, postgres_restarts=postgres_restarts), own, listeners)


def _prepare_process(settings: Settings, **facts: object) -> None:
    """facts: for each line of the log."""
    configure_logging(settings.log_level, **facts)
    os.umask(0o077)  # mirror, spool and copies hold what people did
    make_private(settings.data_dir)
    if settings.role.reports:
        # Compiled matchers are cached beside the data, as the code's own folder may be read-only.
        compiled = Path(os.environ.get("NUMBA_CACHE_DIR") or settings.data_dir / "numba")
        os.environ["NUMBA_CACHE_DIR"] = str(cache_folder(compiled))


def _run(app: "Application", settings: Settings, listeners: list[socket.socket] | None) -> None:
    server = Server(app, settings)
    server.run(listeners)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def make_private(data_dir: Path) -> None:
    """Files that hold events or keys, made before they were private from the start."""
    for pattern in PRIVATE_FILES:
        for path in data_dir.glob(pattern):
            with suppress(OSError):  # it has gone, or belongs to somebody else
                path.chmod(path.stat().st_mode & 0o700)


class Server(uvicorn.Server):
    """uvicorn's, with deadlines for clients and a stop in steps.

    Asked to stop, it is not ready from that moment on, but serves for shutdown_delay_seconds more: proxies need that
    time to see it. Each reply then ends its connection. Afterwards it takes no new ones, answers what is under way,
    and closes the application, all within shutdown_timeout_seconds.
    """

    def __init__(self, app: "Application", settings: Settings) -> None:
        self._app = app
        self._delay_seconds = settings.shutdown_delay_seconds
        self._timeout_seconds = settings.shutdown_timeout_seconds
        self._limits = ConnectionLimits(
            head_seconds=settings.header_timeout_seconds,
            body_seconds=settings.request_timeout_seconds,
            idle_seconds=KEEP_ALIVE_SECONDS,
            connections_max=settings.connections_max,
            metrics=app.metrics,
        )
        allow_open_files(settings.connections_max)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=cast(type[asyncio.Protocol], partial(Connection, self._limits, app.answer_whole)),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # app/address.py decides whom to believe
                timeout_graceful_shutdown=cast(int, self._timeout_seconds * ANSWER_SHARE),
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.stopping = self._limits.stopping = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._checking = asyncio.create_task(self._check_connections())

    async def main_loop(self) -> None:
        await super().main_loop()
        logger.info("asked to stop", extra={"action": "stop_asked", "delay_seconds": self._delay_seconds})
        for connection in self._connections():
            connection.announce_end()
        until = time.monotonic() + self._delay_seconds
        while time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(TICK_SECONDS)
            await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        answers_until = time.monotonic() + self._timeout_seconds * ANSWER_SHARE
        for connection in self._connections():
            connection.hurry(answers_until - 2 * CHECK_SECONDS)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await super().shutdown(sockets)
        except TimeoutError:
            logger.error("stop was cut short", extra={"action": "stop_cut_short"})  # noqa: TRY400  # no trace needed
        self._checking.cancel()

    def _connections(self) -> list[Connection]:
        return cast(list[Connection], list(self.server_state.connections))

    async def _check_connections(self) -> None:
        checked_at = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            now = time.monotonic()
            for connection in self._connections():
                try:
                    connection.check(now, now - checked_at)
                except Exception:  # the others are to be looked at all the same
                    logger.exception("connection could not be checked", extra={"action": "check_failed"})
            checked_at = now


def allow_open_files(connections_max: int) -> None:
    """A shell's limit of 1,024 is soon reached, and then no connection is taken at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
