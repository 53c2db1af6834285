"""A full disk loses no event; with room again, all goes on by itself."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Prepared
from tests.faults.disks import MEGABYTE, full, needs_mounts, small_disk
from tests.faults.load import Load
from tests.faults.system import System, copy_of, running, wait_until

FULL_SECONDS = [2, 20]

pytestmark = [needs_mounts, pytest.mark.faults]


@pytest.mark.parametrize("seconds", FULL_SECONDS)
async def test_disk_of_the_data_full(prepared: Prepared, folder: Path, seconds: float) -> None:
    """Postgres can't make its tables longer; its log of changes lies elsewhere and has room."""
    with small_disk(folder / "disk", 256 * MEGABYTE) as disk:
        data_dir = copy_of(prepared.data_dir, disk / "data")
        move_aside(data_dir / "postgres" / "pg_wal", folder / "pg_wal")
        with running(System(data_dir, prepared.keys)) as system:
            await outlives_full_disk(system, disk, seconds)


@pytest.mark.parametrize("seconds", FULL_SECONDS)
async def test_disk_of_the_write_ahead_log_full(prepared: Prepared, folder: Path, seconds: float) -> None:
    """Postgres ends itself and is started again and again, until there is room."""
    data_dir = copy_of(prepared.data_dir, folder / "data")
    # Once there is room again it must be enough: for 8 segments, as Postgres can't recover without one to go on in.
    with small_disk(folder / "disk", 128 * MEGABYTE) as disk:
        move_aside(data_dir / "postgres" / "pg_wal", disk / "pg_wal")
        with running(System(data_dir, prepared.keys)) as system:
            postmaster = system.postmaster()
            await outlives_full_disk(system, disk, seconds, shows=lambda: not postmaster.is_running())
            assert system.metric("footfall_postgres_restarts") >= 1


async def outlives_full_disk(
    system: System, disk: Path, seconds: float, *, shows: Callable[[], bool] = lambda: True
) -> None:
    """seconds: for which it stays full once that shows, by a reply other than 200 and otherwise."""
    async with Load(system) as load:
        await load.acknowledges(200)
        with full(disk):
            await asyncio.to_thread(wait_until, lambda: bool(load.statuses.keys() - {200}) and shows())
            await asyncio.sleep(seconds)
        await load.acknowledges(200)
    await load.check()


def move_aside(directory: Path, target: Path) -> None:
    """Leaves a link in its place."""
    owner = directory.stat()
    shutil.copytree(directory, target)
    for path in (target, *target.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    shutil.rmtree(directory)
    directory.symlink_to(target)
