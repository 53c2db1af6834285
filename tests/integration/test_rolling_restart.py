"""Two services behind a proxy are restarted one after the other under load, and no request fails."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.events import many
from tests.integration.http_proxy import Backend, HttpProxy, http_proxy
from tests.integration.serving import STOP_SECONDS, Serving, serving

pytestmark = pytest.mark.faults

SENDERS = 8
BODY_EVENTS = 5
REQUESTS_BETWEEN = 100  # answered by the services of now before the next step
DELAY_SECONDS = 1.0  # several times the proxy's interval between two looks at /readyz


class Load:
    """Senders that go on until they are told to stop."""

    def __init__(self, port: int, key: str) -> None:
        self.statuses: list[int] = []
        self.acknowledged: list[str] = []
        self._going = True
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=STOP_SECONDS,
            trust_env=False,
        )

    async def run(self) -> None:
        async with self._client:
            await asyncio.gather(*(self._send() for _ in range(SENDERS)))

    def stop(self) -> None:
        self._going = False

    async def _send(self) -> None:
        while self._going:
            events = many(BODY_EVENTS)
            reply = await self._client.post("/v1/events", json=events)
            self.statuses.append(reply.status_code)
            if reply.status_code == httpx.codes.OK:
                self.acknowledged += [str(event["event_id"]) for event in events]


class Fleet:
    """Services on one database behind one proxy."""

    def __init__(self, proxy: HttpProxy, url: DatabaseUrl, folder: Path, stack: ExitStack) -> None:
        self._proxy, self._url, self._folder, self._stack = proxy, url, folder, stack

    async def start(self, name: str) -> tuple[Serving, Backend]:
        started = await asyncio.to_thread(
            self._stack.enter_context,
            serving(self._folder / name, database_url=self._url.libpq, shutdown_delay_seconds=str(DELAY_SECONDS)),
        )
        backend = Backend(httpx.URL(started.url))
        self._proxy.backends.append(backend)
        return started, backend

    async def stop(self, service: Serving, backend: Backend) -> int:
        code = await asyncio.to_thread(service.stop)
        self._proxy.backends.remove(backend)
        await backend.close()
        return code


async def answered(*backends: Backend) -> None:
    """Waits until each of them has answered some more requests."""
    goals = [backend.answered + REQUESTS_BETWEEN for backend in backends]
    while any(backend.answered < goal for backend, goal in zip(backends, goals, strict=True)):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_a_rolling_restart_under_load_fails_no_request(
    database: DatabaseUrl, engine: AsyncEngine, tmp_path: Path
) -> None:
    shop = await create_storefront(engine, "Shop", "UTC", "EUR")
    key = await create_key(engine, shop.storefront_id, KeyKind.SERVER)
    codes = []
    with ExitStack() as stack:
        async with http_proxy() as proxy:
            fleet = Fleet(proxy, database, tmp_path, stack)
            running = [await fleet.start("one"), await fleet.start("two")]
            load = Load(proxy.port, key.secret)
            while not all(backend.is_ready for backend in proxy.backends):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            sending = asyncio.create_task(load.run())
            for name, (service, backend) in zip(("one", "two"), running, strict=True):
                await answered(*proxy.backends)
                codes.append(await fleet.stop(service, backend))
                await fleet.start(name)
            await answered(*proxy.backends)
            load.stop()
            await sending

            assert proxy.failures == []
    assert codes == [0, 0]
    assert set(load.statuses) == {200}
    async with engine.connect() as connection:
        stored = list((await connection.execute(text("SELECT event_id::text FROM event"))).scalars())
    assert sorted(stored) == sorted(load.acknowledged)
