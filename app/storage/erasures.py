"""Erasures in Postgres. Table `erasure` says what is to be forgotten, by our own numbers, and how far that is.

An erasure has three stages, so that nothing which is still under way escapes it: all events go; then the person's ids
are taken from the sender's texts, so that whoever comes under these later is somebody new; then, when no process
uses the ids from its memory any more, what has come in under them meanwhile goes too. Each stage may be repeated.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.ledger import ERASED_SOURCE
from app.domain.mention import mentions
from app.storage.blocks import partition_names, pieces
from app.storage.persons import IS_THEIRS, Person, PersonKind, Shared, find_person, quarantined_of, with_times
from app.storage.tables import erasure

COLUMNS = """erasure_id, storefront_id, visitor_ids, customer_ids, shared_visitor_ids, shared_since, shared_until, keys,
    requested_at, erased_at, forgotten_at, finished_at, counts::text AS counts"""

# Purpose: what is under way. Retention keeps its own rows, which have occurred_before.
OPEN = f"SELECT {COLUMNS} FROM erasure WHERE finished_at IS NULL AND occurred_before IS NULL ORDER BY erasure_id"  # noqa: S608  # our own words
# Purpose: one of a storefront ($1, $2).
ONE = f"SELECT {COLUMNS} FROM erasure WHERE erasure_id = $1 AND storefront_id = $2 AND occurred_before IS NULL"  # noqa: S608
# Purpose: the same person asked for again ($1, $2) while it is under way.
SAME = f"""
    SELECT {COLUMNS} FROM erasure
    WHERE finished_at IS NULL AND occurred_before IS NULL
      AND (visitor_ids && $1::bigint[] OR customer_ids && $2::bigint[])
    ORDER BY erasure_id LIMIT 1
"""  # noqa: S608
INSERT = f"""
    INSERT INTO erasure (storefront_id, visitor_ids, customer_ids, shared_visitor_ids, shared_since, shared_until, keys)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {COLUMNS}
"""  # noqa: S608
# Purpose: the person may have gone on meanwhile, as a further visitor. Followers look again at a row that changes.
EXTEND = """
    UPDATE erasure SET visitor_ids = $2, shared_visitor_ids = $3, shared_since = $4, shared_until = $5, keys = $6,
                       xid = pg_current_xact_id()
    WHERE erasure_id = $1
"""
FORGOTTEN = "UPDATE erasure SET forgotten_at = now() WHERE erasure_id = $1"
FINISH = "UPDATE erasure SET finished_at = now(), keys = '{}', xid = pg_current_xact_id() WHERE erasure_id = $1"
# Purpose: add to one count ($2) of an erasure ($1) what was removed now ($3).
COUNT = """
    UPDATE erasure SET counts = counts || jsonb_build_object($2::text, coalesce((counts ->> $2)::bigint, 0) + $3)
    WHERE erasure_id = $1
"""
ERASED = "UPDATE erasure SET erased_at = now() WHERE erasure_id = $1"
DELETE_LINKS = "DELETE FROM visitor_link WHERE visitor_id = ANY($1::bigint[]) OR customer_id = ANY($2::bigint[])"
DELETE_UNLINKS = DELETE_LINKS.replace("visitor_link", "visitor_unlink")
DELETE_VISITORS = "DELETE FROM visitor WHERE visitor_id = ANY($1::bigint[])"
DELETE_CUSTOMERS = "DELETE FROM customer WHERE customer_id = ANY($1::bigint[])"
# Purpose: lines for the ledger, per minute of the events that are `gone`.
ERASED_LINES = f"""
    (storefront_id, minute, source, received, stored, duplicate, rejected, bot, no_consent, limited, erased)
    SELECT storefront_id, date_trunc('minute', received_at, 'UTC'), '{ERASED_SOURCE}', 0, 0, 0, 0, 0, 0, 0, count(*)
    FROM gone GROUP BY 1, 2
