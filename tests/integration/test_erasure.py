"""Erasing persons, on Postgres: everything of theirs goes, whatever happens meanwhile, and nothing of anybody else."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Event, Trust
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, Rejection, RejectReason
from app.ingest.sink import Batch
from app.ingest.spool.queue import Spool
from app.ingest.spool.spools import Spools
from app.metrics import Metrics
from app.persons.eraser import Eraser
from app.persons.eraser import Spools as AnySpools
from app.storage.database import DatabaseUrl, create_engine, create_ingest_pool
from app.storage.erasures import Erasure, claim, find_erasure, request_erasure
from app.storage.events import PostgresSink
from app.storage.persons import PersonKind, SharedVisitor, find_person, work_connection
from tests.events import NOW, stored_event
from tests.fakes import FixedClock
from tests.proxy import postgres_proxy

DAY = timedelta(days=1)

NO_SPOOLS = Spools()


@pytest.fixture
async def pool(database: DatabaseUrl) -> AsyncIterator[asyncpg.Pool]:
    async with create_ingest_pool(database, connections=2, timeout_seconds=10) as pool:
        yield pool


@pytest.fixture
def sink(pool: asyncpg.Pool) -> PostgresSink:
    return PostgresSink(pool)


@pytest.fixture
async def connection(database: DatabaseUrl) -> AsyncIterator[asyncpg.Connection]:
    async with work_connection(database) as connection:
        yield connection


@pytest.fixture
def eraser(engine: AsyncEngine, database: DatabaseUrl, sink: PostgresSink) -> Eraser:
    return new_eraser(engine, database, sink)


def new_eraser(engine: AsyncEngine, database: DatabaseUrl, sink: PostgresSink, spools: AnySpools = NO_SPOOLS) -> Eraser:
    return Eraser(engine, database, spools, sink.forget_identities, commit_seconds=10, metrics=Metrics())


async def request(connection: asyncpg.Connection, key: str, kind: PersonKind | None = None) -> Erasure:
    person = await find_person(connection, 1, key, kind)
    assert person is not None
    return await request_erasure(connection, person)


async def let_time_pass(connection: asyncpg.Connection) -> None:
    """More than any process keeps identities in memory."""
    for moment in ("requested_at", "forgotten_at"):
        await connection.execute(f"UPDATE erasure SET {moment} = {moment} - interval '1 hour'")


async def carry_out(connection: asyncpg.Connection, eraser: Eraser) -> None:
    """All stages of all erasures."""
    for _ in range(3):
        await eraser.work()
        await let_time_pass(connection)
    [unfinished] = await connection.fetchrow("SELECT count(*) FROM erasure WHERE finished_at IS NULL")
    assert unfinished == 0


async def clear_spool(eraser: Eraser) -> None:
    """What a process does that is not asked itself."""
    await eraser.watch()
    await eraser.clear_spool()


async def events_left(connection: asyncpg.Connection) -> list[str]:
    """Names of the events there are, sorted."""
    return [name for [name] in await connection.fetch("SELECT event_name FROM event ORDER BY event_name")]


async def ids_left(connection: asyncpg.Connection) -> list[str]:
    """The sender's ids that are known, sorted."""
    query = "SELECT visitor_key AS key FROM visitor UNION ALL SELECT customer_key FROM customer ORDER BY key"
    return [key for [key] in await connection.fetch(query)]


def refused(raw: bytes, storefront_id: int = 1) -> RefusedEvent:
    rejection = Rejection(0, RejectReason.MISSING_FIELD, "/event", "event is missing", raw)
    return RefusedEvent(storefront_id, "native", Trust.BROWSER, NOW, None, rejection)


