"""A machine whose clock jumps 40 days ahead, and back: nothing is refused, lost or stored twice."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.load import ACKNOWLEDGED, Load
from tests.faults.system import System

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(LIBRARY is None, reason="needs the Debian package libfaketime"),
]


async def test_clock_jumps_40_days_ahead_and_back(system_beside: System, folder: Path) -> None:
    """The service's clock; that of Postgres, which is beside it, stays."""
    system, offset = system_beside, folder / "offset"
    assert system.stop() == 0
    offset.write_text("+0")
    system.environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",  # the file is read again each time
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # no clock change moves that one
    }
    await asyncio.to_thread(system.start)
    async with Load(system) as load:
        for days in ("+40d", "+0"):
            await load.acknowledges(500)
            offset.write_text(days)
        await load.acknowledges(500)
    assert load.statuses.keys() <= ACKNOWLEDGED
    await load.check()
    assert await received_days_ahead(system) == {0, 40}


async def test_service_starts_with_a_clock_40_days_ahead(system_beside: System) -> None:
    system = system_beside
    assert system.stop() == 0
    system.environment = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": "+40d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    await asyncio.to_thread(system.start)
    async with Load(system) as load:
        await load.acknowledges(500)
    assert system.stop() == 0
    system.environment = {}
    await asyncio.to_thread(system.start)
    async with Load(system, after=load) as later:
        await later.acknowledges(500)
    await later.check()


async def received_days_ahead(system: System) -> set[int]:
    days = "round(extract(epoch FROM received_at - now()) / 86400)::int"
    return {row["days"] for row in await system.rows(f"SELECT DISTINCT {days} AS days FROM event")}
