"""After an erasure nothing of the person is in a dump, nor in any file, and everything of everybody else is."""

import asyncio
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.config import Settings
from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl, migrate
from app.storage.embedded import EmbeddedPostgres, bin_path
from app.storage.keys import create_key
from tests.conftest import UNSAFE_AND_FAST
from tests.events import sent
from tests.fakes import FixedClock
from tests.service import Service, running_service

FUNNEL = {
    "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": "page_viewed"}]}],
}
CLIENT_ADDRESS = "203.0.113.77"
EVENTS_OF_A_PERSON = 120


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own, which the user of an embedded Postgres can't enter."""
    with tempfile.TemporaryDirectory(prefix="footfall-erasure-") as name:
        yield Path(name)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder, settings=UNSAFE_AND_FAST) as server:
        yield server


@pytest.fixture
async def service(folder: Path, server: EmbeddedPostgres, clock: FixedClock) -> AsyncIterator[Service]:
    """On a Postgres of its own, so that all files can be looked through."""
    url = DatabaseUrl.parse(server.url)
    await asyncio.to_thread(migrate, url)
    settings = Settings.model_validate({"data_dir": folder, "mirror_interval_seconds": 0.2})
    async with running_service(settings, url, clock=clock) as service:
        yield service


async def live(service: Service, name: str) -> None:
    """A life in the shop. The person's name is in every text that there is: ids, addresses, properties, refused events.

    Many events, so that they are stored in every way there is.
    """
    for number in range(EVENTS_OF_A_PERSON):
        event = sent(
            visitor_id=f"{name}-phone",
            url=f"https://shop.example/{name}/{number}",
            referrer=f"https://{name}.example/",
            properties={"nickname": f"{name} {number}", "path": [name]},
        )
        await service.send(event, headers={"X-Forwarded-For": CLIENT_ADDRESS})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app, client=(CLIENT_ADDRESS, 4711))) as client:
        headers = {"Authorization": f"Bearer {service.write_key}"}
        reply = await client.post(
            "http://footfall.test/v1/events", json=sent(visitor_id=f"{name}-phone"), headers=headers
        )
        assert reply.status_code == 200
    await service.send([sent(visitor_id=f"{name}-phone", customer_id=f"{name}@example.com")])
    await service.send([sent(visitor_id=f"{name}-home", customer_id=f"{name}@example.com", client_time=None)])
    await service.send([{"visitor_id": f"{name}-phone", "note": f"{name} without a name of an event"}])
    await service.send_bytes(b'{"event": "x", "customer_id": "%s\\u0040example.com", broken' % name.encode())


async def erase(service: Service, path: str) -> None:
    made = await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)
    admin = {"Authorization": f"Bearer {made.secret}"}
    reply = await service.client.delete(path, headers=admin)
    assert reply.status_code == 202
    receipt = f"/v1/erasures/{reply.json()['receipt']}"
    while not (await service.client.get(receipt, headers=admin)).json()["finished_at"]:
        async with service.engine.begin() as connection:
            for moment in ("requested_at", "forgotten_at"):
                await connection.execute(text(f"UPDATE erasure SET {moment} = {moment} - interval '1 hour'"))
        await asyncio.sleep(0.1)


def dump(server: EmbeddedPostgres) -> str:
    command = [str(bin_path(18) / "pg_dump"), "--inserts", server.url]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    # Bytes are written as \\x...: as text they can be searched.
    return re.sub(
        r"\\x([0-9a-f]+)", lambda found: bytes.fromhex(found[1]).decode("utf-8", "replace"), done.stdout.decode()
    )


def files_with(folder: Path, word: str) -> list[str]:
    """Names of the files that contain the word, but for Postgres' log of changes, which is overwritten in time."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "pg_wal" not in path.parts and word.encode() in path.read_bytes()
    ]


async def entered(service: Service) -> int:
    reply: httpx.Response = await service.funnel(FUNNEL)
    return int(reply.json()["steps"][0]["reached_count"])


async def test_nothing_of_the_erased_is_left_and_everything_of_the_others(
    service: Service, server: EmbeddedPostgres, folder: Path
) -> None:
    await live(service, "ottoline")
    await live(service, "bartholomew")
    assert await entered(service) == 2
    assert "ottoline" in dump(server)

    await erase(service, "/v1/persons/ottoline@example.com")

    assert await entered(service) == 1
    dumped = dump(server)
    assert "ottoline" not in dumped
    assert dumped.count("https://shop.example/bartholomew/") == EVENTS_OF_A_PERSON
    assert {"bartholomew-phone", "bartholomew-home"} <= set(re.findall(r"bartholomew-\w+", dumped))
    assert "bartholomew without a name of an event" in dumped
    assert "bartholomew\\u0040example.com" in dumped
    assert CLIENT_ADDRESS not in dumped

    async with service.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        # What the README recommends to those who can't wait until Postgres overwrites what it has freed.
        for statement in ("VACUUM FULL", "CHECKPOINT"):
            await connection.execute(text(statement))
    for _ in range(300):
        if not files_with(folder, "ottoline"):
            break
        await asyncio.sleep(0.1)  # until the mirror's file is written anew
    assert files_with(folder, "ottoline") == []
    assert any(name.startswith("mirror.duckdb") for name in files_with(folder, "bartholomew"))
    assert files_with(folder, CLIENT_ADDRESS) == []

    await service.send([sent(visitor_id="ottoline-phone")])
    assert await entered(service) == 2
