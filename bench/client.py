"""A load client for one machine shared with the service: prepared bytes over kept connections, one request
in flight on each, and as little work per reply as possible."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import cast

import numpy as np


@dataclass(frozen=True)
class LoadResult:
    request_count: int  # answered ones
    seconds: float  # from the first request to the last answer
    requests_per_second: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    status_counts: dict[int, int]
    broken_count: int  # connections that ended before an answer was complete


def request_bytes(path: str, body: bytes, *, key: str, host: str = "127.0.0.1") -> bytes:
    """A complete HTTP/1.1 POST of a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


async def post_load(
    host: str,
    port: int,
    *,
    bodies: Sequence[bytes],
    connections: int,
    seconds: float | None = None,
    count: int | None = None,
    rate: float | None = None,
) -> LoadResult:
    """Posts requests as fast as the answers come, or `rate` a second, until one of the limits is reached.

    With a rate, a request's time counts from when it was due, also if no connection was free then: a service that
    stalls must not be asked less for that.

    bodies: whole requests, see request_bytes; sent in order, and again from the start when they run out.
    count: requests to send, seconds: time to go on sending; with neither, each body is sent once.
    """
    if count is None and seconds is None:
        count = len(bodies)
    load = _Load(islice(cycle(bodies), count), seconds, rate)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _Connection(load), host, port)
        load.connections.append(connection)
    await load.run()
    return load.result()


class _Load:
    """What the connections share: the requests still to send, and the figures."""

    def __init__(self, requests: Iterator[bytes], seconds: float | None, rate: float | None) -> None:
        self.requests = requests
        self.seconds = seconds
        self.interval_seconds = 1 / rate if rate else 0.0
        self.next_due = 0.0
        self.connections: list[_Connection] = []
        self.latencies = array("d")
        self.statuses: Counter[int] = Counter()
        self.broken_count = 0
        self.started = self.ended = self.deadline = 0.0

    async def run(self) -> None:
        self.started = self.next_due = time.perf_counter()
        self.deadline = self.started + (self.seconds if self.seconds is not None else float("inf"))
        for connection in self.connections:
            connection.send_next()
        await asyncio.gather(*(connection.closed for connection in self.connections))
        self.ended = time.perf_counter()

    def due(self, now: float) -> float:
        """When the next request is to be sent."""
        if not self.interval_seconds:
            return now
        due, self.next_due = self.next_due, self.next_due + self.interval_seconds
        return due

    def result(self) -> LoadResult:
        seconds = self.ended - self.started
        latencies = np.frombuffer(self.latencies) if self.latencies else np.full(1, np.nan)
        p50, p95, p99 = np.percentile(latencies, (50, 95, 99)).tolist()
        return LoadResult(
            request_count=len(self.latencies),
            seconds=seconds,
            requests_per_second=len(self.latencies) / seconds,
            p50_seconds=p50,
            p95_seconds=p95,
            p99_seconds=p99,
            status_counts=dict(sorted(self.statuses.items())),
            broken_count=self.broken_count,
        )


class _Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, sends the next; hangs up when there is none left."""

    transport: asyncio.Transport

    def __init__(self, load: _Load) -> None:
        self.load = load
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer = bytearray()
        self.sent_at = 0.0
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only

    def send_next(self) -> None:
        now = time.perf_counter()
        request = next(self.load.requests, None) if now < self.load.deadline else None
        if request is None:
            self.transport.close()
            return
        due = self.load.due(now)
        if due > now:
            asyncio.get_running_loop().call_later(due - now, self._send, request, due)
        else:
            self._send(request, due)

    def _send(self, request: bytes, due: float) -> None:
        self.sent_at, self.waiting = due, True
        if not self.transport.is_closing():
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head_size = self.answer.find(b"\r\n\r\n") + 4
        if head_size < 4 or len(self.answer) < head_size + _content_length(self.answer, head_size):
            return
        self.load.latencies.append(time.perf_counter() - self.sent_at)
        self.load.statuses[int(self.answer[9:12])] += 1  # after "HTTP/1.1 "
        self.answer.clear()
        self.waiting = False
        self.send_next()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.load.broken_count += self.waiting
        self.closed.set_result(None)


def _content_length(answer: bytearray, head_size: int) -> int:
    """Of the answer's body, in bytes; the service does not send its answers in chunks."""
    head = answer[:head_size].lower()
    start = head.index(b"content-length:") + len(b"content-length:")
    return int(head[start : head.index(b"\r\n", start)])
