"""Events whose property names come together again and again store the values only; no reader sees a difference."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from app.domain.event import Event
from app.storage import shapes
from app.storage.database import PROJECT_ROOT, DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.shapes import LEARN_AFTER_EVENTS, properties_object
from tests.events import many, stored_event
from tests.service import Service

RANGE = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-04T00:00:00Z"}


@pytest.fixture
async def pool(database: DatabaseUrl) -> AsyncIterator[asyncpg.Pool]:
    async with create_ingest_pool(database, connections=2, timeout_seconds=10) as pool:
        yield pool


def views(number: int, **properties: object) -> list[Event]:
    return [stored_event("product_viewed", properties=properties) for _ in range(number)]


async def store_each(sink: PostgresSink, events: Sequence[Event]) -> None:
    for event in events:
        await sink.store([event], [])


async def shaped(pool: asyncpg.Pool) -> list[bool]:
    """Per event, in the order stored: whether it has a shape."""
    rows = await pool.fetch("SELECT shape_id IS NOT NULL AS shaped FROM event ORDER BY xid, position")
    return [row["shaped"] for row in rows]


async def objects(pool: asyncpg.Pool) -> list[str]:
    """Everybody's properties, put back together."""
    rows = await pool.fetch("""
        SELECT properties::text, names FROM event LEFT JOIN property_shape USING (shape_id) ORDER BY event.xid, position
    """)
    return [properties_object(row["properties"], row["names"]) for row in rows]


async def test_a_shape_is_learned_when_it_has_come_often_enough(pool: asyncpg.Pool) -> None:
    await store_each(PostgresSink(pool), views(LEARN_AFTER_EVENTS + 2, sku="A", price=4.5))

    assert await shaped(pool) == [False] * (LEARN_AFTER_EVENTS - 1) + [True] * 3
    assert await objects(pool) == ['{"sku":"A","price":4.5}'] * (LEARN_AFTER_EVENTS + 2)


async def test_a_batch_of_one_shape_is_stored_in_it_at_once(pool: asyncpg.Pool) -> None:
    await PostgresSink(pool).store(views(LEARN_AFTER_EVENTS, sku="A"), [])

    assert await shaped(pool) == [True] * LEARN_AFTER_EVENTS


async def test_the_readmes_sql_finds_a_property_with_and_without_a_shape(pool: asyncpg.Pool) -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    [query] = re.findall(r"```sql\n(SELECT event_name.*?)```", readme, re.DOTALL)
    sink = PostgresSink(pool)
    await sink.store(views(1, sku="few"), [])
    await sink.store(views(LEARN_AFTER_EVENTS, price=1, sku="often"), [])
    await sink.store(views(LEARN_AFTER_EVENTS, price=1), [])

    found = Counter(row["sku"] for row in await pool.fetch(query))

    assert found == {"few": 1, "often": LEARN_AFTER_EVENTS, None: LEARN_AFTER_EVENTS}


async def test_names_in_another_order_are_another_shape_so_that_order_is_kept(pool: asyncpg.Pool) -> None:
    sink = PostgresSink(pool)
    await sink.store(views(LEARN_AFTER_EVENTS, a=1, b=2), [])
    await sink.store(views(LEARN_AFTER_EVENTS, b=2, a=1), [])

    assert await objects(pool) == ['{"a":1,"b":2}'] * LEARN_AFTER_EVENTS + ['{"b":2,"a":1}'] * LEARN_AFTER_EVENTS
    assert all(await shaped(pool))


async def test_a_shape_that_another_process_has_learned_is_shared(pool: asyncpg.Pool) -> None:
    for _ in range(2):
        await PostgresSink(pool).store(views(LEARN_AFTER_EVENTS, sku="A"), [])

    assert await pool.fetchval("SELECT count(*) FROM property_shape") == 1
    assert all(await shaped(pool))


async def test_names_that_never_come_twice_are_not_learned(pool: asyncpg.Pool) -> None:
    await PostgresSink(pool).store([event for n in range(50) for event in views(1, **{f"name {n}": n})], [])

    assert await pool.fetchval("SELECT count(*) FROM property_shape") == 0


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({}, id="no properties"),
        pytest.param({"n" * 100 + str(n): n for n in range(50)}, id="names too long for an index"),
    ],
)
async def test_some_properties_stay_objects(pool: asyncpg.Pool, properties: dict[str, object]) -> None:
    await PostgresSink(pool).store(views(LEARN_AFTER_EVENTS + 1, **properties), [])

    assert not any(await shaped(pool))
    assert await objects(pool) == [json.dumps(properties, separators=(",", ":"))] * (LEARN_AFTER_EVENTS + 1)


async def test_names_that_cannot_be_a_shape_take_no_memory(pool: asyncpg.Pool) -> None:
    sink = PostgresSink(pool)
    await sink.store(views(LEARN_AFTER_EVENTS - 1, **{"n" * 100 + str(n): n for n in range(50)}), [])

    assert not sink._shapes._candidates
    assert not sink._shapes._known


async def test_a_storefront_has_room_for_a_bounded_number_of_shapes(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "SHAPES_PER_STOREFRONT_MAX", 2)
    sink = PostgresSink(pool)
    for name in ("a", "b", "c"):
        await sink.store(views(LEARN_AFTER_EVENTS, **{name: 1}), [])

    assert await pool.fetchval("SELECT count(*) FROM property_shape") == 2
    assert (await objects(pool))[-1] == '{"c":1}'


async def test_the_same_names_of_two_storefronts_are_two_shapes(pool: asyncpg.Pool) -> None:
    events = [stored_event(storefront_id=n % 2 + 1, properties={"a": 1}) for n in range(2 * LEARN_AFTER_EVENTS)]
    await PostgresSink(pool).store(events, [])

    assert await pool.fetchval("SELECT count(DISTINCT storefront_id) FROM property_shape") == 2


async def test_conditions_find_properties_with_and_without_a_shape(service: Service) -> None:
    async def count(**condition: object) -> int:
        step = {"any_of": [{"event": "product_viewed", "where": [condition]}]}
        answer = await service.funnel({"range": RANGE, "steps": [step], "count": "unique"})
        reached: int = answer.json()["steps"][0]["reached_count"]
        return reached

    few = [e for n in range(3) for e in many(1, "product_viewed", visitor_id=f"f{n}", properties={"0": "x", "sku": n})]
    often = [
        e for n in range(20) for e in many(1, "product_viewed", visitor_id=f"o{n}", properties={"sku": n, "price": n})
    ]
    assert (await service.send(few)).status_code == (await service.send(often)).status_code == 200

    assert await count(property="sku", op="<", value=2) == 4
    assert await count(property="price", op="exists") == 20
    # A name that is a number is a name, not a place in the array.
    assert await count(property="0", op="exists") == 3
    assert await count(property="1", op="exists") == 0
