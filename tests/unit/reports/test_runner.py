"""Reports are bounded in number and time, whatever they wait for."""

import asyncio
import threading
from typing import Any

import pytest

from app.errors import TooMany, Unavailable
from app.metrics import Metrics
from app.reports.runner import QUEUE_PER_SLOT, ReportRunner


class HangingMirror:
    """Like a mirror whose Postgres does not answer."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def catch_up(self) -> None:
        self.asked += 1
        assert self.answers.wait(30)
        raise ConnectionError


@pytest.fixture
def mirror() -> Any:
    return HangingMirror()


async def test_the_limit_holds_and_the_answer_says_so_while_the_mirror_waits_for_postgres(mirror: Any) -> None:
    runner = ReportRunner(mirror, concurrency=1, timeout_seconds=0.05, metrics=Metrics())

    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await runner.run("funnel", 1, lambda scan: scan)
    mirror.answers.set()  # its thread has to end before the loop can


async def test_a_slot_is_taken_until_its_thread_has_ended(mirror: Any) -> None:
    runner = ReportRunner(mirror, concurrency=1, timeout_seconds=0.05, metrics=Metrics())
    with pytest.raises(Unavailable):
        await runner.run("funnel", 1, lambda scan: scan)
    waiting = [asyncio.create_task(runner.run("funnel", 1, lambda scan: scan)) for _ in range(QUEUE_PER_SLOT)]
    await asyncio.sleep(0)

    with pytest.raises(TooMany):
        await runner.run("funnel", 1, lambda scan: scan)
    assert mirror.asked == 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    mirror.answers.set()
