"""Visitors, customers and accounts get one id each, and a visitor is linked to a customer from the earliest sign."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from app.domain.outcome import UnstorableError
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from tests.events import NOW, stored_event

HOUR = timedelta(hours=1)


@pytest.fixture
async def pool(database: DatabaseUrl) -> AsyncIterator[asyncpg.Pool]:
    async with create_ingest_pool(database, connections=4, timeout_seconds=10) as pool:
        yield pool


@pytest.fixture
def sink(pool: asyncpg.Pool) -> PostgresSink:
    return PostgresSink(pool)


async def links(pool: asyncpg.Pool) -> list[tuple[str, str, object]]:
    rows = await pool.fetch("""
        SELECT visitor_key, customer_key, linked_at
        FROM visitor_link JOIN visitor USING (visitor_id) JOIN customer USING (customer_id)
        ORDER BY visitor_key, customer_key
    """)
    return [tuple(row) for row in rows]


async def test_a_visitor_keeps_its_id(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    await sink.store([stored_event(visitor="ana"), stored_event(visitor="ben")], [])
    await sink.store([stored_event(visitor="ana")], [])
    await PostgresSink(pool).store([stored_event(visitor="ana")], [])  # one that remembers nothing

    counts = await pool.fetch("SELECT count(*) FROM event GROUP BY visitor_id ORDER BY 1")
    assert [row["count"] for row in counts] == [1, 3]
    assert await pool.fetchval("SELECT count(*) FROM visitor") == 2


async def test_the_same_text_in_two_storefronts_is_two_visitors(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    await sink.store([stored_event(visitor="ana", storefront_id=shop) for shop in (1, 2, 1)], [])

    assert await pool.fetchval("SELECT count(DISTINCT visitor_id) FROM event") == 2


async def test_a_visitor_is_no_customer_of_the_same_name(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    await sink.store([stored_event(visitor="ana"), stored_event(visitor=None, customer="ana")], [])

    assert await links(pool) == []
    known = await pool.fetch("SELECT visitor_id IS NULL, customer_id IS NULL FROM event ORDER BY position")
    assert [tuple(row) for row in known] == [(False, True), (True, False)]


async def test_an_event_with_both_links_them(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    await sink.store([stored_event(visitor="phone", customer="ana")], [])
    await sink.store([stored_event(visitor="laptop", customer="ana")], [])

    assert await links(pool) == [("laptop", "ana", NOW), ("phone", "ana", NOW)]


async def test_the_earliest_sign_of_a_link_counts_whenever_it_arrives(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    for hours in (3, 5, 1, 2):
        await sink.store([stored_event(customer="ana", occurred_at=NOW + hours * HOUR)], [])
    assert await links(pool) == [("ana", "ana", NOW + HOUR)]

    # Also within one batch, and for a sink that remembers nothing.
    batch = [stored_event(customer="ana", occurred_at=NOW + hours * HOUR) for hours in (4, -1, 0)]
    await PostgresSink(pool).store(batch, [])
    assert await links(pool) == [("ana", "ana", NOW - HOUR)]


async def test_a_link_that_moves_is_seen_again_by_followers(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    query = "SELECT xid::text::bigint FROM visitor_link"
    await sink.store([stored_event(customer="ana")], [])
    first = await pool.fetchval(query)
    await sink.store([stored_event(customer="ana", occurred_at=NOW + HOUR)], [])
    unmoved = await pool.fetchval(query)
    await sink.store([stored_event(customer="ana", occurred_at=NOW - HOUR)], [])

    assert unmoved == first
    assert await pool.fetchval(query) > first


async def test_ids_of_a_commit_that_failed_are_not_used_again(sink: PostgresSink, pool: asyncpg.Pool) -> None:
    with pytest.raises(UnstorableError):
        await sink.store([stored_event("\0", visitor="new", customer="new")], [])

    await sink.store([stored_event(visitor="new", customer="new")], [])

    assert await links(pool) == [("new", "new", NOW)]
    assert await pool.fetchval("SELECT count(*) FROM event JOIN visitor USING (visitor_id)") == 1


async def test_only_identities_do_not_wait_for_the_disk(database: DatabaseUrl) -> None:
    async with create_ingest_pool(database, connections=1, timeout_seconds=10) as pool:
        await PostgresSink(pool).store([stored_event(visitor="new", customer="new")], [])

        assert await pool.fetchval("SHOW synchronous_commit") == "on"


async def test_many_writers_that_meet_the_same_new_visitors_agree(pool: asyncpg.Pool) -> None:
    visitors = [f"v{n}" for n in range(50)]
    batches = [
        [stored_event(visitor=visitor, customer=visitor) for visitor in order]
        for order in (visitors, visitors[::-1]) * 4
    ]

    await asyncio.gather(*(PostgresSink(pool).store(batch, []) for batch in batches))

    assert await pool.fetchval("SELECT count(*) FROM visitor") == 50
    per_visitor = await pool.fetch("SELECT count(*) FROM event GROUP BY visitor_id, customer_id")
    assert [row["count"] for row in per_visitor] == [8] * 50
