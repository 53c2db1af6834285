"""Reports are bounded in number and time, whatever they wait for, and end when nobody wants them any more."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import OverTimeLimit, TooMany, Unavailable
from app.metrics import Metrics
from app.mirror.follow import Mirror, Progress
from app.mirror.scan import Scan
from app.reports.flights import Flight, Flights
from app.reports.looks import Looks
from app.reports.runner import QUEUE_PER_SLOT, ReportRunner

ENDLESS = "SELECT count(*) AS n FROM range(100000000) a, range(100000000) b WHERE a.range % 7 = b.range % 5"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """Empty, in memory."""
    mirror = Mirror(Path(":memory:"), "no Postgres behind it", memory_bytes=64 * 1024**2, cache_bytes=0)
    mirror.open()
    with mirror.cursor() as cursor:
        cursor.execute("UPDATE follower SET as_of_us = 1")
    yield mirror
    mirror.close()


@pytest.fixture
def runner(mirror: Mirror) -> ReportRunner:
    return ReportRunner(mirror, concurrency=1, timeout_seconds=60, metrics=Metrics())


@pytest.fixture
async def hold(runner: ReportRunner) -> AsyncIterator[threading.Event]:
    """The only slot is taken until this is set."""
    taken, go_on = threading.Event(), threading.Event()

    def wait(scan: Scan) -> None:
        taken.set()
        assert go_on.wait(30)

    task = asyncio.create_task(runner.run("funnel", 1, wait))
    await asyncio.to_thread(taken.wait)
    yield go_on
    go_on.set()
    await task


async def is_free(runner: ReportRunner) -> bool:
    """Once the slot is, at the latest after ten seconds."""
    async with asyncio.timeout(10):
        return await runner.run("funnel", 1, lambda _: True)


# Slots and time


async def test_a_report_waits_for_a_slot_and_is_then_answered(runner: ReportRunner, hold: threading.Event) -> None:
    waiting = asyncio.create_task(runner.run("funnel", 1, lambda _: "answer"))
    await asyncio.sleep(0)
    assert not waiting.done()
    hold.set()
    assert await waiting == "answer"


async def test_beyond_those_that_may_wait_reports_are_turned_away(runner: ReportRunner, hold: threading.Event) -> None:
    waiting = [asyncio.create_task(runner.run("funnel", 1, lambda scan: scan)) for _ in range(QUEUE_PER_SLOT)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await runner.run("funnel", 1, lambda scan: scan)
    hold.set()
    await asyncio.gather(*waiting)


async def test_a_report_that_is_cancelled_while_it_waits_makes_room(
    runner: ReportRunner, hold: threading.Event
) -> None:
    waiting = [asyncio.create_task(runner.run("funnel", 1, lambda scan: scan)) for _ in range(QUEUE_PER_SLOT)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    await asyncio.wait({waiting[3]})
    waiting[3] = asyncio.create_task(runner.run("funnel", 1, lambda scan: scan))
    hold.set()
    await asyncio.gather(*waiting)


async def test_a_report_over_its_time_is_told_so_and_its_query_is_ended(mirror: Mirror) -> None:
    runner = ReportRunner(mirror, concurrency=1, timeout_seconds=0.05, metrics=Metrics())
    with pytest.raises(OverTimeLimit) as raised:
        await runner.run("funnel", 1, lambda scan: scan._fetch(ENDLESS, []))
    assert "shorten the range" in raised.value.detail
    runner._timeout_seconds = 60
    assert await is_free(runner)


async def test_a_slot_is_taken_until_its_thread_has_ended(mirror: Mirror) -> None:
    runner = ReportRunner(mirror, concurrency=1, timeout_seconds=0.05, metrics=Metrics())
    go_on = threading.Event()
    with pytest.raises(OverTimeLimit):
        await runner.run("funnel", 1, lambda _: go_on.wait(30))
    waiting = asyncio.create_task(runner.run("funnel", 1, lambda _: True))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    go_on.set()
    async with asyncio.timeout(10):
        assert await waiting


# Cancellation


async def run_and_cancel(runner: ReportRunner, work: Any) -> None:
    """Cancels the report as soon as its thread works."""
    working = threading.Event()

    def note_and_work(scan: Scan) -> Any:
        working.set()
        return work(scan)

    task = asyncio.create_task(runner.run("funnel", 1, note_and_work))
    await asyncio.to_thread(working.wait)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_cancelled_in_a_query_it_frees_its_slot_soon(runner: ReportRunner) -> None:
    await run_and_cancel(runner, lambda scan: scan._fetch(ENDLESS, []))
    assert await is_free(runner)


async def test_cancelled_between_two_queries_it_ends_in_the_next_one(runner: ReportRunner) -> None:
    """An interrupt that comes while no query runs has no effect on the one that comes then."""

    def work(scan: Scan) -> Any:
        while not scan.stop[0]:
            pass
        return scan._fetch(ENDLESS, [])

    await run_and_cancel(runner, work)
    assert await is_free(runner)


async def test_cancelled_in_a_compiled_pass_it_ends_where_the_pass_looks_at_stop(runner: ReportRunner) -> None:
    def work(scan: Scan) -> None:
        while not scan.stop[0]:
            pass

    await run_and_cancel(runner, work)
    assert await is_free(runner)


async def test_the_mirror_can_be_closed_after_a_report_was_cancelled_in_a_query(
    runner: ReportRunner, mirror: Mirror
) -> None:
    """As at a stop of the service. DuckDB does not close a file under a query."""
    await run_and_cancel(runner, lambda scan: scan._fetch(ENDLESS, []))
    await asyncio.to_thread(mirror.close)


# Single flight


class Work:
    """Work held in the test's hands. ended: how it did."""

    def __init__(self) -> None:
        self.count = 0
        self.ended: str | None = None
        self.go_on = asyncio.Event()

    async def __call__(self, _: Flight[str]) -> str:
        self.count += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "done"
        return "answer"


