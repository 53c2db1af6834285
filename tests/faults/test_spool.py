"""The disk queue that stands in for Postgres: full, killed, cut off and damaged."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.storage.embedded import EmbeddedPostgres
from tests.faults.conftest import Prepared
from tests.faults.disks import MEGABYTE, CuttableDisk, full, needs_mounts, small_disk
from tests.faults.load import Load
from tests.faults.system import System, running, wait_until

KIBIBYTE = 1024


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.faults)])
async def test_service_killed_while_postgres_is_away(
    system_beside: System, postgres_beside: EmbeddedPostgres, times: int
) -> None:
    async with Load(system_beside) as load:
        await load.acknowledges(200)
        await asyncio.to_thread(postgres_beside.stop)
        for _ in range(times):
            await load.acknowledges(500)
            system_beside.kill()
            system_beside.launch()
        await load.acknowledges(500)
        await asyncio.to_thread(postgres_beside.start)
        await load.acknowledges(200)
    assert load.statuses[202] > 0
    await load.check()


async def test_a_full_spool_says_so_until_it_is_drained(
    prepared: Prepared, folder: Path, postgres_beside: EmbeddedPostgres
) -> None:
    small = System(
        folder / "service",
        prepared.keys,
        database_url=postgres_beside.url,
        request_max_bytes=64 * KIBIBYTE,
        spool_max_bytes=256 * KIBIBYTE,
    )
    with running(small) as system:
        async with Load(system) as load:
            await load.acknowledges(200)
            await asyncio.to_thread(postgres_beside.stop)
            await refuses(load)
            await asyncio.to_thread(postgres_beside.start)
            await load.acknowledges(200)
        assert load.statuses[202] > 0
        await load.check()


@needs_mounts
async def test_disk_of_the_spool_full(prepared: Prepared, folder: Path, postgres_beside: EmbeddedPostgres) -> None:
    with (
        small_disk(folder / "service", 32 * MEGABYTE) as disk,
        running(System(disk, prepared.keys, database_url=postgres_beside.url)) as system,
    ):
        async with Load(system) as load:
            await load.acknowledges(200)
            await asyncio.to_thread(postgres_beside.stop)
            await load.acknowledges(200)
            with full(disk):
                await refuses(load)
            await load.acknowledges(200)
            await asyncio.to_thread(postgres_beside.start)
            await load.acknowledges(200)
        await load.check()


async def refuses(load: Load) -> None:
    """Waits for a reply that says that there is no room."""
    await asyncio.to_thread(wait_until, lambda: load.statuses[507] > 0)


@needs_mounts
@pytest.mark.faults
async def test_spooled_events_survive_a_power_cut(
    prepared: Prepared, folder: Path, postgres_beside: EmbeddedPostgres
) -> None:
    disk = CuttableDisk(folder, 256 * MEGABYTE)
    try:
        with running(System(disk.path / "service", prepared.keys, database_url=postgres_beside.url)) as system:
            load = Load(system)
            async with load:
                await load.acknowledges(200)
                await asyncio.to_thread(postgres_beside.stop)
                await load.acknowledges(2_000)
                acknowledged = set(load.acknowledged)
                disk.cut()
                await load.hang_up()
            load.acknowledged = acknowledged
            system.kill()
            disk.turn_on_again()
            await asyncio.to_thread(postgres_beside.start)
            await asyncio.to_thread(system.start)
            await load.check()
    finally:
        disk.close()


def cut_short(spool: Path) -> None:
    with spool.open("r+b") as file:
        file.truncate(spool.stat().st_size * 2 // 3)


def flip_bits(spool: Path) -> None:
    content = bytearray(spool.read_bytes())
    for _ in range(20):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    spool.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, flip_bits])
@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.faults)])
async def test_of_a_damaged_spool_the_whole_is_stored_and_the_rest_is_counted(
    system_beside: System, postgres_beside: EmbeddedPostgres, damage: Callable[[Path], None], times: int
) -> None:
    load = None
    for _ in range(times):
        async with spooled(system_beside, postgres_beside, load) as load:
            damage(system_beside.data_dir / "spool.sqlite")
        lost = await load.lost()
        assert lost or damage is flip_bits
        assert len(lost) < len(load.acknowledged) / 2
        assert len(lost) <= system_beside.metric("footfall_spool_lost_events")
        load.acknowledged -= lost
        await load.check()


@asynccontextmanager
async def spooled(system: System, postgres: EmbeddedPostgres, after: Load | None) -> AsyncIterator[Load]:
    """Inside of the block the service is dead and its spool full of events; afterwards it is drained."""
    load = Load(system, after=after)
    async with load:
        await load.acknowledges(200)
        await asyncio.to_thread(postgres.stop)
        await load.acknowledges(3_000)
        system.kill()
        await load.hang_up()
    yield load
    await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(system.start)
    await asyncio.to_thread(wait_until, lambda: system.metric("footfall_spool_events") == 0)
