"""Bodies that are or become too big are refused early, and cost little memory."""

import asyncio
import gzip

import httpx
import psutil

from tests.faults.load import Load
from tests.faults.system import System

GIBIBYTE = 1024**3
CHUNK = b"%x\r\n%s\r\n" % (65_536, b" " * 65_536)
MEMORY_MAX_BYTES = 150 * 1024**2  # more than before


async def test_gzip_bomb(system: System) -> None:
    bomb = gzip.compress(bytes(GIBIBYTE), compresslevel=1)
    headers = {"Authorization": f"Bearer {system.keys.server}", "Content-Encoding": "gzip"}
    before = memory_bytes(system)
    async with httpx.AsyncClient(base_url=system.url, headers=headers, trust_env=False) as client:
        async with Load(system) as load:
            replies = await asyncio.gather(*(client.post("/v1/events", content=bomb) for _ in range(8)))
        await load.check()

    assert {reply.status_code for reply in replies} == {413}
    assert memory_bytes(system) < before + MEMORY_MAX_BYTES


async def test_body_of_a_gibibyte_in_chunks(system: System) -> None:
    before = memory_bytes(system)
    async with Load(system) as load:
        answer, sent_bytes = await send_endlessly(system)
        await load.acknowledges(200)
    await load.check()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent_bytes < GIBIBYTE / 10
    assert memory_bytes(system) < before + MEMORY_MAX_BYTES


async def send_endlessly(system: System) -> tuple[bytes, int]:
    """What the service answers to a body of a GiB, and how much of it was sent by then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
    writer.write(
        b"POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + system.keys.server.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = asyncio.create_task(reader.read(4096))
    sent_bytes = 0
    try:
        while sent_bytes < GIBIBYTE and not answer.done():
            writer.write(CHUNK)
            await writer.drain()
            sent_bytes += len(CHUNK)
        return await answer, sent_bytes
    finally:
        writer.close()


def memory_bytes(system: System) -> int:
    rss: int = psutil.Process(system.process.pid).memory_info().rss
    return rss