async def test_a_customer_goes_with_all_their_visitors_and_nobody_else_does(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store(
        [
            stored_event("on_the_phone", visitor="phone"),
            stored_event("login_on_the_phone", visitor="phone", customer="ana"),
            stored_event("login_at_home", visitor="home", customer="ana"),
            stored_event("in_the_shop", visitor=None, customer="ana"),
            stored_event("bens", visitor="bens", customer="ben"),
            stored_event("in_another_storefront", storefront_id=2, visitor="phone", customer="ana"),
        ],
        [],
    )

    await request(connection, "ana")
    await carry_out(connection, eraser)

    assert await events_left(connection) == ["bens", "in_another_storefront"]
    assert await ids_left(connection) == ["ana", "ben", "bens", "phone"]
    [links] = await connection.fetchrow("SELECT count(*) FROM visitor_link")
    assert links == 2


async def test_a_visitor_who_is_linked_stands_for_the_whole_customer(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store(
        [
            stored_event("on_the_phone", visitor="phone", customer="ana"),
            stored_event("at_home", visitor="home", customer="ana"),
            stored_event("unknown", visitor="unknown"),
        ],
        [],
    )

    await request(connection, "phone")
    await carry_out(connection, eraser)

    assert await events_left(connection) == ["unknown"]
    assert await ids_left(connection) == ["unknown"]


async def test_a_visitor_nobody_identified_is_a_person_of_their_own(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event("theirs", visitor="v1"), stored_event("others", visitor="v2")], [])

    await request(connection, "v1")
    await carry_out(connection, eraser)

    assert await events_left(connection) == ["others"]
    assert await ids_left(connection) == ["v2"]


async def test_events_without_a_time_and_of_long_ago_go_too(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)
    await sink.store(
        [
            stored_event(client_time=None),
            stored_event(client_time=long_ago, occurred_at=long_ago),
            stored_event(client_time=NOW + 4000 * DAY),
        ],
        [],
    )

    await request(connection, "ana")
    await carry_out(connection, eraser)

    assert await events_left(connection) == []


async def test_events_of_a_shared_visitor_go_with_the_customer_they_count_for(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    def at(day: int, name: str, customer: str | None = None) -> Event:
        return stored_event(name, visitor="family", customer=customer, occurred_at=NOW + day * DAY)

    await sink.store(
        [
            at(0, "before_any_login_is_anas"),
            at(1, "ana_logs_in", "ana"),
            at(2, "then_anas"),
            at(3, "ben_logs_in", "ben"),
            at(4, "then_bens"),
            at(5, "ana_buys", "ana"),
            at(6, "again_anas"),
            at(7, "ben_looks_again", "ben"),
            at(8, "again_bens"),
        ],
        [],
    )

    await request(connection, "ana")
    await carry_out(connection, eraser)

    assert await events_left(connection) == ["again_bens", "ben_logs_in", "ben_looks_again", "then_bens"]
    assert await ids_left(connection) == ["ben", "family"]

    await request(connection, "ben")
    await carry_out(connection, eraser)

    assert await events_left(connection) == []
    assert await ids_left(connection) == []


async def test_a_visitor_that_was_several_customers_is_refused(
    sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    await sink.store(
        [stored_event(visitor="family", customer="ana"), stored_event(visitor="family", customer="ben")], []
    )

    with pytest.raises(SharedVisitor):
        await find_person(connection, 1, "family")


async def test_an_id_is_a_customers_first_unless_told_otherwise(
    sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event(visitor="4711"), stored_event(visitor=None, customer="4711")], [])

    customer = await find_person(connection, 1, "4711")
    visitor = await find_person(connection, 1, "4711", PersonKind.VISITOR)

    assert customer is not None
    assert (customer.customer_keys, customer.visitor_keys) == (("4711",), ())
    assert visitor is not None
    assert (visitor.customer_keys, visitor.visitor_keys) == ((), ("4711",))
    assert await find_person(connection, 1, "nobody") is None
    assert await find_person(connection, 2, "4711") is None


async def test_refused_events_that_mention_the_person_go(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store(
        [stored_event(visitor="zoë")],
        [
            refused('{"visitor_id": "zoë"}'.encode()),
            refused(b'{"visitor_id": "zo\\u00eb"}'),
            refused(b'{"visitor_id": "zo\\u00ebla"}'),
            refused(b'{"visitor_id": "ben"}'),
            refused('{"visitor_id": "zoë"}'.encode(), storefront_id=2),
        ],
    )

    erasure = await request(connection, "zoë")
    await carry_out(connection, eraser)

    left = [raw for [raw] in await connection.fetch("SELECT raw FROM quarantined_event ORDER BY quarantine_id")]
    assert left == [b'{"visitor_id": "zo\\u00ebla"}', b'{"visitor_id": "ben"}', '{"visitor_id": "zoë"}'.encode()]
    finished = await find_erasure(connection, 1, erasure.erasure_id)
    assert finished is not None
    assert finished.counts == {"events": 1, "quarantined": 2}


async def test_who_comes_later_under_the_same_id_is_somebody_new(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event("before")], [])
    [old] = await connection.fetchrow("SELECT visitor_id FROM visitor")

    await request(connection, "ana")
    await carry_out(connection, eraser)
    await sink.store([stored_event("after")], [])

    [(name, new)] = await connection.fetch("SELECT event_name, visitor_id FROM event")
    assert name == "after"
    assert new != old


async def test_what_another_process_stores_from_its_memory_goes_too(
    pool: asyncpg.Pool, sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    other_process = PostgresSink(pool)
    await other_process.store([stored_event("before", customer="c")], [])
    await request(connection, "ana")
    await eraser.work()
    await other_process.store([stored_event("after_the_first_stage")], [])
    await let_time_pass(connection)
    await eraser.work()
    await other_process.store([stored_event("from_memory", customer="c")], [])
    assert await events_left(connection) == ["after_the_first_stage", "from_memory"]

    await carry_out(connection, eraser)

    assert await events_left(connection) == []
    assert await ids_left(connection) == []
    assert await connection.fetch("SELECT FROM visitor_link") == []


async def test_a_visitor_identified_while_the_customer_is_being_erased_goes_with_them(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event(visitor="phone", customer="ana")], [])
    await request(connection, "ana")
    await eraser.work()
    await sink.store([stored_event(visitor="new", customer="ana")], [])

    await let_time_pass(connection)
    await carry_out(connection, eraser)

    assert await events_left(connection) == []
    assert await ids_left(connection) == []


async def test_other_processes_see_it_and_forget(
    engine: AsyncEngine, database: DatabaseUrl, pool: asyncpg.Pool, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    other_process = PostgresSink(pool)
    other_eraser = new_eraser(engine, database, other_process)
    await other_process.store([stored_event("before")], [])
    await request(connection, "ana")
    await eraser.work()
    await let_time_pass(connection)
    await eraser.work()

    await other_eraser.watch()
    await other_process.store([stored_event("of_somebody_new")], [])
    await carry_out(connection, eraser)

    assert await events_left(connection) == ["of_somebody_new"]


async def test_a_process_that_cannot_look_for_erasures_forgets(database: DatabaseUrl, engine: AsyncEngine) -> None:
    forgotten: list[bool] = []
    eraser = Eraser(engine, database, NO_SPOOLS, lambda: forgotten.append(True), commit_seconds=10, metrics=Metrics())
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE erasure RENAME TO elsewhere"))

    with pytest.raises(Exception, match="erasure"):
        await eraser.watch()

    assert forgotten == [True]


async def test_a_process_whose_postgres_hangs_forgets(database: DatabaseUrl) -> None:
    forgotten: list[bool] = []
    async with postgres_proxy(database) as proxy:
        through = create_engine(proxy.url)
        eraser = Eraser(
            through, proxy.url, NO_SPOOLS, lambda: forgotten.append(True), commit_seconds=10, metrics=Metrics()
        )
        await eraser.watch()
        proxy.freeze()
        try:
            with pytest.raises(TimeoutError):
                await eraser.watch()
        finally:
            proxy.thaw()
            await through.dispose()

    assert forgotten == [True]


async def test_what_a_batch_under_way_finds_is_not_remembered_after_an_erasure(
    sink: PostgresSink, pool: asyncpg.Pool
) -> None:
    identities = sink._identities
    async with pool.acquire() as connection, connection.transaction():
        found = await identities.resolve(connection, [stored_event()])
        sink.forget_identities()
        identities.remember(found)

    assert identities._known["visitor"] == {}


@pytest.mark.parametrize("stages_done", [0, 1, 2])
async def test_an_interrupted_erasure_is_finished_by_whoever_runs_next(
    stages_done: int, engine: AsyncEngine, database: DatabaseUrl, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event(customer="c")], [refused(b'{"visitor_id": "ana"}')])
    await request(connection, "ana")
    for _ in range(stages_done):
        await new_eraser(engine, database, sink).work()
        await let_time_pass(connection)

    await carry_out(connection, new_eraser(engine, database, sink))

    assert await events_left(connection) == []
    assert await ids_left(connection) == []
    assert await connection.fetch("SELECT FROM quarantined_event") == []


async def test_stages_wait_until_nobody_uses_the_ids_from_memory(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event()], [])
    await request(connection, "ana")
    await eraser.work()
    await eraser.work()

    assert await ids_left(connection) == ["ana"]


async def test_asked_twice_it_is_one_erasure(sink: PostgresSink, connection: asyncpg.Connection) -> None:
    await sink.store([stored_event(customer="c")], [])

    first = await request(connection, "c")

    assert (await request(connection, "ana")).erasure_id == first.erasure_id


async def test_of_two_processes_one_does_the_work(
    database: DatabaseUrl, sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event("theirs")], [])
    erasure = await request(connection, "ana")

    async with work_connection(database) as other_process:
        assert await claim(other_process, erasure)
        await eraser.work()
        assert await events_left(connection) == ["theirs"]
    await eraser.work()

    assert await events_left(connection) == []


