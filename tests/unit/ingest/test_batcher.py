"""Requests share commits: bounded, fair, and no request suffers for what another one does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable, SpoolFull
from app.errors import InsufficientStorage, TooMany, Unavailable
from app.ingest.batcher import Batcher, BatcherLimits, Submission
from app.metrics import Metrics
from tests.events import NOW, stored_event
from tests.fakes import MemorySink

STORED, DUPLICATE, REJECTED = Outcome.STORED, Outcome.DUPLICATE, Outcome.REJECTED
OpenBatcher = Callable[..., AbstractAsyncContextManager[Batcher]]


def submission(*names: str, shop: int = 1, size_bytes: int = 10) -> Submission:
    """One request with events of these names."""
    return Submission(shop, [stored_event(name, storefront_id=shop) for name in names], [], size_bytes)


def of_size(count: int, shop: int = 1) -> Submission:
    return submission(*["page_viewed"] * count, shop=shop)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def open_batcher(sink: MemorySink) -> OpenBatcher:
    @asynccontextmanager
    async def opened(
        *,
        max_events: int = 100,
        max_bytes: int = 1_000,
        flush_max_events: int = 50,
        flush_timeout_seconds: float = 5,
        writers: int = 1,
    ) -> AsyncIterator[Batcher]:
        limits = BatcherLimits(max_events, max_bytes, flush_max_events, flush_timeout_seconds)
        batcher = Batcher(sink, limits, writers=writers, metrics=Metrics())
        try:
            yield batcher
        finally:
            sink.gate.set()
            await batcher.drain(5)

    return opened


async def begin(batcher: Batcher, *submissions: Submission) -> list[asyncio.Task[list[Outcome]]]:
    """Submit all, in order, without waiting for their commits."""
    tasks = [asyncio.create_task(batcher.submit(one)) for one in submissions]
    await asyncio.sleep(0)
    return tasks


async def test_requests_that_wait_share_the_next_commit(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, of_size(1))
        await sink.called.wait()
        tasks += await begin(batcher, *(of_size(2) for _ in range(10)))
        sink.gate.set()

        assert await asyncio.gather(*tasks) == [[STORED]] + [[STORED, STORED]] * 10
    assert sink.batches == [1, 20]


async def test_a_commit_is_bounded_and_no_request_is_split(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(flush_max_events=10) as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, of_size(1))
        await sink.called.wait()
        tasks += await begin(batcher, of_size(6), of_size(6), of_size(30), of_size(2))
        sink.gate.set()
        await asyncio.gather(*tasks)
    assert sink.batches == [1, 6, 6, 30, 2]


async def test_every_request_gets_the_outcomes_of_its_own_events(open_batcher: OpenBatcher) -> None:
    known = stored_event("known")
    async with open_batcher() as batcher:
        await batcher.submit(Submission(1, [known], [], 10))
        new, old, mixed = await asyncio.gather(
            batcher.submit(of_size(2)),
            batcher.submit(Submission(1, [known], [], 10)),
            batcher.submit(Submission(1, [stored_event(), known, stored_event()], [], 10)),
        )
    assert (new, old, mixed) == ([STORED, STORED], [DUPLICATE], [STORED, DUPLICATE, STORED])


async def test_several_writers_commit_at_once(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(writers=2) as batcher:
        sink.gate.clear()
        await begin(batcher, of_size(1))
        await sink.called.wait()
        sink.called.clear()
        await begin(batcher, of_size(1))
        await sink.called.wait()
    assert sink.batches == [1, 1]


async def test_a_full_buffer_refuses_and_empties_again(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(max_events=10) as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, of_size(5, shop=1), of_size(5, shop=2))

        with pytest.raises(Unavailable):
            await batcher.submit(of_size(1, shop=3))
        sink.gate.set()
        await asyncio.gather(*tasks)

        assert await batcher.submit(of_size(5, shop=3)) == [STORED] * 5


async def test_the_buffer_is_bounded_in_bytes_too(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(max_bytes=100) as batcher:
        sink.gate.clear()
        await begin(batcher, submission("a", size_bytes=60))

        with pytest.raises(Unavailable):
            await batcher.submit(submission("b", shop=2, size_bytes=41))


async def test_a_storefront_fills_half_of_the_buffer_at_most(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(max_events=10) as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, of_size(5, shop=1))

        with pytest.raises(TooMany) as refused:
            await batcher.submit(of_size(1, shop=1))
        tasks += await begin(batcher, of_size(5, shop=2))
        sink.gate.set()

        assert refused.value.headers["Retry-After"] == "2"
        assert [len(outcomes) for outcomes in await asyncio.gather(*tasks)] == [5, 5]


async def test_one_request_may_exceed_the_share_when_nothing_waits(open_batcher: OpenBatcher) -> None:
    async with open_batcher(max_events=10) as batcher:
        assert await batcher.submit(of_size(9)) == [STORED] * 9


async def test_draining_commits_what_is_held_and_takes_no_more(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, of_size(3))
        await sink.called.wait()
        tasks += await begin(batcher, of_size(4))
        draining = asyncio.create_task(batcher.drain(5))
        await asyncio.sleep(0)

        with pytest.raises(Unavailable):
            await batcher.submit(of_size(1))
        sink.gate.set()
        await draining

        assert [task.result() for task in tasks] == [[STORED] * 3, [STORED] * 4]


async def test_what_cannot_be_drained_in_time_is_not_acknowledged(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        sink.gate.clear()
        [waiting] = await begin(batcher, of_size(1))
        await batcher.drain(0.01)

        with pytest.raises(Unavailable):
            await waiting
    assert sink.events == []


async def test_a_sender_that_hangs_up_cancels_nobody(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, submission("first"))
        await sink.called.wait()
        tasks += await begin(batcher, submission("second"), submission("third"))
        for impatient in tasks[:2]:
            impatient.cancel()
        sink.gate.set()

        assert await tasks[2] == [STORED]
        assert batcher.healthy
    assert [event.event_name for event in sink.events] == ["first", "second", "third"]


async def test_an_unstorable_event_is_quarantined_and_its_neighbours_are_stored(
    open_batcher: OpenBatcher, sink: MemorySink
) -> None:
    sink.unstorable = {"bad"}
    async with open_batcher() as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, submission("other"))
        await sink.called.wait()
        tasks += await begin(batcher, submission("good"), submission("good", "bad", "good"))
        sink.gate.set()
        outcomes = await asyncio.gather(*tasks)

    assert outcomes == [[STORED], [STORED], [STORED, REJECTED, STORED]]
    [refused] = sink.refused
    assert refused.rejection.reason == "unstorable"
    assert b'"bad"' in refused.rejection.raw


@pytest.mark.parametrize("failure", [SinkUnavailable("connection", "gone"), RuntimeError("a bug")])
async def test_a_failed_commit_is_the_answer_and_not_the_end(
    open_batcher: OpenBatcher, sink: MemorySink, failure: Exception
) -> None:
    async with open_batcher() as batcher:
        sink.failure = failure
        with pytest.raises(Unavailable) as refused:
            await batcher.submit(of_size(1))
        sink.failure = None

        assert int(refused.value.headers["Retry-After"]) >= 1
        assert await batcher.submit(of_size(1)) == [STORED]
        assert batcher.healthy


class SinkThatCannotQuarantine(MemorySink):
    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        if refused:
            raise RuntimeError("a bug")
        return await super().store(events, refused, received)


async def test_a_bug_met_while_storing_one_by_one_ends_no_writer() -> None:
    sink = SinkThatCannotQuarantine()
    sink.unstorable = {"bad"}
    batcher = Batcher(sink, BatcherLimits(10, 100, 10, 5), writers=1, metrics=Metrics())
    try:
        async with asyncio.timeout(1):
            with pytest.raises(Unavailable):
                await batcher.submit(submission("bad"))
        assert batcher.healthy
    finally:
        await batcher.drain(0)


async def test_a_commit_that_hangs_is_given_up(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(flush_timeout_seconds=0.01) as batcher:
        sink.gate.clear()
        with pytest.raises(Unavailable):
            await batcher.submit(of_size(1))
        sink.gate.set()

        assert await batcher.submit(of_size(1)) == [STORED]


async def test_an_unstorable_event_is_quarantined_as_it_was_received(
    open_batcher: OpenBatcher, sink: MemorySink
) -> None:
    sink.unstorable = {"bad"}
    bad = replace(stored_event("bad"), source="segment", occurred_at=NOW - timedelta(seconds=5))
    received = Received(1, "segment", NOW, 3)
    given = Submission(1, [stored_event(), bad, stored_event()], [], 10, [received], [b"0", b"1", b"2"].__getitem__)
    async with open_batcher() as batcher:
        sink.gate.clear()
        tasks = await begin(batcher, of_size(3), given)
        sink.gate.set()
        assert (await asyncio.gather(*tasks))[1] == [STORED, REJECTED, STORED]
    [refused] = sink.refused
    assert (refused.format, refused.rejection.raw) == ("segment", b"1")
    assert refused.sent_at == NOW + timedelta(seconds=5)  # so that a replay corrects its clock in the same way
    assert sum(part.received for part in sink.received) == 3


async def test_no_room_on_disk_is_507(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    sink.failure = SpoolFull("SQLITE_FULL", no_room=True)
    async with open_batcher() as batcher:
        with pytest.raises(InsufficientStorage) as refused:
            await batcher.submit(of_size(1))
    assert refused.value.status == 507


async def test_commits_that_fail_again_and_again_are_logged_once(
    open_batcher: OpenBatcher, sink: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.failure = SpoolFull("SQLITE_FULL", no_room=True)
    async with open_batcher() as batcher:
        for _ in range(5):
            with pytest.raises(InsufficientStorage):
                await batcher.submit(of_size(1))

    assert [vars(record)["failures"] for record in caplog.records if record.msg == "flush failed"] == [1]


# -- fairness --------------------------------------------------------------------------------------------------


async def test_who_sends_little_does_not_wait_for_the_commits_of_others(
    open_batcher: OpenBatcher, sink: MemorySink
) -> None:
    async with open_batcher(max_events=1_000, writers=1) as batcher:
        sink.gate.clear()
        await begin(batcher, of_size(40, shop=1))
        await sink.called.wait()
        await begin(batcher, *(of_size(40, shop=1) for _ in range(5)))
        sink.called.clear()
        await begin(batcher, of_size(2, shop=2))
        async with asyncio.timeout(1):
            await sink.called.wait()
        assert sink.batches == [40, 2]


async def test_storefronts_that_send_much_take_turns(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(max_events=2_000, flush_max_events=220) as batcher:
        sink.gate.clear()
        await begin(batcher, of_size(1, shop=1))
        await sink.called.wait()
        flood = await begin(batcher, *(of_size(110, shop=1) for _ in range(6)))
        others = await begin(batcher, *(of_size(110, shop=2) for _ in range(2)))
        sink.gate.set()
        await asyncio.gather(*others)

        assert sum(task.done() for task in flood) <= 2
        await asyncio.gather(*flood)


async def test_what_a_storefront_sends_stays_in_its_order(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher(max_events=1_000, flush_max_events=3) as batcher:
        tasks = await begin(batcher, *(submission(f"{n}", shop=n % 2) for n in range(40)))
        await asyncio.gather(*tasks)
    for shop in (0, 1):
        assert [int(e.event_name) for e in sink.events if e.storefront_id == shop] == list(range(shop, 40, 2))


# -- notes for the ledger --------------------------------------------------------------------------------------


def limited(count: int = 1, *, minutes: int = 0, shop: int = 1) -> Received:
    return Received(shop, "native", NOW + timedelta(minutes=minutes), count, limited=count)


async def test_notes_ride_in_the_next_commit_added_up_by_minute(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        for note in (limited(), limited(), limited(minutes=1), limited(shop=2)):
            batcher.note(note)
        await batcher.submit(of_size(1))
    assert sink.received == [limited(2), limited(minutes=1), limited(shop=2)]


async def test_notes_go_alone_when_nothing_else_comes(
    open_batcher: OpenBatcher, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ingest.batcher.NOTE_SECONDS", 0.01)
    async with open_batcher() as batcher:
        batcher.note(limited())
        async with asyncio.timeout(1):
            await sink.called.wait()
    assert sink.received == [limited()]


async def test_notes_of_a_failed_commit_are_kept_for_the_next(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        batcher.note(limited())
        sink.failure = SinkUnavailable("connection", "gone")
        with pytest.raises(Unavailable):
            await batcher.submit(of_size(1))
        batcher.note(limited())
        sink.failure = None
    assert sink.received == [limited(2)]


async def test_the_oldest_waiting_event_has_an_age(open_batcher: OpenBatcher, sink: MemorySink) -> None:
    async with open_batcher() as batcher:
        assert batcher.oldest_age_seconds() == 0
        sink.gate.clear()
        [task] = await begin(batcher, of_size(1))
        await sink.called.wait()

        assert batcher.oldest_age_seconds() > 0
        sink.gate.set()
        await task
        assert batcher.oldest_age_seconds() == 0