"""  # noqa: S608
# Purpose: a person's events in one piece go, and the ledger is told how many of which minute. Returns their number.
DELETE_EVENTS = """
    WITH gone AS (DELETE FROM {table} AS event WHERE {is_theirs} RETURNING storefront_id, received_at),
    noted AS (INSERT INTO ledger {erased_lines})
    SELECT count(*) FROM gone
"""
DELETE_QUARANTINED = "DELETE FROM quarantined_event WHERE quarantine_id = ANY($1::bigint[])"
IDENTITY_TABLES = ("visitor_link", "visitor_unlink", "visitor", "customer", "erasure")

# Refused events deleted in one statement.
QUARANTINE_DELETE_ROWS = 500
# First half of the advisory lock's number: "FfEr"; the second is the erasure's.
LOCK_CLASS = 0x46664572


Stage = tuple[int, bool]  # (erasure_id, whether its ids are forgotten)


@dataclass(frozen=True, slots=True)
class Erasure:
    """counts: how many of what were removed so far."""

    erasure_id: int
    person: Person
    requested_at: datetime
    erased_at: datetime | None
    forgotten_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, int]


async def request_erasure(connection: asyncpg.Connection, person: Person) -> Erasure:
    """From now on the person will be erased, whatever happens to this process."""
    same = await connection.fetchrow(SAME, person.visitor_ids, person.customer_ids)
    if same is not None:
        return _erasure(same)
    values = (person.storefront_id, *person.parameters, person.keys)
    return _erasure(await connection.fetchrow(INSERT, *values))


async def open_stages(engine: AsyncEngine) -> set[Stage]:
    """What is under way, in as few bytes as can be: every process asks for it every few seconds."""
    statement = select(erasure.c.erasure_id, erasure.c.forgotten_at.is_not(None)).where(
        erasure.c.finished_at.is_(None), erasure.c.occurred_before.is_(None)
    )
    async with engine.connect() as connection:
        return {(erasure_id, forgotten) for erasure_id, forgotten in await connection.execute(statement)}


async def open_erasures(connection: asyncpg.Connection) -> list[Erasure]:
    return [_erasure(record) for record in await connection.fetch(OPEN)]


async def find_erasure(connection: asyncpg.Connection, storefront_id: int, erasure_id: int) -> Erasure | None:
    record = await connection.fetchrow(ONE, erasure_id, storefront_id)
    return None if record is None else _erasure(record)


async def claim(connection: asyncpg.Connection, known: Erasure) -> Erasure | None:
    """The erasure as it is now, ours until the connection closes; None when another process works at it, or has."""
    lock = (LOCK_CLASS, known.erasure_id % 2**31)
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1::int, $2::int)", *lock):
        return None
    now = await find_erasure(connection, known.person.storefront_id, known.erasure_id)
    return None if now is None or now.finished_at is not None else now


async def seconds_since(connection: asyncpg.Connection, at: datetime) -> float:
    """By Postgres' clock, which wrote the time."""
    return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp() - $1)", at))


async def find_times(connection: asyncpg.Connection, request: Erasure) -> Erasure:
    """Note when shared visitors were the person: once their events begin to go, that can't be told any more."""
    person = await _as_now(connection, request.person)
    await _extend(connection, request.erasure_id, person)
    return replace(request, person=person)


async def delete_events(connection: asyncpg.Connection, request: Erasure) -> Counter[str]:
    """Every event of the person. Returns how many there were in which partition."""
    deleted: Counter[str] = Counter()
    async for piece in pieces(connection, await partition_names(connection)):
        statement = DELETE_EVENTS.format(table=piece.table, is_theirs=IS_THEIRS, erased_lines=ERASED_LINES)
        async with connection.transaction():
            count = await connection.fetchval(statement, piece.start, piece.end, *request.person.parameters)
            if count:
                await add_count(connection, request.erasure_id, "events", count)
                deleted[piece.table] += count
    return deleted


