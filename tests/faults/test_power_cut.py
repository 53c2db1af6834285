"""A power cut under load: what was acknowledged before it is there after it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import Prepared
from tests.faults.disks import MEGABYTE, CuttableDisk, needs_mounts
from tests.faults.load import Load
from tests.faults.system import System, copy_of, end_server

DISK_BYTES = 1024 * MEGABYTE
CUTS = 10

pytestmark = [needs_mounts, pytest.mark.faults]


@pytest.fixture
def disk(folder: Path) -> Iterator[CuttableDisk]:
    disk = CuttableDisk(folder, DISK_BYTES)
    yield disk
    disk.close()


@pytest.mark.timeout(600)
async def test_acknowledged_events_survive_a_power_cut(prepared: Prepared, disk: CuttableDisk) -> None:
    for _ in range(CUTS):
        data_dir = copy_of(prepared.data_dir, disk.path / "data")
        async with cut_off(System(data_dir, prepared.keys), disk) as load:
            await load.check()


async def test_this_test_notices_commits_that_do_not_wait_for_the_disk(prepared: Prepared, disk: CuttableDisk) -> None:
    data_dir = copy_of(prepared.data_dir, disk.path / "data")
    async with cut_off(System(data_dir, prepared.keys, module="tests.faults.unsafe_service"), disk) as load:
        assert await load.lost() != set()


@asynccontextmanager
async def cut_off(system: System, disk: CuttableDisk) -> AsyncIterator[Load]:
    """What was sent before a power cut, when the system runs again."""
    disk.flush()
    load = Load(system)
    try:
        await asyncio.to_thread(system.start)
        async with load:
            await load.acknowledges(2_000)
            postmaster = system.postmaster()
            acknowledged = set(load.acknowledged)
            disk.cut()
            await load.hang_up()
        load.acknowledged = acknowledged
        system.kill()
        end_server(postmaster)
        disk.turn_on_again()
        await asyncio.to_thread(system.start)
        yield load
    finally:
        system.close()
