"""`footfall quarantine replay`: refused events are stored after all, as they came, and each of them once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.replay import replay as replay_module
from app.replay.fix import Fix, parse_fix
from app.replay.replay import Replayed, replay
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.quarantine import Selection
from tests.conftest import run_sql
from tests.events import NOW, sent
from tests.fakes import FixedClock, MemorySink
from tests.integration.commands import Done, Footfall
from tests.service import Service

PRICE_MOVED = ("--rename", "price=properties.price")


@pytest.fixture
async def sink(database: DatabaseUrl) -> AsyncIterator[PostgresSink]:
    async with create_ingest_pool(database, connections=2, timeout_seconds=10) as pool:
        yield PostgresSink(pool)


class Replay:
    """Runs the command beside the service."""

    def __init__(self, footfall: Footfall, storefront_id: int) -> None:
        self._footfall = footfall
        self._storefront = str(storefront_id)

    async def __call__(self, *options: str) -> Done:
        return await asyncio.to_thread(self._footfall, "quarantine", "replay", self._storefront, *options)

    async def json(self, *options: str) -> Any:
        return (await self(*options, "--json")).json


@pytest.fixture
def run(on_database: DatabaseUrl, footfall: Footfall, service: Service) -> Replay:
    return Replay(footfall, service.storefront_id)


async def waiting_count(service: Service) -> int:
    [(count,)] = await service.rows("SELECT count(*) FROM quarantined_event WHERE replayed_at IS NULL")
    return int(count)


async def refuse(service: Service, *events: object) -> None:
    """These events are refused, all of them."""
    reply = await service.send(list(events))
    assert reply.status_code == 422, reply.text


# -- a trial ---------------------------------------------------------------------------------------------------------


async def test_without_apply_it_says_what_would_happen_and_changes_nothing(service: Service, run: Replay) -> None:
    await refuse(service, sent(price=5), sent(price=6), sent(visitor_id=None, price=7))

    told = await run(*PRICE_MOVED)

    assert told.code == 0
    assert "2 would be stored, 1 would still be refused. Nothing was changed" in told.text
    assert "no_person" in told.text
    assert "Give a visitor_id or a customer_id." in told.text
    assert await service.event_count() == 0
    assert await waiting_count(service) == 3


async def test_without_a_fix_an_event_is_refused_for_the_reason_it_was(service: Service, run: Replay) -> None:
    await refuse(service, sent(price=5))

    told = await run.json("--apply")

    assert (told["accepted"], told["stored"]) == (0, 0)
    [refusal] = told["refused"]
    assert (refusal["reason"], refusal["pointer"], refusal["count"]) == ("unknown_field", "/price", 1)
    assert await waiting_count(service) == 1


# -- what is stored --------------------------------------------------------------------------------------------------


async def test_a_mended_event_is_stored_with_the_time_and_trust_it_came_with(
    service: Service, clock: FixedClock, run: Replay
) -> None:
    await service.send(sent(price=5, client_time=None), key=service.server_key)
    clock.advance(3600)

    told = await run.json(*PRICE_MOVED, "--apply")

    assert told == {"accepted": 1, "stored": 1, "duplicates": 0, "refused": []}
    [row] = await service.rows("SELECT received_at, occurred_at, trust, properties FROM event")
    assert row.received_at == row.occurred_at == NOW
    assert row.trust == 2
    assert row.properties in ({"price": 5}, [5])
    assert await waiting_count(service) == 0


async def test_the_senders_clock_is_corrected_as_it_would_have_been(service: Service, run: Replay) -> None:
    event = sent(price=5, client_time="2026-03-02T09:59:00Z")
    reply = await service.send({"sent_at": "2026-03-02T10:00:00Z", "events": [event]})
    assert reply.status_code == 422

    await run("--drop", "price", "--apply")

    [(client_time, occurred_at)] = await service.rows("SELECT client_time, occurred_at FROM event")
    assert client_time == datetime(2026, 3, 2, 9, 59, tzinfo=UTC)
    assert occurred_at == datetime(2026, 3, 2, 11, 59, tzinfo=UTC)  # our clock said 12:00, the sender's 10:00


async def test_a_time_that_was_in_the_future_then_stays_refused_though_it_has_come(
    service: Service, clock: FixedClock, run: Replay
) -> None:
    await refuse(service, sent(client_time="2026-03-05T12:00:00Z"))
    clock.advance(7 * 86_400)

    told = await run.json("--apply")

    assert [refusal["reason"] for refusal in told["refused"]] == ["future_time"]


async def test_an_event_older_than_the_storefront_keeps_stays_refused(
    service: Service, database: DatabaseUrl, run: Replay
) -> None:
    await refuse(service, sent(price=5, client_time="2026-01-01T00:00:00Z"))
    run_sql(database, "UPDATE storefront SET retention_days = 30")

    told = await run.json("--drop", "price", "--apply")

    assert [refusal["reason"] for refusal in told["refused"]] == ["too_old"]


async def test_casts_defaults_and_drops_mend_too(service: Service, run: Replay) -> None:
    await refuse(
        service,
        sent(event_id="a", seq="7"),
        sent(event_id="b", visitor_id=None, seq="8"),
        sent(event_id="c", client_time=1772452800, junk=[1]),
    )

    casts = ("--cast", "seq=number", "--cast", "client_time=time")
    told = await run.json(*casts, "--default", "visitor_id=unknown", "--drop", "junk", "--apply")

    assert told["stored"] == 3
    rows = await service.rows(
        "SELECT seq, client_time, visitor_key FROM event JOIN visitor USING (visitor_id) ORDER BY seq"
    )
    assert [tuple(row) for row in rows] == [(0, NOW, "ana"), (7, NOW, "ana"), (8, NOW, "unknown")]


async def test_only_the_chosen_ones_are_replayed(service: Service, clock: FixedClock, run: Replay) -> None:
    await refuse(service, sent("early", price=5), sent("colour", colour="red"), sent("empty", visitor_id=""))
    clock.advance(86_400)
    await refuse(service, sent("late", price=5))
    drop = ("--drop", "price", "--drop", "colour", "--drop", "visitor_id", "--default", "visitor_id=x", "--apply")

    async def stored_names() -> list[str]:
        return [name for (name,) in await service.rows("SELECT event_name FROM event ORDER BY event_name")]

    await run("--pointer", "/price", "--to", "2026-03-03", *drop)
    assert await stored_names() == ["early"]
    await run("--reason", "empty", *drop)
    assert await stored_names() == ["early", "empty"]
    await run("--from", "2026-03-03T00:00:00Z", *drop)
    assert await stored_names() == ["early", "empty", "late"]
    await run(*drop)
    assert await stored_names() == ["colour", "early", "empty", "late"]


# -- each once -------------------------------------------------------------------------------------------------------


async def test_run_twice_it_stores_nothing_twice(service: Service, run: Replay) -> None:
    await refuse(service, sent(price=5), sent(price=6, event_id=None))

    first = await run.json(*PRICE_MOVED, "--apply")
    second = await run.json(*PRICE_MOVED, "--apply")

    assert first == {"accepted": 2, "stored": 2, "duplicates": 0, "refused": []}
    assert second == {"accepted": 0, "stored": 0, "duplicates": 0, "refused": []}
    assert await service.event_count() == 2


async def test_an_event_that_its_sender_has_mended_and_sent_again_is_known(service: Service, run: Replay) -> None:
    await refuse(service, sent(event_id="order 7", price=5))
    assert (await service.send(sent(event_id="order 7"))).json()["stored"] == 1

    told = await run.json("--drop", "price", "--apply")

    assert (told["stored"], told["duplicates"]) == (0, 1)
    assert await service.event_count() == 1
    assert await waiting_count(service) == 0


def dropping_price() -> Fix:
    return parse_fix((), (), ("price",), ())


async def test_killed_between_storing_and_marking_it_stores_nothing_twice(
    service: Service, sink: PostgresSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refuse(service, sent(price=5), sent(price=6, event_id=None), sent(price=7, event_id=None, client_time=None))
    selection = Selection(service.storefront_id)

    async def killed(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "mark_replayed", killed)
        with pytest.raises(ConnectionResetError):
            await replay(service.engine, sink.store, selection, dropping_price())
    assert (await service.event_count(), await waiting_count(service)) == (3, 3)

    again = await replay(service.engine, sink.store, selection, dropping_price())

    assert (again.stored, again.duplicates) == (0, 3)
    assert (await service.event_count(), await waiting_count(service)) == (3, 0)


async def test_two_at_once_store_each_event_once(service: Service, sink: PostgresSink) -> None:
    await refuse(service, *(sent(price=n, event_id=None) for n in range(50)))

    both: list[Replayed] = await asyncio.gather(
        *(replay(service.engine, sink.store, Selection(service.storefront_id), dropping_price()) for _ in range(2))
    )

    assert sum(done.stored for done in both) == 50
    assert await service.event_count() == 50
    assert await waiting_count(service) == 0


async def test_many_events_are_read_page_by_page(
    service: Service, sink: PostgresSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.quarantine.PAGE_MAX_EVENTS", 7)
    monkeypatch.setattr("app.storage.quarantine.PAGE_MAX_BYTES", 400)  # two or three events
    await refuse(service, *(sent(price=n) for n in range(20)))
    steps: list[int] = []

    done = await replay(service.engine, sink.store, Selection(service.storefront_id), dropping_price(), steps.append)

    assert (done.looked_at, done.stored) == (20, 20)
    assert sum(steps) == 20
    assert len(steps) > 3


# -- what stays ------------------------------------------------------------------------------------------------------


async def test_a_body_that_could_not_be_read_stays_whole_with_its_reason(service: Service, run: Replay) -> None:
    reply = await service.send_bytes(b'{"events": [{"event": "x", "visitor_id": "ana"}')
    assert reply.status_code == 400

    for fix in ((), ("--drop", "price")):
        told = await run.json(*fix, "--apply")
        assert [refusal["reason"] for refusal in told["refused"]] == ["invalid_json"]
    assert await waiting_count(service) == 1


@pytest.mark.parametrize("piece", [[], 5, "text", None])
async def test_what_was_no_event_is_none_as_a_body_either(service: Service, run: Replay, piece: object) -> None:
    await refuse(service, piece)

    told = await run.json("--apply")

    assert (told["stored"], sum(refusal["count"] for refusal in told["refused"])) == (0, 1)
    assert await waiting_count(service) == 1


async def test_an_event_that_can_not_be_stored_stays_and_spoils_no_other(service: Service) -> None:
    await refuse(service, sent("good", price=5), sent("bad", price=6), sent("fine", price=7))
    sink = PickySink()

    done = await replay(service.engine, sink.store, Selection(service.storefront_id), dropping_price())

    assert [event.event_name for event in sink.events] == ["good", "fine"]
    assert (done.stored, done.accepted) == (2, 2)
    assert [(refusal.reason, count) for refusal, count in done.refused.items()] == [("unstorable", 1)]
    assert await waiting_count(service) == 1


class PickySink(MemorySink):
    def __init__(self) -> None:
        super().__init__()
        self.unstorable = {"bad"}


async def test_what_the_database_refused_is_not_tried_again(
    service: Service, database: DatabaseUrl, run: Replay
) -> None:
    await refuse(service, sent(price=5))
    run_sql(database, "UPDATE quarantined_event SET reason = 'unstorable'")

    told = await run.json("--drop", "price", "--apply")

    [refusal] = told["refused"]
    assert refusal["reason"] == "unstorable"
    assert "send it anew" in refusal["detail"]


# -- the ledger ------------------------------------------------------------------------------------------------------


async def test_the_ledger_adds_up_before_and_after(service: Service, clock: FixedClock, run: Replay) -> None:
    await refuse(service, sent(price=5), sent(price=6), sent(client_time="yesterday"))
    clock.advance(3600)
    await run(*PRICE_MOVED)
    await run(*PRICE_MOVED, "--apply")
    await run(*PRICE_MOVED, "--apply")

    lines = await service.rows(
        "SELECT source, minute, sum(received)::int, sum(stored)::int, sum(duplicate)::int, sum(rejected)::int"
        " FROM ledger GROUP BY source, minute ORDER BY source"
    )

    minute = NOW.replace(second=0, microsecond=0)
    assert [tuple(line) for line in lines] == [("native", minute, 3, 0, 0, 3), ("replay", minute, 2, 2, 0, 0)]


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rename", "price"), "'price' lacks a `=`"),
        (("--cast", "price=money"), "'money' is nothing to cast to; there are number, string, boolean, time."),
        (("--from", "yesterday"), "'yesterday' is no time"),
        (("--reason", "boredom"), "boredom"),
    ],
)
async def test_what_makes_no_sense_is_said_in_a_line(run: Replay, options: tuple[str, ...], said: str) -> None:
    done = await run(*options)

    assert done.code != 0
    assert said in done.text
    assert "Traceback" not in done.text


async def test_the_list_shows_what_is_waiting_and_lets_no_sender_write_on_the_terminal(
    service: Service, run: Replay, footfall: Footfall
) -> None:
    await refuse(service, sent("\x1b[31m[bold]red\x07", **{"[link=x]\x1b]0;title": 1}), sent(price=5), sent(price=6))
    await run("--drop", "price", "--apply")

    shown = await asyncio.to_thread(footfall, "quarantine", "list", str(service.storefront_id))

    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\x07" not in shown.out
    assert "[bold]red" in shown.out.replace("\n", "")
    assert "/price" in shown.out
    listed = (await asyncio.to_thread(footfall, "quarantine", "list", str(service.storefront_id), "--json")).json
    assert (listed[0]["pointer"], listed[0]["count"], listed[0]["replayed_count"]) == ("/price", 2, 2)
