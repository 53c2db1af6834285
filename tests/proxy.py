"""A proxy in front of Postgres that a test can cut or freeze: Postgres is then away for one service only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url

from app.storage.database import DatabaseUrl

CHUNK_BYTES = 65_536


class PostgresProxy:
    """Listens on loopback. `cut` ends all connections and refuses new ones until `mend`.

    `freeze` takes everything and passes nothing on until `thaw`: a server that hangs.
    """

    def __init__(self, url: DatabaseUrl) -> None:
        self._upstream = make_url(url.libpq)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def url(self) -> DatabaseUrl:
        through = self._upstream.set(host="127.0.0.1", port=self._port, query={})
        return DatabaseUrl(through.render_as_string(hide_password=False))

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = self._upstream
        if url.host:
            return await asyncio.open_connection(url.host, url.port or 5432)
        return await asyncio.open_unix_connection(f"{url.query['host']}/.s.PGSQL.{url.query['port']}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._connect()
        both = {writer, far_writer}
        self._open |= both
        try:
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))
        finally:
            self._open -= both

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def postgres_proxy(url: DatabaseUrl) -> AsyncIterator[PostgresProxy]:
    proxy = PostgresProxy(url)
    await proxy.mend()
    try:
        yield proxy
    finally:
        await proxy.cut()
