"""Runs the application under uvicorn."""

import os
import signal
import sys

import uvicorn

from app.config import Settings
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


def run_server(settings: Settings, url: DatabaseUrl) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight."""
    configure_logging(settings.log_level)
    # Compiled matchers are cached beside the data, as the code's own folder may be read-only.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.data_dir / "numba"))
    from app.main import create_app  # after the cache's place is set: numba reads it when it is imported

    uvicorn.run(
        create_app(settings, url),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # no address of a client is used or kept
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_seconds),
    )
