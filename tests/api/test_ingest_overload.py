"""When storage is slow, full or away: an honest reply, and nothing half done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.config import Settings
from app.domain.outcome import Outcome, SinkUnavailable
from app.storage.database import DatabaseUrl
from tests.api.problem import assert_problem
from tests.api.shops import another_shop
from tests.events import many, sent
from tests.fakes import MemorySink
from tests.proxy import postgres_proxy
from tests.service import Service, running_service


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def small(settings: Settings) -> Settings:
    """Room for 20 events, of which one storefront may hold 10; no spool."""
    return settings.model_copy(update={"request_max_events": 10, "buffer_max_events": 20, "spool_max_bytes": 0})


@pytest.fixture
async def service(small: Settings, database: DatabaseUrl, sink: MemorySink) -> AsyncIterator[Service]:
    async with running_service(small, database, sink=sink) as service:
        yield service


async def test_events_on_disk_but_not_in_postgres_are_202(small: Settings, database: DatabaseUrl) -> None:
    async with running_service(small, database, sink=MemorySink(answer=Outcome.SPOOLED)) as service:
        reply = await service.send(many(2), receipts="1")

    assert reply.status_code == 202
    body = reply.json()
    assert (body["received"], body["stored"], body["duplicates"], body["spooled"]) == (2, 0, 0, 2)
    assert [receipt["outcome"] for receipt in body["receipts"]] == ["spooled", "spooled"]


async def test_one_storefront_cannot_take_all_the_room(service: Service, sink: MemorySink) -> None:
    other_key = await another_shop(service)
    sink.gate.clear()
    waiting = asyncio.create_task(service.send(many(10)))
    await sink.called.wait()

    too_much = await service.send(sent())
    others = asyncio.create_task(service.send(sent(), key=other_key))
    sink.gate.set()

    assert_problem(too_much, 429, "too-many")
    assert (await waiting).status_code == 200
    assert (await others).status_code == 200


async def test_a_full_buffer_is_503(service: Service, sink: MemorySink) -> None:
    other_key = await another_shop(service)
    sink.gate.clear()
    sink.called.clear()
    first = asyncio.create_task(service.send(many(10)))
    await sink.called.wait()
    sink.called.clear()
    second = asyncio.create_task(service.send(many(10), key=other_key))
    await sink.called.wait()

    reply = await service.send(sent(), key=other_key)
    sink.gate.set()

    assert_problem(reply, 503, "unavailable")
    assert [(await task).status_code for task in (first, second)] == [200, 200]
    assert len(sink.events) == 20


async def test_a_draining_service_takes_no_more_and_finishes_what_it_has(
    small: Settings, database: DatabaseUrl, sink: MemorySink
) -> None:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(small, database, sink=sink))
        assert (await service.send(sent())).status_code == 200
        sink.gate.clear()
        sink.called.clear()
        held = asyncio.create_task(service.send(sent()))
        await sink.called.wait()

        stopping = asyncio.create_task(stack.pop_all().aclose())
        await asyncio.sleep(0)  # lets it begin
        late = await service.send(sent())
        sink.gate.set()

        assert_problem(late, 503, "unavailable")
        assert (await held).status_code == 200
        await stopping
    assert len(sink.events) == 2


@pytest.mark.parametrize("reason", ["connection", "timeout", "database"])
async def test_storage_that_fails_is_503_and_counted(service: Service, sink: MemorySink, reason: str) -> None:
    sink.failure = SinkUnavailable(reason, "host=10.0.0.7 is down")

    reply = await service.send(sent())

    assert "10.0.0.7" not in str(assert_problem(reply, 503, "unavailable"))
    metrics = (await service.client.get("/metrics")).text
    assert f'footfall_flush_failures_total{{reason="{reason}"}} 1.0' in metrics
    assert 'footfall_ingest_events_total{format="native",outcome="stored"} 0.0' in metrics


async def test_storage_that_hangs_is_503_after_the_time_limit(
    settings: Settings, database: DatabaseUrl, sink: MemorySink
) -> None:
    sink.gate.clear()
    impatient = settings.model_copy(update={"flush_timeout_seconds": 0.05, "spool_max_bytes": 0})
    async with running_service(impatient, database, sink=sink) as service:
        reply = await service.send(sent())

    assert_problem(reply, 503, "unavailable")


async def test_postgres_away_is_503_and_the_same_events_go_in_when_it_is_back(
    settings: Settings, database: DatabaseUrl
) -> None:
    events = many(3)
    unspooled = settings.model_copy(update={"spool_max_bytes": 0})
    async with postgres_proxy(database) as proxy, running_service(unspooled, proxy.url) as service:
        assert (await service.send(sent())).status_code == 200
        await proxy.cut()
        away = [await service.send(events) for _ in range(3)]
        await proxy.mend()
        back = await service.send(events)

        for reply in away:
            assert_problem(reply, 503, "unavailable")
        assert back.json() == {"received": 3, "stored": 3, "duplicates": 0}
        assert await service.event_count() == 4


async def test_a_service_that_never_saw_postgres_says_so(settings: Settings, database: DatabaseUrl) -> None:
    waiting = settings.model_copy(update={"migrate_on_start": False})
    async with postgres_proxy(database) as proxy, running_service(waiting, proxy.url) as service:
        await proxy.cut()

        reply = await service.send(sent())

        assert_problem(reply, 503, "unavailable")
        assert (await service.client.get("/livez")).status_code == 200
