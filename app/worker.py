"""One of the processes of `footfall serve --workers N`: started by the supervisor, and ended with it.

Standard input is its line to the supervisor: first what to do, then news. When the line ends, so does the worker.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.background import leave_threads_behind
from app.config import Settings, Worker
from app.server import run_worker, stop_on_signals, suppress_stop
from app.storage.database import DatabaseUrl


class Orders(msgspec.Struct, frozen=True):
    """What a worker is to do, as a line of JSON. settings: of the service, but for the database's address, which is
    apart. listeners: open file descriptors of bound sockets."""

    number: int
    count: int
    settings: dict[str, Any]
    database_url: str
    listeners: Sequence[int]


class News(msgspec.Struct, frozen=True):
    """What a worker can't know by itself, as a line of JSON."""

    postgres_restarts: int


class Line:
    """To the supervisor. Unbuffered: a thread that waits for a buffer's next line has its lock when Python ends."""

    def __init__(self, descriptor: int) -> None:
        self._stream = open(descriptor, "rb", buffering=0, closefd=False)  # noqa: SIM115  # until the end of the process
        self.news = News(postgres_restarts=0)

    def read_orders(self) -> Orders:
        return msgspec.json.decode(self._stream.readline(), type=Orders)

    def follow(self) -> None:
        """In a thread, until the supervisor is gone; then this process ends as if asked to."""
        for line in self._stream:
            self.news = msgspec.json.decode(line, type=News)
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    stop_on_signals()
    line = Line(sys.stdin.fileno())
    with suppress_stop():
        orders = line.read_orders()
        threading.Thread(target=line.follow, name="supervisor", daemon=True).start()
        settings = Settings(**orders.settings)
        run_worker(
            Worker(orders.number, orders.count, Path(settings.data_dir)),
            settings,
            DatabaseUrl(orders.database_url),
            lambda: line.news.postgres_restarts,
            [socket.socket(fileno=descriptor) for descriptor in orders.listeners],
        )
    leave_threads_behind()


if __name__ == "__main__":
    main()
