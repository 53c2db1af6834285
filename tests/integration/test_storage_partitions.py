"""Events find a partition whatever their month, and months are made before they are needed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Event
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.partitions import ensure_months, month_start
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


async def test_a_month_that_is_in_the_default_partition_stays_there(
    engine: AsyncEngine, database: DatabaseUrl, caplog: pytest.LogCaptureFixture
) -> None:
    await store(database, at(NOW))

    await ensure_months(engine, NOW)

    assert "event_2026_03" not in await partitions(engine)
    assert "event_2026_04" in await partitions(engine)
    assert [vars(record)["partition"] for record in caplog.records] == ["event_2026_03"]
    assert (await store(database, at(NOW)))[-1] == "event_default"


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
