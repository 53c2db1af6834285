"""Killed at any moment, the service and its Postgres lose nothing that was acknowledged."""

import asyncio
import contextlib
import random
import signal
from functools import partial

import psutil
import pytest

from tests.faults.load import Load
from tests.faults.system import System, wait_until

LIFE_MAX_SECONDS = 4.0  # of a service that is going to be killed: starting takes about half of that


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.faults)])
async def test_service_killed_at_random_moments(system: System, times: int) -> None:
    async with Load(system) as load:
        await load.acknowledges(200)
        for _ in range(times):
            system.kill()
            system.launch()
            await asyncio.sleep(random.uniform(0, LIFE_MAX_SECONDS))
        await asyncio.to_thread(wait_until, system.is_ready)
        await load.acknowledges(200)
    await load.check()


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.faults)])
async def test_postmaster_killed(system: System, times: int) -> None:
    async with Load(system) as load:
        for _ in range(times):
            await load.acknowledges(200)
            before = restarts(system)
            system.postmaster().kill()
            await asyncio.to_thread(wait_until, partial(has_restarted, system, before))
        await load.acknowledges(200)
    await load.check()
    assert system.stop() == 0


def has_restarted(system: System, before: int) -> bool:
    return restarts(system) > before


def restarts(system: System) -> int:
    return int(system.metric("footfall_postgres_restarts"))


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.faults)])
async def test_backends_killed(system: System, times: int) -> None:
    async with Load(system) as load:
        for _ in range(times):
            await load.acknowledges(200)
            await asyncio.to_thread(wait_until, lambda: kills_a_backend(system))
        await load.acknowledges(200)
    await load.check()


def kills_a_backend(system: System) -> bool:
    """False when there is none at the moment."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = system.postmaster().children()
        backends = [child for child in children if " footfall [local]" in " ".join(child.cmdline())]
        if backends:
            random.choice(backends).kill()
            return True
    return False


@pytest.mark.parametrize("stop", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.faults)])
async def test_service_stopped_under_load(system: System, stop: signal.Signals) -> None:
    async with Load(system) as load:
        await load.acknowledges(200)
        system.process.send_signal(stop)
        assert await asyncio.to_thread(system.process.wait, 30) == 0
        await asyncio.to_thread(system.start)
        await load.acknowledges(200)
    await load.check()
