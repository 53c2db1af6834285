"""What dashboards may cost: reports end with their clients, equal questions are one report, polling is a 304."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from app.config import Settings
from app.connection import Connection
from app.connection_limits import ConnectionLimits
from app.domain.storefront import KeyKind
from app.main import Application
from app.metrics import Metrics
from app.mirror.scan import Scan
from app.reports.flights import Flight
from app.reports.funnel import FUNNEL
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.api.shops import another_shop
from tests.service import Service, running_service

URL = "/v1/reports/funnel"
STAGES_URL = "/v1/reports/stages?from=2026-01-01&to=2027-01-01"
VIEWED, ORDERED = "product_viewed", "order_completed"
ENDLESS = "SELECT count(*) AS n FROM range(100000000) a, range(100000000) b WHERE a.range % 7 = b.range % 5"


def funnel(**more: Any) -> dict[str, Any]:
    steps = [{"any_of": [{"event": VIEWED}]}, {"any_of": [{"event": ORDERED}]}]
    return {"range": {"start": "2026-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}, "steps": steps, **more}


def viewed(visitor: str, at: str = "2026-03-01T12:00:00Z") -> dict[str, str]:
    return {"event": VIEWED, "visitor_id": visitor, "client_time": at}


@pytest.fixture
async def one_slot(settings: Settings, database: DatabaseUrl) -> AsyncIterator[Service]:
    """A service that works on one report at a time."""
    async with running_service(settings.model_copy(update={"report_concurrency": 1}), database) as service:
        assert (await service.funnel(funnel())).status_code == 200  # the key is known from here on
        yield service


@asynccontextmanager
async def over_a_socket(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client that can hang up: each request has a connection of its own."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    config.load()
    limits = ConnectionLimits(60, 60, 60, connections_max=100, metrics=Metrics())
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(limits, app.answer_whole, config, state, {}), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    no_keep_alive = httpx.Limits(max_keepalive_connections=0)
    async with server, httpx.AsyncClient(base_url=url, limits=no_keep_alive, trust_env=False, timeout=60) as client:
        yield client
        for connection in list(state.connections):
            connection.transport.abort()


class Reports:
    """Holds the funnel report's work until it is let go. count: of those begun, asked_count: of clients who wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.count = self.asked_count = 0
        self._run, self._result = FUNNEL.run, Flight.result
        monkeypatch.setattr(FUNNEL, "run", self._held)
        monkeypatch.setattr(Flight, "result", lambda flight: self._noted(flight))  # noqa: PLW0108  # it binds the flight

    async def are_asked(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.asked_count < count:  # noqa: ASYNC110  # nobody tells when it changes
                await asyncio.sleep(0.01)

    async def _noted(self, flight: Flight[Any]) -> Any:
        self.asked_count += 1
        return await self._result(flight)

    def _held(self, *arguments: Any) -> Any:
        self.count += 1
        self.started.set()
        assert self.go_on.wait(30)
        return self._run(*arguments)


@pytest.fixture
def reports(one_slot: Service, monkeypatch: pytest.MonkeyPatch) -> Reports:
    return Reports(monkeypatch)


async def hang_up(asked: "asyncio.Task[httpx.Response]") -> None:
    asked.cancel()
    await asyncio.wait({asked})


async def metric(service: Service, line: str) -> float:
    text = (await service.client.get("/metrics")).text
    return sum(float(each.rsplit(" ", 1)[1]) for each in text.splitlines() if each.startswith(line))


async def gone_count(service: Service) -> float:
    return await metric(
        service, f'footfall_http_request_duration_seconds_count{{method="POST",route="{URL}",status="499"}}'
    )


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  # nobody tells when it is so
            await asyncio.sleep(0.01)


# Clients that go away


async def test_a_client_that_hangs_up_ends_its_report(one_slot: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Event()

    def endless(_params: object, scan: Scan, _storefront: object) -> Any:
        started.set()
        return scan._fetch(ENDLESS, [])

    async with over_a_socket(one_slot.app) as client:
        with monkeypatch.context() as patched:
            patched.setattr(FUNNEL, "run", endless)
            body = funnel(conversion_window_seconds=60)
            asked = asyncio.create_task(client.post(URL, json=body, headers=one_slot.reader))
            await asyncio.to_thread(started.wait)
            await hang_up(asked)
        async with asyncio.timeout(20):  # the only slot becomes free
            assert (await one_slot.funnel(funnel(conversion_window_seconds=61))).status_code == 200
        assert await gone_count(one_slot) == 1


async def test_a_client_that_hangs_up_while_it_waits_leaves_its_place(one_slot: Service, reports: Reports) -> None:
    def ask(client: httpx.AsyncClient, seconds: int) -> "asyncio.Task[httpx.Response]":
        body = funnel(conversion_window_seconds=seconds)
        return asyncio.create_task(client.post(URL, json=body, headers=one_slot.reader))

    async with over_a_socket(one_slot.app) as client:
        running = ask(client, 1)
        await asyncio.to_thread(reports.started.wait)
        waiting = [ask(client, seconds) for seconds in range(2, 10)]
        await reports.are_asked(9)
        assert (await ask(client, 10)).status_code == 429
        await hang_up(waiting.pop())

        async def has_left() -> bool:
            return await gone_count(one_slot) == 1

        await until(has_left)
        waiting.append(ask(client, 10))
        await reports.are_asked(11)
        reports.go_on.set()
        replies = await asyncio.gather(running, *waiting)
    assert [reply.status_code for reply in replies] == [200] * 9
    assert reports.count == 9


# One report for equal questions


async def test_what_many_ask_at_once_is_worked_out_once(one_slot: Service, reports: Reports) -> None:
    body = funnel(conversion_window_seconds=60)
    first = asyncio.create_task(one_slot.funnel(body))
    others = [asyncio.create_task(one_slot.funnel(body)) for _ in range(30)]
    await reports.are_asked(31)
    reports.go_on.set()
    replies = await asyncio.gather(first, *others)
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.headers["ETag"] for reply in replies}) == 1
    assert reports.count == 1


