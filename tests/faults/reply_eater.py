"""A proxy in front of the service that passes requests on and eats some of the replies."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 65_536


class ReplyEater:
    """ratio: of replies that are eaten; their connection ends, as when a network breaks."""

    def __init__(self, upstream_port: int, ratio: float) -> None:
        self.eaten_count = 0
        self.url = ""
        self.connections: list[asyncio.Task[None]] = []
        self._upstream_port = upstream_port
        self._ratio = ratio

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        ways = [
            asyncio.create_task(_pass_on(reader, far_writer)),
            asyncio.create_task(self._pass_some(far_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()
        far_writer.close()

    async def _pass_some(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while reply := await reader.read(CHUNK_BYTES):
                if random.random() < self._ratio:
                    self.eaten_count += 1
                    return
                writer.write(reply)
                await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def reply_eater(upstream_port: int, *, ratio: float) -> AsyncIterator[ReplyEater]:
    """Its clients hang up before the block ends."""
    eater = ReplyEater(upstream_port, ratio)
    server = await asyncio.start_server(eater.serve, "127.0.0.1", 0)
    eater.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield eater
    finally:
        server.close()
        await asyncio.gather(*eater.connections)
