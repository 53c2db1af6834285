"""While Postgres is away or hangs, nothing is acknowledged that is not kept; once it is back, all goes on by itself."""

import asyncio
import signal
from pathlib import Path

import psutil
import pytest

from app.storage.embedded import EmbeddedPostgres
from tests.faults.load import Load
from tests.faults.system import System, postmaster_of

OUTAGE_SECONDS = [3, pytest.param(30, marks=pytest.mark.faults)]


@pytest.mark.parametrize("seconds", OUTAGE_SECONDS)
async def test_postgres_stopped_under_load(
    system_beside: System, postgres_beside: EmbeddedPostgres, seconds: float
) -> None:
    async with Load(system_beside) as load:
        await load.acknowledges(200)
        await asyncio.to_thread(postgres_beside.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(postgres_beside.start)
        await load.acknowledges(200)
    await load.check()


@pytest.mark.parametrize("seconds", OUTAGE_SECONDS)
async def test_postgres_frozen_under_load(system_beside: System, folder: Path, seconds: float) -> None:
    async with Load(system_beside) as load:
        await load.acknowledges(200)
        postmaster = postmaster_of(folder / "database")
        processes = [postmaster, *postmaster.children()]
        send_all(processes, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        send_all(processes, signal.SIGCONT)
        await load.acknowledges(200)
    await load.check()


def send_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        process.send_signal(number)
