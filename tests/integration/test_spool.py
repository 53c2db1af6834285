"""While Postgres is down or hangs, events wait on disk; once it is back, they are stored by themselves, in order."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from app.config import Settings
from app.main import create_app
from app.storage.database import DatabaseUrl, migrate
from app.storage.embedded import EmbeddedPostgres
from tests.conftest import UNSAFE_AND_FAST, new_database
from tests.events import many, sent
from tests.service import URL, running_service

PATIENCE_SECONDS = 30
STORED = "SELECT event_name FROM event ORDER BY xid, position"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A Postgres of our own, which may be stopped."""
    with (
        tempfile.TemporaryDirectory(prefix="footfall-tests-") as folder,
        EmbeddedPostgres(Path(folder), settings=UNSAFE_AND_FAST) as server,
    ):
        yield server


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[DatabaseUrl]:
    with new_database(DatabaseUrl.parse(server.start())) as url:
        migrate(url)
        yield url
        server.start()  # if a test has failed in between


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """The server's processes stand still: connections stay open, and nobody answers."""
    postmaster = psutil.Process(int((server._cluster / "postmaster.pid").read_text().split()[0]))
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110  # it is asked over HTTP
            await asyncio.sleep(0.02)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


async def drained(client: httpx.AsyncClient) -> None:
    async def is_empty() -> bool:
        return await metric(client, "footfall_spool_events") == 0

    await until(is_empty)


@asynccontextmanager
async def started(settings: Settings, url: DatabaseUrl) -> AsyncIterator[httpx.AsyncClient]:
    """The service without anything that needs Postgres."""
    app = create_app(settings, url)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)
    async with client, app.router.lifespan_context(app):
        yield client


async def stored(url: DatabaseUrl) -> list[str]:
    """Names of events, in the order in which they were stored."""
    connection = await asyncpg.connect(url.libpq)
    try:
        return [record["event_name"] for record in await connection.fetch(STORED)]
    finally:
        await connection.close()


async def test_events_wait_on_disk_while_postgres_is_down(
    server: EmbeddedPostgres, settings: Settings, database: DatabaseUrl
) -> None:
    async with running_service(settings, database) as service:
        await service.send(sent("before"))
        server.stop()
        replies = [await service.send([sent(f"away {n}"), sent(f"away {n}+")]) for n in range(5)]
        assert [reply.status_code for reply in replies] == [202] * 5
        assert replies[0].json() == {"received": 2, "stored": 0, "duplicates": 0, "spooled": 2}
        ready = await service.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["checks"]["spool"]["detail"].startswith("10 events wait")

        server.start()
        await drained(service.client)

        assert (await service.send(sent("after"))).status_code == 200
        assert await stored(database) == ["before", *(f"away {n}{p}" for n in range(5) for p in ("", "+")), "after"]
        assert await metric(service.client, "footfall_spool_replayed_events_total") == 10
        [counts] = await service.rows("SELECT sum(received), sum(stored), sum(duplicate) FROM ledger")
        assert tuple(counts) == (12, 12, 0)


async def test_a_hanging_postgres_costs_one_deadline_and_then_no_time(
    server: EmbeddedPostgres, settings: Settings, database: DatabaseUrl
) -> None:
    hasty = settings.model_copy(update={"spool_after_seconds": 0.5, "flush_timeout_seconds": 2.0})
    async with running_service(hasty, database) as service:
        await service.send(sent("before"))
        with frozen(server):
            seconds = []
            for n in range(20):
                started_at = time.monotonic()
                assert (await service.send(sent(f"away {n}"))).status_code == 202
                seconds.append(time.monotonic() - started_at)
            await asyncio.sleep(3)  # the drain gives up once, and cuts its connection
            assert (await service.send(sent("late"))).status_code == 202
        assert seconds[0] < 1.5
        assert sorted(seconds)[-3] < 0.3
        await drained(service.client)
        assert await stored(database) == ["before", *(f"away {n}" for n in range(20)), "late"]


async def test_the_first_of_two_bodies_with_one_id_wins_though_it_was_spooled(
    server: EmbeddedPostgres, settings: Settings, database: DatabaseUrl
) -> None:
    first, second = sent("first"), sent("second")
    second |= {name: first[name] for name in ("event_id", "client_time")}
    async with running_service(settings, database) as service:
        await service.send(sent("known"))
        server.stop()
        assert (await service.send(first)).status_code == 202
        server.start()
        assert (await service.send(second)).status_code in (200, 202)
        await drained(service.client)
        assert await stored(database) == ["known", "first"]


async def test_a_full_spool_is_507(server: EmbeddedPostgres, settings: Settings, database: DatabaseUrl) -> None:
    small = settings.model_copy(update={"spool_max_bytes": 256 * 1024})
    async with running_service(small, database) as service:
        await service.send(sent())
        server.stop()
        accepted = 0
        while (reply := await service.send(many(300))).status_code == 202:
            accepted += 300
        assert reply.status_code == 507
        assert reply.json()["type"] == "urn:footfall:problem:insufficient-storage"
        assert int(reply.headers["Retry-After"]) >= 1
        assert (await service.client.get("/readyz")).status_code == 503

        server.start()
        await drained(service.client)
        assert await service.event_count() == accepted + 1


async def test_a_restart_while_postgres_is_away_knows_keys_and_events(
    server: EmbeddedPostgres, settings: Settings, database: DatabaseUrl
) -> None:
    async with running_service(settings, database) as service:
        await service.send(sent("before"))
        key = {"Authorization": f"Bearer {service.write_key}"}
        server.stop()
        assert (await service.send(sent("away"))).status_code == 202
    async with started(settings, database) as client:
        assert (await client.post("/v1/events", json=sent("restarted"), headers=key)).status_code == 202
        wrong = {"Authorization": "Bearer ff_write_unknown"}
        assert (await client.post("/v1/events", json=sent(), headers=wrong)).status_code == 503
        server.start()
        await drained(client)
    assert await stored(database) == ["before", "away", "restarted"]
    assert (settings.data_dir / "keys.json").stat().st_mode & 0o777 == 0o600
    assert service.write_key not in (settings.data_dir / "keys.json").read_text()


async def test_what_is_held_at_a_stop_goes_to_the_spool_while_postgres_hangs(
    server: EmbeddedPostgres, settings: Settings, database: DatabaseUrl
) -> None:
    async with running_service(settings, database) as service:
        key = {"Authorization": f"Bearer {service.write_key}"}
        await service.send(sent("before"))
    app = create_app(settings, database)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)
    async with client, AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        await client.post("/v1/events", json=sent("warm"), headers=key)
        with frozen(server):
            sending = asyncio.create_task(client.post("/v1/events", json=sent("held"), headers=key))
            await asyncio.sleep(0.2)  # then it waits for its commit
            stopping = asyncio.create_task(stack.aclose())
            assert (await sending).status_code == 202
            assert not stopping.done()
        await stopping
    async with started(settings, database) as client:
        await drained(client)
    assert await stored(database) == ["before", "warm", "held"]
