"""`footfall serve --workers N`: keeps N worker processes going that take events side by side on one port.

Each worker has a socket of its own, and the kernel spreads connections over them: over one socket for all, whoever is
awake takes them all. The supervisor keeps every socket open as well, so that connections which wait for a worker that
dies wait for the next one in its place.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from app.config import Settings
from app.logs import configure_logging
from app.server import STARTUP_FAILURE, CannotServe
from app.storage.database import DatabaseUrl
from app.worker import News, Orders

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
# A worker that has lived longer is started again at once; another one after a pause that doubles.
STEADY_SECONDS = 10.0
PAUSE_MIN_SECONDS = 0.5
PAUSE_MAX_SECONDS = 30.0
CLOSE_SECONDS = 10.0  # beyond what the settings give a worker to stop, until it is killed


def run_workers(settings: Settings, url: DatabaseUrl, postgres_restarts: Callable[[], int]) -> None:
    """Until SIGTERM or SIGINT. postgres_restarts: how often a dead embedded Postgres was started again.

    Raises CannotServe when a worker can't even start.
    """
    configure_logging(settings.log_level)
    os.umask(0o077)
    stopping = threading.Event()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: stopping.set())
    supervisor = Supervisor(settings, url)
    try:
        supervisor.start()
        while not stopping.wait(LOOK_SECONDS):
            supervisor.look_after(News(postgres_restarts=postgres_restarts()))
    finally:
        in_good_order = supervisor.stop()
    if not in_good_order:
        sys.exit(1)


class Port:
    """Opens sockets on one port, as many as are asked for."""

    def __init__(self, host: str, number: int) -> None:
        """number: 0 for a free one."""
        self._host = host
        self._number = number

    @property
    def url(self) -> str:
        return f"http://[{self._host}]:{self._number}" if ":" in self._host else f"http://{self._host}:{self._number}"

    def open(self) -> list[socket.socket]:
        """One for each address of the host."""
        found = socket.getaddrinfo(self._host, self._number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [self._bound(family, address[0]) for family, _, _, _, address in found]

    def _bound(self, family: int, address: str | int) -> socket.socket:
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        bound.bind((address, self._number))
        self._number = bound.getsockname()[1]
        return bound


class Post:
    """A worker's place: its sockets, and the process that is there now, if one is."""

    def __init__(self, orders: Orders, port: Port) -> None:
        """orders: without sockets."""
        self.process: subprocess.Popen[bytes] | None = None
        self._orders = orders
        self._port = port
        self._listeners: list[socket.socket] = []
        self._told: News | None = None
        self._started_at = self._start_at = float("-inf")
        self._pause_seconds = 0.0

    def look_after(self, news: News) -> None:
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self._bury(self.process, now)
        if self.process is None and now >= self._start_at:
            self.start()
        if self._told != news:
            self._tell(news)
            self._told = news

    def start(self) -> None:
        if not self._listeners:
            self._listeners = self._port.open()
        descriptors = [listener.fileno() for listener in self._listeners]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.worker"],
            stdin=subprocess.PIPE,
            pass_fds=descriptors,
            process_group=0,  # Ctrl-C in a terminal is for the supervisor, which passes on one clean stop
        )
        self._started_at = time.monotonic()
        self._told = None
        self._tell(msgspec.structs.replace(self._orders, listeners=descriptors))

    def close(self) -> None:
        """No worker will come here any more; the one that is here has the sockets too."""
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def _tell(self, said: msgspec.Struct) -> None:
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):  # it has just died
                self.process.stdin.write(msgspec.json.encode(said) + b"\n")
                self.process.stdin.flush()

    def _bury(self, process: subprocess.Popen[bytes], now: float) -> None:
        """Raises CannotServe for one that could not start and was the first here."""
        self.process = None
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        if process.returncode == STARTUP_FAILURE and self._start_at == float("-inf"):
            raise CannotServe("A worker could not start; its last lines in the log say why.")
        is_steady = now - self._started_at > STEADY_SECONDS
        self._pause_seconds = 0.0 if is_steady else min(PAUSE_MAX_SECONDS, self._pause_seconds * 2 or PAUSE_MIN_SECONDS)
        self._start_at = now + self._pause_seconds
        if self._pause_seconds > PAUSE_MIN_SECONDS:
            self.close()  # its share of the connections goes to the others meanwhile
        facts = {"worker": self._orders.number, "code": process.returncode, "pause_seconds": self._pause_seconds}
        logger.error("a worker has died", extra={"action": "worker_died", **facts})


class Supervisor:
    """Of all workers of a service."""

    def __init__(self, settings: Settings, url: DatabaseUrl) -> None:
        self._stop_seconds = settings.shutdown_delay_seconds + settings.shutdown_timeout_seconds + CLOSE_SECONDS
        self._port = Port(settings.host, settings.port)
        given = settings.model_dump(mode="json", exclude={"database_url"})
        count = settings.workers
        self._posts = [Post(Orders(number, count, given, url.libpq, ()), self._port) for number in range(1, count + 1)]

    def start(self) -> None:
        for post in self._posts:
            post.start()
        facts = {"action": "listening", "address": self._port.url, "workers": len(self._posts)}
        logger.info("workers started", extra=facts)

    def look_after(self, news: News) -> None:
        for post in self._posts:
            post.look_after(news)

    def stop(self) -> bool:
        """Whether all workers ended by themselves, and in time."""
        running = [post.process for post in self._posts if post.process is not None]
        for post in self._posts:
            post.close()
        for process in running:
            process.terminate()
        give_up_at = time.monotonic() + self._stop_seconds
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, give_up_at - time.monotonic()))
        late = [process for process in running if process.poll() is None]
        for process in late:
            process.kill()
            process.wait()
        if late:
            logger.error("workers were killed", extra={"action": "workers_killed", "count": len(late)})
        return all(process.returncode in (0, -signal.SIGTERM) for process in running)  # the latter before it has begun
