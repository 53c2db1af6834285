"""A small HTTP proxy before several services: asks each for /readyz, keeps connections to them, and repeats nothing."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from httpx import URL

CHECK_SECONDS = 0.1
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
READY_REQUEST = b"GET /readyz HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Backend:
    """One service. answered: requests it has answered. idle: connections to it that are kept."""

    url: URL
    is_ready: bool = False
    answered: int = 0
    idle: list[Connection] = field(default_factory=list)

    async def connection(self) -> Connection:
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer
            await _close(writer)
        return await asyncio.open_connection(self.url.host, self.url.port)

    async def close(self) -> None:
        while self.idle:
            await _close(self.idle.pop()[1])

    async def check(self) -> None:
        try:
            reader, writer = await asyncio.open_connection(self.url.host, self.url.port)
            writer.write(READY_REQUEST)
            try:
                head, _ = await _message(reader)
            finally:
                await _close(writer)
            self.is_ready = b" 200 " in head.partition(b"\r\n")[0]
        except (OSError, asyncio.IncompleteReadError):
            self.is_ready = False


class HttpProxy:
    """Only ready services get requests. failures: what went wrong with a request that a service had already."""

    def __init__(self) -> None:
        self.backends: list[Backend] = []
        self.failures: list[str] = []
        self.port = 0
        self._turns = itertools.count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head, body = await _message(reader)
                writer.write(await self._answer(head + body))
                await writer.drain()
        await _close(writer)

    async def watch(self) -> None:
        while True:
            await asyncio.gather(*(backend.check() for backend in self.backends))
            await asyncio.sleep(CHECK_SECONDS)

    async def _answer(self, request: bytes) -> bytes:
        ready = [backend for backend in self.backends if backend.is_ready]
        if not ready:
            self.failures.append("no service is ready")
            return BAD_GATEWAY
        backend = ready[next(self._turns) % len(ready)]
        try:
            reader, writer = await backend.connection()
            writer.write(request)
            head, body = await _message(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failures.append(repr(error))
            return BAD_GATEWAY
        backend.answered += 1
        if b"connection: close" in head.lower():
            await _close(writer)
        else:
            backend.idle.append((reader, writer))
        return head + body


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request or a reply that has a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


@asynccontextmanager
async def http_proxy() -> AsyncIterator[HttpProxy]:
    proxy = HttpProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    watching = asyncio.create_task(proxy.watch())
    try:
        yield proxy
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)  # it closes its connections
        server.close()
        for backend in proxy.backends:
            await backend.close()
