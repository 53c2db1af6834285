"""Storage first; the spool while that is away; and from there back to storage, in order, whatever goes wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, SinkUnavailable, SpoolFull
from app.ingest.spool.drain import Drain
from app.ingest.spool.file import SpoolFile
from app.ingest.spool.queue import Spool
from app.ingest.spool.recovering import RecoveringFile
from app.ingest.spool.sink import SpoolingSink
from app.metrics import Metrics
from tests.events import NOW, stored_event
from tests.fakes import FixedClock, MemorySink

STORED, SPOOLED = Outcome.STORED, Outcome.SPOOLED
GONE = SinkUnavailable("connection", "gone")


@dataclass
class Away:
    """Storage that a test can take away, with a spool in front of it."""

    storage: MemorySink
    spool: Spool
    sink: SpoolingSink
    metrics: Metrics

    async def store(self, *names: str) -> list[Outcome]:
        return await self.sink.store(events(*names), [], [Received(1, "native", NOW, len(names))])

    def stored(self) -> list[str]:
        return [event.event_name for event in self.storage.events]

    async def drained(self) -> None:
        async with asyncio.timeout(5):
            while not self.spool.empty or self.sink.away:  # noqa: ASYNC110  # the drain tells nobody
                await asyncio.sleep(0.005)  # the drain tells nobody

    @contextlib.asynccontextmanager
    async def draining(self, *, max_events: int = 100, timeout_seconds: float = 5) -> AsyncIterator[None]:
        drain = Drain(self.sink, max_events=max_events, timeout_seconds=timeout_seconds, metrics=self.metrics)
        job = asyncio.create_task(drain.run())
        try:
            yield
            assert not job.done()
        finally:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)


def broken(*_args: object) -> None:
    raise SpoolFull("SQLITE_READONLY")


def events(*names: str) -> list[Event]:
    return [stored_event(name) for name in names]


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Away]:
    metrics = Metrics()
    spool = Spool(tmp_path / "spool.sqlite", 2**20, clock=FixedClock())
    await spool.open()
    storage = MemorySink()
    yield Away(storage, spool, SpoolingSink(storage, spool, after_seconds=0.05, metrics=metrics), metrics)
    await spool.close()


async def test_storage_that_works_is_used_alone(away: Away) -> None:
    assert await away.store("a", "b") == [STORED, STORED]
    assert away.spool.empty


async def test_storage_that_fails_is_not_asked_again_for_new_events(away: Away) -> None:
    away.storage.failure = GONE
    assert [await away.store(name) for name in "abc"] == [[SPOOLED]] * 3
    assert away.storage.batches == [1]
    assert away.spool.event_count == 3


async def test_storage_that_hangs_is_given_up_in_time(away: Away) -> None:
    away.storage.gate.clear()
    async with asyncio.timeout(1):
        assert await away.store("a") == [SPOOLED]


async def test_what_was_spooled_is_stored_in_its_order_and_before_what_comes_later(away: Away) -> None:
    away.storage.failure = GONE
    for name in "abcde":
        await away.store(name)
    async with away.draining(max_events=2):
        await asyncio.sleep(0.05)  # it tries, in vain
        away.storage.failure = None
        later = await away.store("f")
        await away.drained()
        assert await away.store("g") == [STORED]
    assert later in ([STORED], [SPOOLED])
    assert away.stored() == list("abcdefg")
    assert sum(part.received for part in away.storage.received) == 7
    assert away.metrics.registry.get_sample_value("footfall_spool_replayed_events_total") in (5, 6)


async def test_several_batches_share_a_commit_when_they_drain(away: Away) -> None:
    away.storage.failure = GONE
    for n in range(10):
        await away.store(f"{n}")
    away.storage.failure, away.storage.batches = None, []
    async with away.draining(max_events=4):
        await away.drained()
    assert away.storage.batches == [4, 4, 2]


async def test_a_spool_from_an_earlier_life_is_drained(away: Away) -> None:
    away.storage.failure = GONE
    await away.store("a")
    away.storage.failure = None
    away.sink = SpoolingSink(away.storage, away.spool, after_seconds=0.05, metrics=away.metrics)
    async with away.draining():
        await away.drained()
    assert away.stored() == ["a"]


async def test_a_commit_whose_answer_was_lost_is_not_stored_twice(away: Away) -> None:
    first = events("a")
    away.storage.events += first  # committed, but the connection broke
    away.storage.failure = GONE
    await away.sink.store(first, [], [])
    away.storage.failure = None
    async with away.draining():
        await away.drained()
    assert away.stored() == ["a"]


async def test_an_unstorable_event_does_not_hold_up_the_others(away: Away) -> None:
    away.storage.failure = GONE
    await away.store("a", "bad", "b")
    await away.store("c")
    away.storage.failure, away.storage.unstorable = None, {"bad"}
    async with away.draining():
        await away.drained()
    assert away.stored() == ["a", "b", "c"]
    [refused] = away.storage.refused
    assert (refused.format, refused.rejection.reason) == ("native", "unstorable")
    assert sum(part.received for part in away.storage.received) == 4


async def test_a_bug_does_not_end_the_drain(away: Away) -> None:
    away.storage.failure = GONE
    await away.store("a")
    away.storage.failure = RuntimeError("a bug")
    async with away.draining():
        await asyncio.sleep(0.05)
        away.storage.failure = None
        await away.drained()
    assert away.stored() == ["a"]


async def test_a_slow_storage_gets_smaller_commits(away: Away) -> None:
    away.storage.failure = GONE
    for n in range(4):
        await away.store(f"{n}")
    away.storage.failure, away.storage.batches = None, []
    away.storage.gate.clear()
    async with away.draining(max_events=4, timeout_seconds=0.02):
        while len(away.storage.batches) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        away.storage.gate.set()
        await away.drained()
    assert away.storage.batches[:3] == [4, 2, 1]
    assert away.stored() == list("0123")


async def test_with_the_spool_full_storage_is_found_again_without_new_events(away: Away, tmp_path: Path) -> None:
    away.storage.failure = GONE
    spool = Spool(tmp_path / "tiny.sqlite", 1, clock=FixedClock())
    await spool.open()
    away.spool, away.sink = (
        spool,
        SpoolingSink(away.storage, spool, after_seconds=0.05, metrics=away.metrics),
    )
    with pytest.raises(SpoolFull):
        await away.store(*(f"{n}" * 80 for n in range(20_000)))
    async with away.draining():
        away.storage.failure = None
        await away.drained()
    assert await away.store("b") == [STORED]
    await spool.close()


async def test_with_a_spool_that_cannot_be_used_storage_is_found_again(away: Away, tmp_path: Path) -> None:
    (tmp_path / "no_file.sqlite").mkdir()
    spool = Spool(tmp_path / "no_file.sqlite", 2**20, clock=FixedClock())
    await spool.open()
    away.spool, away.sink = (
        spool,
        SpoolingSink(away.storage, spool, after_seconds=0.05, metrics=away.metrics),
    )
    away.storage.failure = GONE
    with pytest.raises(SpoolFull):
        await away.store("a")
    async with away.draining():
        away.storage.failure = None
        await away.drained()
    assert await away.store("a") == [STORED]
    await spool.close()


async def test_storage_that_is_back_takes_events_though_those_in_the_spool_cannot_be_read(
    away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    away.storage.failure = GONE
    await away.store("a")
    async with away.draining():
        with monkeypatch.context() as disk:
            disk.setattr(RecoveringFile, "_opened", broken)
            away.storage.failure = None
            while away.sink.away:  # noqa: ASYNC110  # the drain tells nobody
                await asyncio.sleep(0.005)
            assert await away.store("b") == [STORED]
            assert not away.spool.empty
        await away.drained()
    assert away.stored() == ["b", "a"]


async def test_what_cannot_be_taken_out_of_the_spool_is_stored_once_and_keeps_nobody_waiting(
    away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    away.storage.failure = GONE
    await away.store("a", "b")
    away.storage.batches = []
    async with away.draining():
        with monkeypatch.context() as disk:
            disk.setattr(SpoolFile, "remove", broken)
            away.storage.failure = None
            while away.storage.batches.count(0) < 2:  # noqa: ASYNC110  # the drain tells nobody
                await asyncio.sleep(0.005)
            assert not away.sink.away
            assert await away.store("c") == [STORED]
        await away.drained()
        assert await away.store("d") == [STORED]
    assert away.storage.batches.count(2) == 1
    assert away.stored() == list("abcd")