async def test_who_stays_gets_the_answer_that_two_asked_for(one_slot: Service, reports: Reports) -> None:
    body = funnel(conversion_window_seconds=60)
    async with over_a_socket(one_slot.app) as client:
        first = asyncio.create_task(client.post(URL, json=body, headers=one_slot.reader))
        await reports.are_asked(1)
        second = asyncio.create_task(one_slot.funnel(body))
        await reports.are_asked(2)
        await hang_up(first)

        async def has_left() -> bool:
            return await gone_count(one_slot) == 1

        await until(has_left)
        reports.go_on.set()
        assert (await second).status_code == 200
    assert reports.count == 1


async def test_who_asks_after_an_event_was_stored_does_not_get_an_answer_without_it(
    one_slot: Service, reports: Reports
) -> None:
    body = funnel(conversion_window_seconds=60)
    before = asyncio.create_task(one_slot.funnel(body))
    await asyncio.to_thread(reports.started.wait)
    assert (await one_slot.send(viewed("ana"))).json()["stored"] == 1
    after = asyncio.create_task(one_slot.funnel(body))
    await reports.are_asked(2)
    reports.go_on.set()
    found = [reply.json()["steps"][0]["reached_count"] for reply in await asyncio.gather(before, after)]
    assert found == [0, 1]


# Polling


