"""Events find a partition whatever their month, and months are made before they are needed."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Event
from app.domain.outcome import Outcome
from app.storage.database import DatabaseUrl, create_engine, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.partitions import _create_once, ensure_months, month_start, months_ahead
from tests.events import NOW, stored_event


def at(time: datetime | None) -> Event:
    return stored_event(client_time=time, occurred_at=time or NOW)


async def partitions(engine: AsyncEngine) -> list[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass ORDER BY 1"
    async with engine.connect() as connection:
        return list((await connection.execute(text(query))).scalars())


async def store(database: DatabaseUrl, *events: Event) -> list[str]:
    """Store events and return the partition of each, in order."""
    async with create_ingest_pool(database, connections=1, timeout_seconds=10) as pool:
        await PostgresSink(pool).store(events, [])
        rows = await pool.fetch("SELECT tableoid::regclass::text AS name FROM event ORDER BY xid, position")
    return [row["name"] for row in rows]


async def test_months_are_made_ahead_and_once(engine: AsyncEngine) -> None:
    await ensure_months(engine, datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    await ensure_months(engine, datetime(2026, 11, 30, 23, 59, tzinfo=UTC))

    assert await partitions(engine) == [
        "event_2026_10",
        "event_2026_11",
        "event_2026_12",
        "event_2027_01",
        "event_2027_02",
        "event_default",
        "event_history",
        "event_undated",
    ]


async def test_every_event_has_a_partition(engine: AsyncEngine, database: DatabaseUrl) -> None:
    await ensure_months(engine, NOW)
    first_of_march = datetime(2026, 3, 1, tzinfo=UTC)

    found = await store(
        database,
        at(NOW),
        at(first_of_march),
        at(first_of_march - timedelta(microseconds=1)),
        at(datetime(2021, 1, 5, tzinfo=UTC)),
        at(None),
        at(datetime(1970, 1, 1, tzinfo=UTC)),
    )

    assert found == [
        "event_2026_03",
        "event_2026_03",
        "event_2026_02",
        "event_history",
        "event_undated",
        "event_history",
    ]


async def drop(engine: AsyncEngine, *names: str) -> None:
    async with engine.begin() as connection:
        for name in names:
            await connection.execute(text(f"DROP TABLE {name}"))


async def test_an_event_whose_partition_is_missing_is_stored_all_the_same(
    engine: AsyncEngine, database: DatabaseUrl
) -> None:
    await ensure_months(engine, NOW)
    await drop(engine, *(name for name in await partitions(engine) if name != "event_default"))

    assert await store(database, at(NOW), at(None)) == ["event_default", "event_default"]


async def test_events_move_to_their_month_when_it_is_made(engine: AsyncEngine, database: DatabaseUrl) -> None:
    events = [at(NOW), at(datetime(2026, 4, 1, tzinfo=UTC)), at(datetime(2021, 1, 5, tzinfo=UTC))]
    await store(database, *events)

    await ensure_months(engine, NOW)

    assert await store(database, *events, at(datetime(2030, 1, 1, tzinfo=UTC))) == [
        "event_2026_03",
        "event_2026_04",
        "event_history",
        "event_default",
    ]


async def test_a_month_with_too_many_events_to_move_at_once_is_made_in_parts(
    engine: AsyncEngine, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.partitions.MOVE_MAX", 2)
    events = [at(NOW + timedelta(minutes=minute)) for minute in range(7)]
    await store(database, *events)

    await ensure_months(engine, NOW)

    places = await store(database, *events)
    assert len(places) == 7
    assert "event_default" not in places
    assert len(set(places)) >= 4
    assert await months_ahead(engine, NOW) == 3


async def test_the_months_of_a_long_stop_are_made_up_for(engine: AsyncEngine) -> None:
    await ensure_months(engine, datetime(2025, 10, 5, tzinfo=UTC))

    await ensure_months(engine, NOW)

    assert {f"event_2026_0{month}" for month in range(1, 7)} <= set(await partitions(engine))


async def test_it_is_known_how_many_months_are_ahead(engine: AsyncEngine) -> None:
    assert await months_ahead(engine, NOW) == -1
    await ensure_months(engine, NOW)
    assert await months_ahead(engine, NOW) == 3
    assert await months_ahead(engine, NOW + timedelta(days=91)) == 0

    await drop(engine, "event_2026_05")

    assert await months_ahead(engine, NOW) == 1


async def test_no_event_waits_for_a_partition_that_waits_for_a_transaction(
    engine: AsyncEngine, database: DatabaseUrl, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has read all events and keeps the transaction open; nobody has to wait for that but the partition."""
    await ensure_months(engine, NOW)
    await drop(engine, "event_2026_05", "event_2026_06")
    done = asyncio.Event()

    async def insert() -> float:
        longest = 0.0
        async with create_ingest_pool(database, connections=1, timeout_seconds=10) as pool:
            while not done.is_set():
                started = time.monotonic()
                await PostgresSink(pool).store([at(NOW)], [])
                longest = max(longest, time.monotonic() - started)
        return longest

    async with engine.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM event"))
        inserting = asyncio.create_task(insert())
        await ensure_months(engine, NOW)
        assert [vars(record)["partition"] for record in caplog.records] == ["event_2026_05", "event_2026_06"]
    await ensure_months(engine, NOW)
    done.set()

    assert await inserting < 1.0
    assert await months_ahead(engine, NOW) == 3


async def test_processes_that_make_partitions_at_once_do_not_disturb_each_other(
    database: DatabaseUrl, caplog: pytest.LogCaptureFixture
) -> None:
    engines = [create_engine(database) for _ in range(4)]

    await asyncio.gather(*(ensure_months(engine, NOW) for engine in engines))
    await ensure_months(engines[0], NOW)

    assert caplog.records == []
    assert await months_ahead(engines[0], NOW) == 3
    for engine in engines:
        await engine.dispose()


async def test_duplicates_are_found_in_every_partition(engine: AsyncEngine, database: DatabaseUrl) -> None:
    await ensure_months(engine, NOW)
    events = [at(NOW), at(None), at(datetime(2021, 1, 5, tzinfo=UTC))]

    await store(database, *events)

    assert len(await store(database, *events)) == 3


@pytest.mark.parametrize(
    ("month", "start"), [(1, "2026-01-01"), (12, "2026-12-01"), (13, "2027-01-01"), (0, "2025-12-01")]
)
def test_months_run_on_into_other_years(month: int, start: str) -> None:
    assert month_start(2026, month) == datetime.fromisoformat(start).replace(tzinfo=UTC)


async def test_an_event_on_its_way_to_the_default_partition_finds_the_month_that_is_made_meanwhile(
    engine: AsyncEngine, database: DatabaseUrl
) -> None:
    waits = text("SELECT count(*) FROM pg_locks WHERE relation = 'event_default'::regclass AND NOT granted")
    async with create_ingest_pool(database, connections=1, timeout_seconds=10) as pool:
        async with engine.begin() as maker, engine.connect() as observer:
            await maker.execute(text("LOCK TABLE event_default IN ACCESS EXCLUSIVE MODE"))
            storing = asyncio.create_task(PostgresSink(pool).store([at(NOW)], []))
            async with asyncio.timeout(10):
                while not (await observer.execute(waits)).scalar():
                    await observer.rollback()
            march = (month_start(2026, 3), month_start(2026, 4))
            await _create_once(maker, "event_2026_03", march, is_moving=True)

        assert await storing == [Outcome.STORED]
        assert await pool.fetchval("SELECT tableoid::regclass::text FROM event") == "event_2026_03"