async def test_a_finished_record_holds_numbers_only(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    await sink.store([stored_event(visitor="distinctive", customer="name@example.com")], [])
    await request(connection, "distinctive")
    await carry_out(connection, eraser)

    [record] = await connection.fetch("SELECT erasure::text FROM erasure")
    assert "distinctive" not in record[0]
    assert "example.com" not in record[0]


async def test_the_ledger_still_adds_up(sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection) -> None:
    received = [Received(1, "native", NOW, 3)]
    await sink.store([stored_event(), stored_event(), stored_event(visitor="ben")], [], received)

    await request(connection, "ana")
    await carry_out(connection, eraser)

    [(stored, erased)] = await connection.fetch("SELECT sum(stored)::int, sum(erased)::int FROM ledger")
    assert (stored, erased) == (3, 2)


class ListSpool:
    """A spool in memory."""

    def __init__(self, *events: Event, refused: tuple[RefusedEvent, ...] = ()) -> None:
        self.events = list(events)
        self.refused = list(refused)

    async def erase(
        self, matches: Callable[[Event], bool], matches_refused: Callable[[RefusedEvent], bool] = lambda _: False
    ) -> int:
        before = len(self.events) + len(self.refused)
        self.events = [event for event in self.events if not matches(event)]
        self.refused = [event for event in self.refused if not matches_refused(event)]
        return before - len(self.events) - len(self.refused)


async def test_spooled_events_go_from_the_spool_of_every_process(
    engine: AsyncEngine, database: DatabaseUrl, sink: PostgresSink, connection: asyncpg.Connection
) -> None:
    spool = ListSpool(
        stored_event("visitors", visitor="phone"),
        stored_event("customers", visitor=None, customer="ana"),
        stored_event("another_customers", visitor=None, customer="phone"),
        stored_event("another_storefronts", storefront_id=2, visitor="phone"),
        refused=(refused(b'{"visitor_id":"phone"}'), refused(b'{"visitor_id":"bens"}')),
    )
    await sink.store([stored_event(visitor="phone", customer="ana")], [])
    erasure = await request(connection, "ana")

    await clear_spool(new_eraser(engine, database, sink, spool))

    assert [event.event_name for event in spool.events] == ["another_customers", "another_storefronts"]
    assert [event.rejection.raw for event in spool.refused] == [b'{"visitor_id":"bens"}']
    now = await find_erasure(connection, 1, erasure.erasure_id)
    assert now is not None
    assert now.counts == {"spooled": 3}


async def test_what_gets_into_a_spool_late_goes_when_the_ids_are_forgotten(
    engine: AsyncEngine, database: DatabaseUrl, sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    spool = ListSpool()
    other_eraser = new_eraser(engine, database, sink, spool)
    await sink.store([stored_event()], [])
    await request(connection, "ana")
    await clear_spool(other_eraser)
    spool.events.append(stored_event())

    for _ in range(2):
        await eraser.work()
        await let_time_pass(connection)
    await clear_spool(other_eraser)

    assert spool.events == []


async def test_nothing_of_the_person_is_left_in_the_file_of_the_spool(
    engine: AsyncEngine,
    database: DatabaseUrl,
    sink: PostgresSink,
    connection: asyncpg.Connection,
    tmp_path: Path,
    clock: FixedClock,
) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 2**20, clock=clock)
    await spool.open()
    events = [stored_event("anas"), stored_event("bens", visitor="ben")]
    await spool.append(Batch(events, [refused(b'{"visitor_id":"ana"}')], []))
    await sink.store([stored_event()], [])
    await request(connection, "ana")

    await clear_spool(new_eraser(engine, database, sink, Spools([spool])))

    [left] = await spool.read(10)
    assert [event.event_name for event in left.batch.events] == ["bens"]
    assert left.batch.refused == []
    await spool.close()


async def test_outcomes_of_later_events_are_as_ever(
    sink: PostgresSink, eraser: Eraser, connection: asyncpg.Connection
) -> None:
    event = stored_event()
    await sink.store([event], [])
    await request(connection, "ana")
    await carry_out(connection, eraser)

    assert await sink.store([event], []) == [Outcome.STORED]
    assert await sink.store([event], []) == [Outcome.DUPLICATE]
