"""No call to Postgres waits for ever: not for a server that hangs, not for a lock, not for a client that stopped."""

import asyncio
import time
from collections.abc import Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.domain.outcome import Outcome, SinkUnavailable
from app.ingest.sink import Batch, store_in_time
from app.storage import database as database_module
from app.storage.database import DatabaseUrl, create_engine, create_ingest_pool, create_report_engine
from app.storage.events import PostgresSink
from app.storage.persons import work_connection
from app.storage.renewable import RenewableSink
from tests.events import stored_event
from tests.proxy import postgres_proxy
from tests.service import running_service

EngineMaker = Callable[[DatabaseUrl], AsyncEngine]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "ADMIN_STATEMENT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(database_module, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(database_module, "CONNECT_TIMEOUT_SECONDS", 1.0)


async def one(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT 1"))).scalar_one())


@pytest.mark.parametrize("make", [create_engine, create_report_engine])
async def test_a_statement_to_a_server_that_hangs_ends(make: EngineMaker, database: DatabaseUrl) -> None:
    async with postgres_proxy(database) as proxy:
        engine = make(proxy.url)
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                proxy.freeze()
                started = time.monotonic()
                with pytest.raises((TimeoutError, DBAPIError)):
                    await connection.execute(text("SELECT 1"))
            assert time.monotonic() - started < 10

            started = time.monotonic()
            with pytest.raises((TimeoutError, DBAPIError)):
                await one(engine)
            assert time.monotonic() - started < 10

            proxy.thaw()
            assert await one(engine) == 1
        finally:
            proxy.thaw()
            await engine.dispose()


@pytest.mark.parametrize("make", [create_engine, create_report_engine])
async def test_postgres_itself_ends_statements_and_transactions_that_take_too_long(
    make: EngineMaker, database: DatabaseUrl
) -> None:
    engine = make(database)
    try:
        with pytest.raises(DBAPIError, match="statement timeout"):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(5)"))
        assert await limits(engine) == {"statement": "500ms", "lock": "500ms", "idle_in_transaction_session": "1s"}
    finally:
        await engine.dispose()


async def limits(engine: AsyncEngine) -> dict[str, str]:
    query = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(:names)"
    names = [f"{name}_timeout" for name in ("statement", "lock", "idle_in_transaction_session")]
    async with engine.connect() as connection:
        rows = await connection.execute(text(query), {"names": names})
        return {name.removesuffix("_timeout"): value for name, value in rows}


async def test_a_statement_of_long_work_to_a_server_that_hangs_ends(database: DatabaseUrl) -> None:
    async with postgres_proxy(database) as proxy:

        async def work() -> None:
            async with work_connection(proxy.url, statement_seconds=0.2) as connection:
                proxy.freeze()
                await connection.fetchval("SELECT 1")

        with pytest.raises(TimeoutError):
            await work()
        proxy.thaw()


async def test_a_commit_to_a_server_that_hangs_ends_and_the_next_one_works(database: DatabaseUrl) -> None:
    async with postgres_proxy(database) as proxy:
        sink = RenewableSink(lambda: create_ingest_pool(proxy.url, connections=1, timeout_seconds=0.5), PostgresSink)
        batch = Batch([stored_event()], [], [])
        try:
            assert await store_in_time(sink, batch, 5) == [Outcome.STORED]
            proxy.freeze()
            for _ in range(2):  # on the connection that there is, and on one that can't be made
                started = time.monotonic()
                with pytest.raises(SinkUnavailable):
                    await store_in_time(sink, Batch([stored_event()], [], []), 0.5)
                assert time.monotonic() - started < 3

            proxy.thaw()
            assert await store_in_time(sink, batch, 5) == [Outcome.DUPLICATE]
        finally:
            proxy.thaw()
            await sink.close()


async def test_a_commit_whose_client_stops_in_the_middle_is_undone(database: DatabaseUrl, engine: AsyncEngine) -> None:
    """Its locks and its ids must not outlive the time that the service waits for a commit."""
    async with create_ingest_pool(database, connections=1, timeout_seconds=0.5) as pool, pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO visitor (storefront_id, visitor_key) VALUES (1, 'ana')")
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.add_termination_listener(lambda _: ended.set_result(None))

        await asyncio.wait_for(ended, timeout=10)

    async with engine.connect() as reader:
        assert (await reader.execute(text("SELECT count(*) FROM visitor"))).scalar() == 0


async def test_a_commit_that_waits_for_a_lock_is_given_up(database: DatabaseUrl, engine: AsyncEngine) -> None:
    async with (
        create_ingest_pool(database, connections=1, timeout_seconds=0.5) as pool,
        engine.begin() as owner,
    ):
        await owner.execute(text("LOCK TABLE visitor IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises((TimeoutError, asyncpg.PostgresError)):
            await pool.execute("INSERT INTO visitor (storefront_id, visitor_key) VALUES (1, 'ana')")


async def test_a_report_is_answered_in_time_though_the_server_hangs(settings: Settings, database: DatabaseUrl) -> None:
    """The look that is under way has no deadline of its own; nobody waits for it longer than for a report."""
    hasty = settings.model_copy(update={"report_timeout_seconds": 1.0})
    question = {
        "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"},
        "steps": [{"any_of": [{"event": "page_viewed"}]}],
    }
    async with postgres_proxy(database) as proxy, running_service(hasty, proxy.url) as service:
        assert (await service.funnel(question)).status_code in (200, 504)  # compiles first
        proxy.freeze()
        try:
            started = time.monotonic()
            late = await service.funnel(question)
            waited = time.monotonic() - started
        finally:
            proxy.thaw()
        async with asyncio.timeout(30):
            while (await service.funnel(question)).status_code != 200:
                pass

    assert late.status_code == 503
    assert "does not answer" in late.json()["detail"]
    assert waited < 5


@pytest.mark.parametrize("path", ["/v1/ledger", "/v1/quarantine", "/v1/funnels"])
async def test_whoever_asks_a_server_that_hangs_may_ask_again(
    settings: Settings, database: DatabaseUrl, path: str
) -> None:
    async with postgres_proxy(database) as proxy, running_service(settings, proxy.url) as service:
        assert (await service.client.get(path, headers=service.reader)).status_code == 200
        proxy.freeze()
        try:
            reply = await service.client.get(path, headers=service.reader)
            looked = time.monotonic()
            ready = await service.client.get("/readyz")
            waited = time.monotonic() - looked
        finally:
            proxy.thaw()

    assert (reply.status_code, reply.json()["type"]) == (503, "urn:footfall:problem:unavailable")
    assert "retry-after" in reply.headers
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert waited < 2  # ANSWER_SECONDS, on a busy machine
