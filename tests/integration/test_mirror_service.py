"""The mirror inside the running service: a report is never stale, never wrong, and says so when it can't be made."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import make_url

from app.config import Settings
from app.storage.database import DatabaseUrl
from tests.conftest import run_sql
from tests.fakes import FixedClock
from tests.integration.mirror_rows import execute, transaction
from tests.service import Service, running_service

FUNNEL: dict[str, Any] = {
    "range": {"start": "2025-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": "product_viewed"}]}, {"any_of": [{"event": "order_completed"}]}],
}
BLOCK_BYTES = 262_144  # of a DuckDB file
CUT_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = '{name}'
"""


def viewed(visitor: str, name: str = "product_viewed") -> dict[str, str]:
    return {"event": name, "visitor_id": visitor, "client_time": "2026-03-01T12:00:00Z"}


def reached(reply: httpx.Response) -> list[int]:
    assert reply.status_code == 200, reply.text
    return [step["reached_count"] for step in reply.json()["steps"]]


async def test_a_report_has_every_event_that_was_acknowledged_before(service: Service) -> None:
    for number in range(1, 61):
        assert (await service.send(viewed(f"visitor {number}"))).json()["stored"] == 1
        assert reached(await service.funnel(FUNNEL)) == [number, 0]


async def test_so_do_many_senders_who_ask_at_once(service: Service) -> None:
    async def send_and_ask(number: int) -> bool:
        await service.send(viewed(f"visitor {number}"))
        body = {**FUNNEL, "steps": [{"any_of": [{"event": "product_viewed"}]}]}
        reply = await service.funnel(body)
        acknowledged.add(number)
        return reached(reply)[0] >= len(before[number])

    acknowledged: set[int] = set()
    before: dict[int, set[int]] = {}
    for wave in range(5):
        numbers = range(wave * 10, wave * 10 + 10)
        before |= {number: acknowledged | {number} for number in numbers}
        assert all(await asyncio.gather(*map(send_and_ask, numbers)))


async def test_as_of_and_events_read_say_what_the_answer_rests_on(service: Service) -> None:
    await service.send([viewed("ana"), viewed("ana", "order_completed"), viewed("ana", "page_viewed")])
    first = (await service.funnel(FUNNEL)).json()
    assert first["events_read"] == 2
    [(now,)] = await service.rows("SELECT now()::text")
    second = (await service.funnel(FUNNEL)).json()
    assert first["as_of"] < second["as_of"]
    assert first["as_of"].endswith("Z")
    assert now[:10] == first["as_of"][:10]
    assert 0 < second["seconds"] < 60


async def test_events_of_another_storefront_do_not_count(service: Service) -> None:
    await service.rows("SELECT 1")
    await service.send(viewed("ana"))
    async with service.engine.begin() as connection:
        await connection.exec_driver_sql(
            """
            INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position,
                               seq, trust, event_name, properties)
            SELECT storefront_id + 1, event_id, client_time, occurred_at, received_at, visitor_id + 1, position, seq,
                   trust, event_name, properties
            FROM event
            """
        )
    assert reached(await service.funnel(FUNNEL)) == [1, 0]


async def test_after_its_connection_was_cut_reports_work_again_without_a_restart(
    service: Service, database: DatabaseUrl
) -> None:
    await service.send(viewed("ana"))
    assert reached(await service.funnel(FUNNEL)) == [1, 0]
    await asyncio.to_thread(run_sql, database, CUT_ALL.format(name=make_url(database.libpq).database))
    replies = [await service.funnel(FUNNEL) for _ in range(3)]
    assert {reply.status_code for reply in replies} <= {200, 503}
    assert reached(replies[-1]) == [1, 0]
    assert (await service.send(viewed("ben"))).status_code in (200, 503)


async def test_while_postgres_is_away_reports_say_so_and_when_it_is_back_they_work(
    service: Service, postgres: DatabaseUrl, database: DatabaseUrl
) -> None:
    await service.send(viewed("ana"))
    assert reached(await service.funnel(FUNNEL)) == [1, 0]
    name = str(make_url(database.libpq).database)
    await asyncio.to_thread(run_sql, postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        await asyncio.to_thread(run_sql, postgres, CUT_ALL.format(name=name))
        for _ in range(3):
            reply = await service.funnel(FUNNEL)
            assert reply.status_code == 503
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.headers["content-type"] == "application/problem+json"
            assert name not in reply.text
    finally:
        await asyncio.to_thread(run_sql, postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert reached(await service.funnel(FUNNEL)) == [1, 0]


async def test_deleting_the_mirror_while_stopped_loses_nothing(
    settings: Settings, database: DatabaseUrl, clock: FixedClock
) -> None:
    async with running_service(settings, database, clock=clock) as service:
        await service.send([viewed("ana"), viewed("ana", "order_completed"), viewed("ben")])
        before = (await service.funnel(FUNNEL)).json()
        read_key = service.read_key
    mirror_file(settings).unlink()
    assert await steps_after_restart(settings, database, clock, read_key) == before["steps"]


async def test_damage_found_only_when_events_are_read_is_mended_too(
    settings: Settings, database: DatabaseUrl, clock: FixedClock
) -> None:
    async with running_service(settings, database, clock=clock) as service:
        await asyncio.to_thread(fill, database, service.storefront_id, visitors=60_000)
        before = (await service.funnel(FUNNEL)).json()
        assert before["steps"][0]["reached_count"] == 60_000
        read_key = service.read_key
    damage_the_middle(mirror_file(settings))
    assert await steps_after_restart(settings, database, clock, read_key) == before["steps"]


async def steps_after_restart(settings: Settings, database: DatabaseUrl, clock: FixedClock, read_key: str) -> Any:
    """The funnel's steps, asked for up to three times: a 503 may be tried again."""
    await rename_storefront(database)
    async with running_service(settings, database, clock=clock) as service:
        headers = {"Authorization": f"Bearer {read_key}"}
        for _ in range(3):
            reply = await service.client.post("/v1/reports/funnel", json=FUNNEL, headers=headers)
            if reply.status_code != 503:
                break
        assert reply.status_code == 200, reply.text
        return reply.json()["steps"]


async def rename_storefront(database: DatabaseUrl) -> None:
    """Makes room for the storefront that every running_service() creates."""
    await asyncio.to_thread(run_sql, database, "UPDATE storefront SET name = 'The shop before'")


def mirror_file(settings: Settings) -> Path:
    return settings.data_dir / "mirror.duckdb"


def fill(database: DatabaseUrl, storefront_id: int, visitors: int) -> None:
    with transaction(database) as connection:
        execute(
            connection,
            f"""
            INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position,
                               seq, trust, event_name, properties)
            SELECT {storefront_id}, gen_random_uuid(), at, at, now(), n, n, 0, 1, 'product_viewed',
                   json_build_object('session', gen_random_uuid())
            FROM generate_series(1, {visitors}) AS n,
                 LATERAL (SELECT '2026-03-01Z'::timestamptz + n * interval '1 ms') AS t (at)
            """,
        )
        connection.commit()


def damage_the_middle(path: Path) -> None:
    """Blocks that hold events: after the first, and before the last, which are read when the file is opened."""
    content = bytearray(path.read_bytes())
    first, last = 12_288 + BLOCK_BYTES, len(content) - BLOCK_BYTES
    assert last - first > 2 * BLOCK_BYTES
    content[first:last] = bytes(byte ^ 0x55 for byte in content[first:last])
    path.write_bytes(content)