async def asks(flights: Flights[str], work: Work, question: str = "q", version: int = 1) -> asyncio.Task[str]:
    """A client that has begun to wait."""

    flight = flights.find(question, version) or flights.start(question, work)
    task = asyncio.create_task(flight.result())
    await asyncio.sleep(0)
    return task


async def test_what_two_ask_at_once_is_worked_out_once() -> None:
    flights, work = Flights[str](), Work()
    one, two = await asks(flights, work), await asks(flights, work)
    work.go_on.set()
    assert [await one, await two] == ["answer", "answer"]
    assert work.count == 1


async def test_when_one_of_two_goes_away_the_other_still_gets_the_answer() -> None:
    flights, work = Flights[str](), Work()
    one, two = await asks(flights, work), await asks(flights, work)
    one.cancel()
    await asyncio.wait({one})
    work.go_on.set()
    assert await two == "answer"


async def test_when_the_last_goes_away_the_work_is_cancelled_and_nobody_joins_it_any_more() -> None:
    flights, work = Flights[str](), Work()
    one, two = await asks(flights, work), await asks(flights, work)
    for task in (one, two):
        task.cancel()
        await asyncio.wait({task})
    three = await asks(flights, work)
    assert (work.count, work.ended) == (2, "cancelled")
    work.go_on.set()
    assert await three == "answer"


async def test_who_asks_after_newer_rows_does_not_join_work_on_older_ones() -> None:
    flights, older, newer = Flights[str](), Work(), Work()
    one = await asks(flights, older, version=1)
    two = await asks(flights, newer, version=2)
    assert (older.count, newer.count) == (1, 0)  # it has not begun: it will find the newer rows
    flight = flights.find("q", 2)
    assert flight is not None
    flight.version = 1
    three = await asks(flights, newer, version=2)
    assert (older.count, newer.count) == (1, 1)
    older.go_on.set()
    newer.go_on.set()
    await asyncio.gather(one, two, three)


async def test_a_failure_is_everybodys() -> None:
    async def fail(flight: Flight[str]) -> str:
        await asyncio.sleep(0)
        raise TooMany("so many", retry_after_seconds=1)

    flights: Flights[str] = Flights()
    flight = flights.start("q", fail)
    found = await asyncio.gather(flight.result(), flight.result(), return_exceptions=True)
    assert [type(each) for each in found] == [TooMany, TooMany]


# Looks


class HeldMirror:
    """Like a mirror whose Postgres does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.looking = threading.Event()
        self.look_count = 0

    def catch_up(self) -> Progress:
        """event_count says which look it was."""
        self.look_count += 1
        self.looking.set()
        assert self.answers.wait(30)
        return Progress(0, self.look_count)


async def test_the_time_limit_holds_and_the_answer_says_so_while_the_mirror_waits_for_postgres() -> None:
    mirror: Any = HeldMirror()
    with pytest.raises(Unavailable) as raised:
        await Looks(mirror, timeout_seconds=0.05).catch_up()
    assert "0.05 seconds" in raised.value.detail
    mirror.answers.set()  # its thread has to end before the loop can


async def test_all_who_ask_during_a_look_share_the_one_that_begins_after_it() -> None:
    mirror: Any = HeldMirror()
    looks = Looks(mirror, timeout_seconds=30)
    first = asyncio.create_task(looks.catch_up())
    await asyncio.to_thread(mirror.looking.wait)
    later = [asyncio.create_task(looks.catch_up()) for _ in range(20)]
    await asyncio.sleep(0)
    mirror.answers.set()
    assert [found.event_count for found in await asyncio.gather(first, *later)] == [1] + [2] * 20


async def test_a_look_that_failed_does_not_keep_the_next_one_from_happening() -> None:
    class Away:
        def catch_up(self) -> None:
            raise ConnectionError

    mirror: Any = Away()
    looks = Looks(mirror, timeout_seconds=30)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await looks.catch_up()


async def test_a_report_waits_for_the_compiler_however_long_that_takes(mirror: Mirror) -> None:
    compiled = asyncio.Event()
    runner = ReportRunner(mirror, concurrency=1, timeout_seconds=5, metrics=Metrics(), compiled=compiled)
    asking = asyncio.create_task(runner.run("funnel", 1, lambda scan: scan.storefront_id))
    done, _ = await asyncio.wait({asking}, timeout=0.05)
    assert not done

    compiled.set()
    assert await asking == 1
