"""`footfall ledger` and `footfall doctor`: whether the events are where the ledger says."""

import asyncio
from datetime import UTC, datetime

from app.domain.ledger import Received
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from tests.conftest import run_sql
from tests.events import stored_event
from tests.integration.commands import Footfall


def store(database: DatabaseUrl, count: int) -> datetime:
    """Events received just now; returns their minute."""
    now = datetime.now(UTC)
    events = [stored_event() for _ in range(count)]
    for event in events:
        event.received_at = now

    async def run() -> None:
        async with create_ingest_pool(database, connections=1, timeout_seconds=10) as pool:
            await PostgresSink(pool).store(events, [], [Received(1, "native", now, count)])

    asyncio.run(run())
    return now.replace(second=0, microsecond=0)


def test_the_audit_finds_everything_in_its_place(on_database: DatabaseUrl, footfall: Footfall) -> None:
    store(on_database, 3)

    done = footfall("ledger", "audit")

    assert done.code == 0
    assert "All 3 events are where the ledger says." in done.out


def test_the_audit_and_the_doctor_miss_what_was_deleted(on_database: DatabaseUrl, footfall: Footfall) -> None:
    footfall("storefront", "create", "Shop")
    minute = store(on_database, 3)
    run_sql(on_database, "DELETE FROM event WHERE position = 0")

    found = footfall("ledger", "audit", "--json")
    table = footfall("ledger", "audit", "--hours", "1")

    assert found.code == table.code == 1
    assert found.json == {
        "events_count": 3,
        "differences": [
            {"storefront_id": 1, "minute": minute.isoformat(), "claimed_count": 3, "found_count": 2},
        ],
    }
    assert f"{minute:%Y-%m-%d %H:%M}" in table.out
    assert "differ by 1: `footfall ledger audit`" in footfall("doctor").text
