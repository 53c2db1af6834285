"""A batch with an event that can't be stored is stored in halves, each of which is a whole to the ledger."""

import pytest

from app.domain.event import Event
from app.domain.ledger import Received, ledger_lines
from app.domain.outcome import Outcome, SinkUnavailable
from app.ingest.apart import store_apart
from app.ingest.sink import Batch
from tests.events import NOW, stored_event
from tests.fakes import MemorySink

STORED, REJECTED = Outcome.STORED, Outcome.REJECTED


class SinkThatBreaksOff(MemorySink):
    """Fails for good after so many commits."""

    def __init__(self, commits: int) -> None:
        super().__init__()
        self.unstorable = {"bad"}
        self._commits_left = commits

    async def store_batch(self, batch: Batch) -> list[Outcome]:
        if not self._commits_left:
            raise SinkUnavailable("connection", "gone")
        outcomes = await self.store(batch.events, batch.refused, batch.received)
        self._commits_left -= 1
        return outcomes


def given() -> list[Event]:
    return [stored_event(name) for name in ("a", "b", "bad", "c", "d")]


async def test_what_was_received_is_counted_once() -> None:
    sink, received = SinkThatBreaksOff(100), Received(1, "native", NOW, 7, no_consent=2)
    assert await store_apart(sink.store_batch, Batch(given(), [], [received])) == [
        *(STORED, STORED, REJECTED, STORED, STORED)
    ]
    assert sum(part.received for part in sink.received) == 7
    assert sum(part.no_consent for part in sink.received) == 2


@pytest.mark.parametrize("commits", [1, 2, 3])
async def test_broken_off_anywhere_the_ledger_adds_up(commits: int) -> None:
    sink = SinkThatBreaksOff(commits)
    with pytest.raises(SinkUnavailable):
        await store_apart(sink.store_batch, Batch(given(), [], [Received(1, "native", NOW, 5)]))
    [line] = ledger_lines(sink.received, sink.events, [STORED] * len(sink.events), sink.refused).values()
    assert line.received == line.stored + line.rejected > 0


async def test_repeated_it_gives_the_refused_event_the_same_id() -> None:
    sink, events = SinkThatBreaksOff(100), given()
    for _ in range(2):
        await store_apart(sink.store_batch, Batch(events, [], []))
    first, second = sink.refused
    assert first.refusal_id == second.refusal_id
