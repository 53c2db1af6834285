"""The Postgres sink: one commit for many requests, and every event stored once whatever happens at the same time."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Trust
from app.domain.outcome import Outcome, RefusedEvent, Rejection, RejectReason, SinkUnavailable, UnstorableError
from app.storage.database import BadDatabaseUrl, DatabaseUrl, create_engine, create_ingest_pool
from app.storage.events import PostgresSink
from tests.events import NOW, stored_event
from tests.proxy import postgres_proxy

STORED, DUPLICATE = Outcome.STORED, Outcome.DUPLICATE


@pytest.fixture
async def pool(database: DatabaseUrl) -> AsyncIterator[asyncpg.Pool]:
    async with create_ingest_pool(database, connections=2, timeout_seconds=10) as pool:
        yield pool


@pytest.fixture
def sink(pool: asyncpg.Pool) -> PostgresSink:
    return PostgresSink(pool)


def refused(raw: bytes = b"{", sent_at: datetime | None = None) -> RefusedEvent:
    rejection = Rejection(3, RejectReason.INVALID_JSON, "/x", "Mend it.", raw)
    return RefusedEvent(1, "native", Trust.BROWSER, NOW, sent_at, rejection)


async def test_every_field_is_stored_as_it_was(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    event = stored_event(
        "Müsli 🥣", visitor="browser-7", customer="ana", account="acme", properties={"b": 1, "a": [1.5, "ü"]}
    )
    event.trust, event.seq, event.url, event.referrer = Trust.IMPORT, 7, "/a?b=c", ""

    await sink.store([event], [])

    row = await pool.fetchrow("""
        SELECT event.*, visitor_key, customer_key, account_key
        FROM event JOIN visitor USING (visitor_id) JOIN customer USING (customer_id) JOIN account USING (account_id)
    """)
    assert (row["event_name"], row["properties"]) == ("Müsli 🥣", '{"b":1,"a":[1.5,"ü"]}')
    assert (row["visitor_key"], row["customer_key"], row["account_key"]) == ("browser-7", "ana", "acme")
    assert (str(row["event_id"]), row["client_time"]) == (event.event_id, NOW)
    assert (row["occurred_at"], row["received_at"]) == (NOW, NOW)
    assert (row["trust"], row["seq"], row["url"], row["referrer"]) == (4, 7, "/a?b=c", "")


async def test_positions_follow_the_order_sent_and_one_commit_has_one_xid(
    sink: PostgresSink, pool: asyncpg.Pool
) -> None:
    events = [stored_event(f"e{n}") for n in range(20)]

    await sink.store(events, [])

    rows = await pool.fetch("SELECT event_name, xid::text FROM event ORDER BY position")
    assert [row["event_name"] for row in rows] == [f"e{n}" for n in range(20)]
    assert len({row["xid"] for row in rows}) == 1


async def test_the_first_of_two_equal_events_wins(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    first, known = stored_event("first"), stored_event("known")
    second = stored_event("second", event_id=first.event_id)
    await sink.store([known], [])

    assert await sink.store([first, second, known], []) == [STORED, DUPLICATE, DUPLICATE]
    names = [row["event_name"] for row in await pool.fetch("SELECT event_name FROM event")]
    assert sorted(names) == ["first", "known"]


async def test_two_sinks_with_overlapping_batches_store_every_event_once(pool: asyncpg.Pool) -> None:
    """Opposite orders, shared visitors and links: the deadlocks that this invites are run again."""
    visitors = [f"v{n}" for n in range(40)]
    events = [stored_event(visitor=visitor, customer=f"c{visitor}") for visitor in visitors * 5]
    sinks = [PostgresSink(pool), PostgresSink(pool)]
    shuffle = random.Random(7)
    batches = [shuffle.sample(events, 60) for _ in range(20)] + [events, events[::-1]]

    outcomes = await asyncio.gather(*(sinks[n % 2].store(batch, []) for n, batch in enumerate(batches)))

    assert sum(outcome is STORED for batch in outcomes for outcome in batch) == len(events)
    assert await pool.fetchval("SELECT count(*) FROM event") == len(events)
    assert await pool.fetchval("SELECT count(*) FROM visitor") == len(visitors)
    assert await pool.fetchval("SELECT count(*) FROM visitor_link") == len(visitors)


async def test_what_cannot_be_stored_stores_nothing_of_its_batch(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    for name in ("NUL \0", "surrogate \ud800"):
        with pytest.raises(UnstorableError) as caught:
            await sink.store([stored_event(), stored_event(name)], [refused()])
        assert name not in str(caught.value)

    assert await pool.fetchval("SELECT count(*) FROM event") == 0
    assert await pool.fetchval("SELECT count(*) FROM quarantined_event") == 0
    assert await sink.store([stored_event()], []) == [STORED]


async def test_times_that_do_not_exist_in_utc_are_unstorable(sink: PostgresSink) -> None:
    time = datetime.fromisoformat("9999-12-31T23:59:59-12:00")

    with pytest.raises(UnstorableError):
        await sink.store([stored_event(client_time=time)], [])


class BrokenPool:
    """Fails whenever a connection is asked for."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def acquire(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ssl.SSLCertVerificationError("certificate has expired"), "connection"),
        (asyncpg.exceptions.ClientConfigurationError("no such sslmode"), "connection"),
        (ConnectionRefusedError(), "connection"),
        (TimeoutError(), "timeout"),
        (asyncpg.QueryCanceledError("statement timeout"), "timeout"),
        (asyncpg.DiskFullError("no space left"), "database"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_trouble_with_the_server_is_never_taken_for_bad_data(error: Exception, reason: str) -> None:
    with pytest.raises(SinkUnavailable) as caught:
        await PostgresSink(BrokenPool(error)).store([stored_event()], [])

    assert caught.value.reason == reason


async def test_refused_events_are_kept_byte_for_byte(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    sent_at = datetime(2026, 3, 2, 11, tzinfo=UTC)

    assert await sink.store([], [refused(b'\xff\x00{"'), refused(b"", sent_at)]) == []

    rows = await pool.fetch("SELECT * FROM quarantined_event ORDER BY quarantine_id")
    assert [bytes(row["raw"]) for row in rows] == [b'\xff\x00{"', b""]
    assert [row["sent_at"] for row in rows] == [None, sent_at]
    assert {(row["reason"], row["pointer"], row["detail"]) for row in rows} == {("invalid_json", "/x", "Mend it.")}


async def test_a_refused_event_is_kept_once_however_often_its_batch_is_stored(
    sink: PostgresSink, pool: asyncpg.Pool
) -> None:
    first, like_it = refused(), refused()
    for _ in range(2):
        await sink.store([], [first, like_it])

    assert await pool.fetchval("SELECT count(*) FROM quarantined_event") == 2


async def test_postgres_away_is_said_and_forgotten_when_it_is_back(database: DatabaseUrl) -> None:
    event = stored_event()
    async with (
        postgres_proxy(database) as proxy,
        create_ingest_pool(proxy.url, connections=2, timeout_seconds=10) as pool,
    ):
        sink = PostgresSink(pool)
        await sink.store([stored_event()], [])
        await proxy.cut()
        with pytest.raises(SinkUnavailable) as caught:
            await sink.store([event], [])
        await proxy.mend()

        assert caught.value.reason == "connection"
        assert await sink.store([event], []) == [STORED]


async def test_a_statement_that_waits_too_long_is_given_up(database: DatabaseUrl, engine: AsyncEngine) -> None:
    async with create_ingest_pool(database, connections=1, timeout_seconds=0.2) as impatient:
        async with engine.begin() as owner:
            await owner.execute(text("LOCK TABLE event IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises((SinkUnavailable, TimeoutError)):
                await PostgresSink(impatient).store([stored_event()], [])
        assert await PostgresSink(impatient).store([stored_event()], []) == [STORED]


async def test_a_batch_of_known_visitors_takes_the_same_few_statements_whatever_its_size(
    sink: PostgresSink, pool: asyncpg.Pool
) -> None:
    """BEGIN, COPY (no statement to the logger, but it asks for the columns' types), the ledger, COMMIT."""
    batches = [[stored_event(visitor=f"v{n % 5}", customer="ana") for n in range(size)] for size in (5, 5, 500)]
    await sink.store(batches[0], [])
    statements: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda record: statements.append(record.query.split()[0].rstrip(";")))
    counts = []
    for batch in batches[1:]:
        statements.clear()
        await sink.store(batch, [])
        counts.append(sorted(statements))

    assert counts[0] == counts[1]
    assert set(counts[0]) <= {"BEGIN", "COMMIT", "INSERT", "SELECT"}
    assert len(counts[0]) <= 4


@pytest.mark.parametrize("given", ["mysql://db/footfall", "footfall", ""])
def test_an_address_that_is_no_postgres_is_refused(given: str) -> None:
    with pytest.raises(BadDatabaseUrl):
        DatabaseUrl.parse(given)


async def test_an_address_with_libpq_parameters_suits_every_client(database: DatabaseUrl) -> None:
    """As managed Postgres servers hand it out."""
    async with postgres_proxy(database) as proxy:
        url = DatabaseUrl.parse(f"{proxy.url.libpq}?sslmode=prefer&application_name=shop")
        engine = create_engine(url)
        try:
            async with engine.connect() as connection:
                assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
        finally:
            await engine.dispose()
        async with create_ingest_pool(url, connections=1, timeout_seconds=5) as pool:
            assert await PostgresSink(pool).store([stored_event()], []) == [STORED]
