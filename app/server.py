"""Runs the application under uvicorn."""

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from app.config import Settings
from app.errors import FootfallError
from app.logs import configure_logging
from app.storage.database import DatabaseUrl

# Longer than proxies keep idle connections (60 s is common), so that they close first and no request is cut off.
KEEP_ALIVE_SECONDS = 75


def stop_on_signals() -> None:
    """A stop that was asked for is no failure: exit code 0, through every `finally`.

    While uvicorn runs it takes the signals itself, and raises them again once it has stopped.
    """
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: sys.exit(0))


class CannotServe(FootfallError):
    """The service can't start here"""


@contextmanager
def only_service(settings: Settings) -> Iterator[None]:
    """Holds the data directory for one service, and sees that the port is free. Raises CannotServe.

    Before anything is started, so that the reason is one line.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            detail = f"Another service runs on {settings.data_dir}: stop it, or choose another --data-dir."
            raise CannotServe(detail) from error
        _check_port(settings)
        yield


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
    configure_logging(settings.log_level)
    # Compiled matchers are cached beside the data, as the code's own folder may be read-only.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.data_dir / "numba"))
    from app.main import create_app  # after the cache's place is set: numba reads it when it is imported

    uvicorn.run(
        create_app(settings, url, postgres_restarts=postgres_restarts),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # no address of a client is used or kept
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_seconds),
    )
