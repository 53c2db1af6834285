"""Several processes take events on one port: whichever is killed, each acknowledged event is stored once."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.storage.embedded import EmbeddedPostgres
from tests.faults.conftest import Prepared
from tests.faults.load import Load
from tests.faults.system import System, copy_of, running, wait_until

WORKERS = 2
SENDERS = 8  # connections, which the kernel spreads: a few might all reach one worker
COLLECT: dict[str, Any] = {"role": "collect", "workers": WORKERS}


@pytest.fixture
def system(prepared: Prepared, folder: Path) -> Iterator[System]:
    """Two workers and their embedded Postgres."""
    with running(System(copy_of(prepared.data_dir, folder / "data"), prepared.keys, **COLLECT)) as system:
        wait_until(lambda: all_are_up(system))
        yield system


def all_are_up(system: System) -> bool:
    return system.metric("footfall_worker_up") == WORKERS


def stored_by(system: System, worker: int) -> float:
    return system.metric("footfall_ingest_events_total", outcome="stored", worker=str(worker))


async def test_events_come_in_through_all_workers_and_their_metrics_add_up(system: System) -> None:
    async with Load(system, senders=SENDERS) as load:
        await load.acknowledges(2_000)
    await load.check()

    shares = [stored_by(system, worker) for worker in (1, 2)]
    [(stored,)] = await system.rows("SELECT count(*) FROM event")
    assert sum(shares) == stored
    assert min(shares) > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.faults)])
async def test_a_killed_worker_comes_back_and_nothing_is_lost(system: System, times: int) -> None:
    async with Load(system, senders=SENDERS) as load:
        for _ in range(times):
            await load.acknowledges(200)
            victim = random.choice(system.workers())
            victim.kill()
            victim.wait()
            await load.acknowledges(200)  # by the other one
            await asyncio.to_thread(wait_until, lambda: all_are_up(system))
    await load.check()
    assert system.stop() == 0


async def test_workers_stopped_under_load_end_in_good_order(system: System) -> None:
    async with Load(system, senders=SENDERS) as load:
        await load.acknowledges(500)
        assert await asyncio.to_thread(system.stop) == 0
        lines = [json.loads(line) for line in system.log.read_text().splitlines() if line.startswith("{")]
        await asyncio.to_thread(system.start)
        await load.acknowledges(200)
    await load.check()
    assert [line for line in lines if line["level"] == "error"] == []
    assert {line.get("worker") for line in lines if line.get("action") == "stopping"} == {1, 2}


async def test_workers_end_with_a_killed_supervisor(system: System) -> None:
    async with Load(system, senders=SENDERS) as load:
        await load.acknowledges(200)
        workers = system.workers()
        system.kill()
        await asyncio.to_thread(system.start)  # which waits for them
        _, left = psutil.wait_procs(workers, timeout=1)  # one that has ended may be known to the system for a moment
        assert left == []
        await load.acknowledges(200)
    await load.check()


@pytest.mark.parametrize("later", [{"role": "all"}, {"role": "collect", "workers": 3}, {"role": "collect"}])
async def test_what_workers_had_spooled_is_stored_by_those_that_come_after(
    prepared: Prepared, folder: Path, postgres_beside: EmbeddedPostgres, later: dict[str, Any]
) -> None:
    place: dict[str, Any] = {"database_url": postgres_beside.url}
    with running(System(folder / "service", prepared.keys, **place, **COLLECT)) as system:
        load = Load(system, senders=SENDERS)
        async with load:
            await load.acknowledges(200)
            await asyncio.to_thread(postgres_beside.stop)
            await load.acknowledges(1_000)
        assert load.statuses[202] > 0
        assert system.stop() == 0, system.log_tail()
    await asyncio.to_thread(postgres_beside.start)

    with running(System(folder / "service", prepared.keys, **place, **later)) as system:
        load.goes_on_with(system)
        await load.check()