@pytest.fixture
def run_count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the funnel report was worked out, in its only element."""
    count, run = [0], FUNNEL.run

    def counted(*arguments: Any) -> Any:
        count[0] += 1
        return run(*arguments)

    monkeypatch.setattr(FUNNEL, "run", counted)
    return count


async def poll(service: Service, tag: str, **body: Any) -> httpx.Response:
    headers = {**service.reader, "If-None-Match": tag}
    return await service.client.post(URL, json=funnel(**body), headers=headers)


async def test_polling_runs_nothing_while_nothing_changes(service: Service, run_count: list[int]) -> None:
    await service.send(viewed("ana"))
    first = await service.funnel(funnel())
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.headers["Vary"] == "Accept, Authorization"
    assert first.headers["ETag"].startswith('W/"')
    for tag in (first.headers["ETag"], first.headers["ETag"].removeprefix("W/"), f'"other", {first.headers["ETag"]}'):
        reply = await poll(service, tag)
        assert (reply.status_code, reply.content) == (304, b"")
        assert reply.headers["ETag"] == first.headers["ETag"]
        assert reply.headers["Cache-Control"] == "private, no-cache"
    again = await poll(service, 'W/"other"')
    assert again.status_code == 200
    assert again.json() == {**first.json(), "as_of": again.json()["as_of"]}
    assert again.json()["as_of"] > first.json()["as_of"]
    assert run_count == [1]
    counts = [await metric(service, f'footfall_report_cache_total{{outcome="{name}"}}') for name in OUTCOMES]
    assert counts == [1, 1, 3]


OUTCOMES = ("miss", "hit", "not_modified")


async def test_a_get_can_be_polled_too(service: Service) -> None:
    first = await service.client.get(STAGES_URL, headers=service.reader)
    headers = {**service.reader, "If-None-Match": first.headers["ETag"]}
    assert (await service.client.get(STAGES_URL, headers=headers)).status_code == 304


async def test_a_new_event_of_the_storefront_changes_the_answer_and_its_tag(service: Service) -> None:
    other_key = await another_shop(service)
    await service.send(viewed("ana"))
    tag = (await service.funnel(funnel())).headers["ETag"]
    await service.send(viewed("zoe"), key=other_key)
    assert (await poll(service, tag)).status_code == 304
    await service.send(viewed("ben"))
    reply = await poll(service, tag)
    assert reply.status_code == 200
    assert reply.json()["steps"][0]["reached_count"] == 2
    assert reply.headers["ETag"] != tag


async def test_an_answer_is_right_until_a_window_closes(settings: Settings, database: DatabaseUrl) -> None:
    async with running_service(settings, database) as service:  # on the real clock, as Postgres is
        body = {"conversion_window_seconds": 2}
        await service.send(viewed("ana", datetime.now(UTC).isoformat()))
        first = await service.funnel(funnel(**body))
        assert first.json()["steps"][0]["in_progress_count"] == 1
        tag, replies = first.headers["ETag"], [first]

        async def has_changed() -> bool:
            replies.append(await poll(service, tag, **body))
            return replies[-1].status_code != 304

        await until(has_changed)
        assert replies[-1].json()["steps"][0]["lost_count"] == 1
        assert (await poll(service, replies[-1].headers["ETag"], **body)).status_code == 304


async def test_other_stages_are_another_answer(service: Service) -> None:
    admin = (await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)).secret
    headers = {"Authorization": f"Bearer {admin}"}
    await service.send(viewed("ana"))
    first = await service.client.get(STAGES_URL, headers=headers)
    where = [{"property": "category", "op": "in", "value": ["Bags", 5]}]
    stages = {"stages": [{"name": "look", "rules": [{"event": VIEWED}, {"event": "seen", "where": where}]}]}
    assert (await service.client.put("/v1/stages", json=stages, headers=headers)).status_code == 200
    reply = await service.client.get(STAGES_URL, headers={**headers, "If-None-Match": first.headers["ETag"]})
    assert reply.status_code == 200
    assert [step["reached_count"] for step in reply.json()["steps"]] == [1]


async def test_a_tag_is_of_one_form_and_of_one_question(service: Service) -> None:
    tag = (await service.funnel(funnel())).headers["ETag"]
    as_csv = {**service.reader, "If-None-Match": tag, "Accept": "text/csv"}
    assert (await service.client.post(URL, json=funnel(), headers=as_csv)).status_code == 200
    assert (await poll(service, tag, conversion_window_seconds=60)).status_code == 200


# Bodies


async def test_a_huge_body_is_refused_before_it_is_parsed(settings: Settings, database: DatabaseUrl) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    headers = {"Content-Type": "application/json"}
    async with running_service(settings.model_copy(update={"request_max_bytes": 10_000}), database) as service:
        for body in (b"{" * 10_001, pieces()):
            reply = await service.client.post(URL, content=body, headers={**headers, **service.reader})
            assert_problem(reply, 413, "too-large")
