"""Stopped under load, the service loses nothing that it has acknowledged, and ends in good order."""

import asyncio
import json
import os
import signal
import socket
import time
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
from tests.integration.serving import STOP_SECONDS, serving

SENDERS = 8
BODY_EVENTS = 20
COMPILING_SECONDS = 15  # less than it takes at first, on any machine
ACKNOWLEDGED_BEFORE_STOP = 50  # requests: then it is at full speed


class Load:
    """Senders that post until the service is gone, and remember what was acknowledged."""

    def __init__(self, url: str, key: str) -> None:
        self.acknowledged: set[str] = set()
        self.statuses: list[int] = []
        self.at_full_speed = asyncio.Event()
        self._client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=STOP_SECONDS, trust_env=False
        )

    async def run(self) -> None:
        async with self._client:
            await asyncio.gather(*(self._send() for _ in range(SENDERS)))

    async def _send(self) -> None:
        while True:
            events = many(BODY_EVENTS)
            try:
                reply = await self._client.post("/v1/events", json=events)
            except httpx.TransportError:
                return
            self.statuses.append(reply.status_code)
            if reply.status_code == httpx.codes.OK:
                self.acknowledged |= {str(event["event_id"]) for event in events}
            if len(self.statuses) == ACKNOWLEDGED_BEFORE_STOP:
                self.at_full_speed.set()


async def stored_ids(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set((await connection.execute(text("SELECT event_id::text FROM event"))).scalars())


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_every_acknowledged_event_outlives_a_stop_under_load(
    database: DatabaseUrl, engine: AsyncEngine, tmp_path: Path, stop: signal.Signals
) -> None:
    shop = await create_storefront(engine, "Shop", "UTC", "EUR")
    key = (await create_key(engine, shop.storefront_id, KeyKind.SERVER)).secret
    with serving(tmp_path, database_url=database.libpq) as service:
        load = Load(service.url, key)
        running = asyncio.create_task(load.run())
        await load.at_full_speed.wait()
        service.process.send_signal(stop)
        await running
        code = await asyncio.to_thread(service.process.wait, STOP_SECONDS)
        log = [json.loads(line) for line in service.log.read_text().splitlines()]

    assert code == 0
    assert set(load.statuses) <= {200, 503}
    assert len(load.acknowledged) >= ACKNOWLEDGED_BEFORE_STOP * BODY_EVENTS / 2
    assert load.acknowledged <= await stored_ids(engine)
    assert "stopping" in {line.get("action") for line in log}
    assert [line for line in log if line["level"] == "error"] == []


def test_the_embedded_postgres_stops_with_the_service(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        server_pid = int(pid_file.read_text().split()[0])
        try:
            code = service.stop()

            assert code == 0
            assert not pid_file.exists()
        finally:
            if pid_file.exists():
                os.kill(server_pid, signal.SIGINT)


def test_while_it_waits_to_stop_it_serves_but_is_not_ready(database: DatabaseUrl, tmp_path: Path) -> None:
    with (
        serving(tmp_path, database_url=database.libpq, shutdown_delay_seconds="3") as service,
        httpx.Client(base_url=service.url, trust_env=False) as client,
    ):
        assert "connection" not in client.get("/livez").headers
        asked_at = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        while (ready := client.get("/readyz")).status_code == httpx.codes.OK:
            assert time.monotonic() < asked_at + 2
        still_serving = client.get("/livez")
        code = service.process.wait(STOP_SECONDS)

    assert ready.json()["checks"]["serving"] == {"ok": False, "detail": "is stopping"}
    assert (still_serving.status_code, still_serving.headers["connection"]) == (200, "close")
    assert code == 0
    assert time.monotonic() >= asked_at + 3


def test_clients_that_never_finish_do_not_hold_up_a_stop(database: DatabaseUrl, tmp_path: Path) -> None:
    with serving(tmp_path, database_url=database.libpq, shutdown_timeout_seconds="4") as service:
        address = ("127.0.0.1", httpx.URL(service.url).port or 0)
        with socket.create_connection(address) as silent, socket.create_connection(address) as dripping:
            dripping.sendall(b"POST /v1/reports/funnel HTTP/1.1\r\nHost: footfall.test\r\nContent-Length: 9\r\n\r\n{")
            asked_at = time.monotonic()
            code = service.stop()

            assert code == 0
            assert time.monotonic() < asked_at + 4 + 2  # and the end of the process
            assert silent.recv(1) == b""
            assert dripping.recv(1_000).startswith(b"HTTP/1.1 408")
        log = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert [line for line in log if line["level"] == "error"] == []


def test_a_stop_does_not_wait_for_the_compiler(tmp_path: Path, database: DatabaseUrl) -> None:
    with serving(tmp_path / "data", compiled=tmp_path / "nothing yet", database_url=database.libpq) as service:
        begun = time.monotonic()
        assert service.stop() == 0
    assert time.monotonic() - begun < COMPILING_SECONDS