async def delete_quarantined(connection: asyncpg.Connection, request: Erasure) -> int:
    """Refused events that mention the person. Returns how many there were."""
    person = request.person
    found = quarantined_of(connection, person.storefront_id, person.keys, mentions(person.keys))
    ids = [record["quarantine_id"] async for record in found]
    for start in range(0, len(ids), QUARANTINE_DELETE_ROWS):
        some = ids[start : start + QUARANTINE_DELETE_ROWS]
        async with connection.transaction():
            await connection.execute(DELETE_QUARANTINED, some)
            await add_count(connection, request.erasure_id, "quarantined", len(some))
    return len(ids)


async def mark_erased(connection: asyncpg.Connection, erasure_id: int) -> None:
    """Everything held at the request is gone."""
    await connection.execute(ERASED, erasure_id)


async def forget_ids(connection: asyncpg.Connection, request: Erasure) -> None:
    """Take our ids from the sender's texts, those included that have become the person's since the request."""
    async with connection.transaction():
        person = await _as_now(connection, request.person)
        await _delete_links(connection, person)
        await connection.execute(DELETE_VISITORS, person.visitor_ids)
        await connection.execute(DELETE_CUSTOMERS, person.customer_ids)
        await _extend(connection, request.erasure_id, person)
        await connection.execute(FORGOTTEN, request.erasure_id)


async def _as_now(connection: asyncpg.Connection, person: Person) -> Person:
    """A customer may have got further visitors, and times as them. A visitor stays what was asked for, whoever it has
    become."""
    if not person.customer_ids:
        return person
    found = await find_person(connection, person.storefront_id, person.keys[0], PersonKind.CUSTOMER)
    if found is None:
        return person
    now = await with_times(connection, found)
    return replace(now, shared=tuple(dict.fromkeys((*person.shared, *now.shared))))


async def _extend(connection: asyncpg.Connection, erasure_id: int, person: Person) -> None:
    visitors, _, *shared = person.parameters
    await connection.execute(EXTEND, erasure_id, visitors, *shared, person.keys)


async def _delete_links(connection: asyncpg.Connection, person: Person) -> None:
    for statement in (DELETE_LINKS, DELETE_UNLINKS):
        await connection.execute(statement, person.visitor_ids, person.customer_ids)


async def finish(connection: asyncpg.Connection, request: Erasure) -> None:
    async with connection.transaction():
        await _delete_links(connection, request.person)
        await connection.execute(FINISH, request.erasure_id)
    for table in IDENTITY_TABLES:
        await connection.execute(f"VACUUM (ANALYZE, INDEX_CLEANUP ON) {table}")  # the ids are in indexes too


async def add_count(connection: asyncpg.Connection, erasure_id: int, name: str, count: int) -> None:
    await connection.execute(COUNT, erasure_id, name, count)


async def vacuum(connection: asyncpg.Connection, tables: Iterable[str]) -> None:
    """Make the space of deleted rows free, to be written over; and statistics anew, as they quote values."""
    for table in tables:
        await connection.execute(f"VACUUM (ANALYZE) {table}")


def _erasure(record: Any) -> Erasure:
    shared = zip(record["shared_visitor_ids"], record["shared_since"], record["shared_until"], strict=True)
    person = Person(
        storefront_id=record["storefront_id"],
        visitor_ids=tuple(record["visitor_ids"]),
        customer_ids=tuple(record["customer_ids"]),
        shared_visitor_ids=tuple(dict.fromkeys(record["shared_visitor_ids"])),
        # Infinite times come without a time zone.
        shared=tuple(Shared(visitor, *(time.replace(tzinfo=UTC) for time in times)) for visitor, *times in shared),
        keys=tuple(record["keys"]),
    )
    return Erasure(
        erasure_id=record["erasure_id"],
        person=person,
        requested_at=record["requested_at"],
        erased_at=record["erased_at"],
        forgotten_at=record["forgotten_at"],
        finished_at=record["finished_at"],
        counts=json.loads(record["counts"]),
    )
