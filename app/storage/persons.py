"""Finds a person by the sender's id, and everything we hold about them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby

import asyncpg

from app.domain.mention import Mentions
from app.errors import FootfallError
from app.storage.blocks import partition_names, pieces
from app.storage.database import CONNECT_TIMEOUT_SECONDS, DatabaseUrl

# The driver writes these as -infinity and infinity.
ALWAYS = datetime(1, 1, 1, tzinfo=UTC)
FOR_EVER = datetime.max.replace(tzinfo=UTC)

# Longest that a statement of long work may take: emptying a table, VACUUM of a month.
WORK_STATEMENT_SECONDS = 3600.0
# Of a look or a change for a request.
BRIEF_STATEMENT_SECONDS = 10.0

# Refused events looked at in one statement; each may have the size of a request.
QUARANTINE_PAGE_ROWS = 20

FIND = {
    "customer": "SELECT customer_id FROM customer WHERE storefront_id = $1 AND customer_key = $2",
    "visitor": "SELECT visitor_id FROM visitor WHERE storefront_id = $1 AND visitor_key = $2",
}
# Purpose: all links of the visitors that a customer ($1) is linked to, in the order in which they take effect.
LINKS = """
    SELECT visitor_id, customer_id, linked_at, visitor_key FROM visitor_link JOIN visitor USING (visitor_id)
    WHERE visitor_id IN (SELECT visitor_id FROM visitor_link WHERE customer_id = $1)
    ORDER BY visitor_id, linked_at, customer_id
"""
# Purpose: the customers that a visitor ($1) was, and whether a link to any of them was ever undone.
CUSTOMERS_OF = """
    SELECT customer_id, EXISTS (SELECT FROM visitor_unlink AS undone WHERE undone.visitor_id = $1) AS any_undone
    FROM visitor_link WHERE visitor_id = $1 ORDER BY linked_at
"""
# Purpose: when the links of a customer ($1) were undone.
UNLINKS = """
    SELECT visitor_id, visitor_key, unlinked_at FROM visitor_unlink JOIN visitor USING (visitor_id)
    WHERE customer_id = $1 ORDER BY unlinked_at, visitor_id
"""
# Purpose: who some visitors ($1) were, and when, as reports see it: from each event that names another customer than
# the one before to the next such event, NULL: from the beginning, or for ever. Events that were undone don't count.
TIMES = """
    WITH point AS (
        SELECT event.visitor_id, event.customer_id, occurred_at, seq, customer_key COLLATE "C" AS key
        FROM event LEFT JOIN customer USING (customer_id)
        WHERE event.visitor_id = ANY($1::bigint[]) AND event.customer_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM visitor_unlink AS undone
            WHERE undone.visitor_id = event.visitor_id AND undone.customer_id = event.customer_id
              AND occurred_at <= unlinked_at)
    ), placed AS (
        SELECT *, lag(customer_id) OVER (PARTITION BY visitor_id ORDER BY occurred_at, seq, key) AS before FROM point
    ), run AS (
        SELECT visitor_id, customer_id, before, occurred_at AS since,
               lead(occurred_at) OVER (PARTITION BY visitor_id ORDER BY occurred_at, seq, key) AS until
        FROM placed WHERE before IS DISTINCT FROM customer_id
    )
    SELECT visitor_id, customer_id, CASE WHEN before IS NOT NULL THEN since END AS since, until
    FROM run ORDER BY visitor_id, run.since
"""

# The events of a person. $1 and $2 bound the piece; $3 to $7: the person's `parameters`.
IS_THEIRS = """
    event.ctid >= $1::tid AND event.ctid < $2::tid AND (
        event.visitor_id = ANY($3::bigint[])
        OR event.customer_id = ANY($4::bigint[])
        OR event.visitor_id = ANY($5::bigint[]) AND event.customer_id IS NULL AND EXISTS (
            SELECT FROM unnest($5::bigint[], $6::timestamptz[], $7::timestamptz[]) AS shared (visitor_id, since, until)
            WHERE shared.visitor_id = event.visitor_id AND event.occurred_at >= since AND event.occurred_at < until))
"""
# Purpose: a person's events in one piece, with the sender's ids and the names of their properties.
EVENTS = """
    SELECT event.*, visitor_key, customer_key, account_key, names, device_type, browser, os, language, country, channel,
           utm_source, utm_medium, utm_campaign, utm_term, utm_content, click_id
    FROM {table} AS event
    LEFT JOIN visitor USING (visitor_id) LEFT JOIN customer USING (customer_id) LEFT JOIN account USING (account_id)
    LEFT JOIN property_shape USING (shape_id)
    LEFT JOIN device_context USING (device_context_id) LEFT JOIN campaign_context USING (campaign_context_id)
    WHERE {is_theirs} ORDER BY event.ctid
"""
# Purpose: refused events after $2 of a storefront ($1) that may mention a key ($3, in UTF-8): the bytes are there, or
# an escape that may stand for them.
MAY_MENTION = r"""
    SELECT quarantine_id, received_at, format, reason, pointer, detail, raw FROM quarantined_event
    WHERE storefront_id = $1 AND quarantine_id > $2
      AND (position('\x5c'::bytea IN raw) > 0
           OR EXISTS (SELECT FROM unnest($3::bytea[]) AS key WHERE position(key IN raw) > 0))
    ORDER BY quarantine_id LIMIT $4
"""


class PersonKind(StrEnum):
    CUSTOMER = "customer"
    VISITOR = "visitor"


class SharedVisitor(FootfallError):
    """This visitor was several customers"""

    status = 409
    type_slug = "shared-visitor"


@dataclass(frozen=True, slots=True)
class Shared:
    """A visitor that was other customers too, and a time [since, until) in which it was this one."""

    visitor_id: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Link:
    visitor_key: str
    linked_at: datetime


@dataclass(frozen=True, slots=True)
class Unlink:
    visitor_key: str
    unlinked_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """A customer with the visitors that were nobody else, or a visitor whom nobody identified.

    shared_visitor_ids: visitors that were others too, or nobody for a time. shared: when they were this person; not
    known before `with_times`. keys: the sender's ids that are this person's alone, the customer's first.
    """

    storefront_id: int
    visitor_ids: tuple[int, ...]
    customer_ids: tuple[int, ...]
    shared_visitor_ids: tuple[int, ...]
    keys: tuple[str, ...]
    shared: tuple[Shared, ...] = ()
    links: tuple[Link, ...] = ()
    unlinks: tuple[Unlink, ...] = ()

    @property
    def customer_keys(self) -> tuple[str, ...]:
        return self.keys[: len(self.customer_ids)]

    @property
    def visitor_keys(self) -> tuple[str, ...]:
        return self.keys[len(self.customer_ids) :]

    @property
    def parameters(self) -> tuple[Sequence[object], ...]:
        """$3 to $7 of IS_THEIRS."""
        return (
            self.visitor_ids,
            self.customer_ids,
            [shared.visitor_id for shared in self.shared],
            [shared.since for shared in self.shared],
            [shared.until for shared in self.shared],
        )


@asynccontextmanager
async def work_connection(
    url: DatabaseUrl, *, statement_seconds: float = WORK_STATEMENT_SECONDS
) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the tables; a statement that takes longer than statement_seconds is given up."""
    connection = await asyncpg.connect(
        url.libpq,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=statement_seconds,
        server_settings={"application_name": "footfall persons", "jit": "off"},
    )
    try:
        yield connection
    except BaseException:
        connection.terminate()  # whatever it was doing; a polite end could wait for a server that hangs
        raise
    await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)


async def find_person(
    connection: asyncpg.Connection, storefront_id: int, key: str, kind: PersonKind | None = None
) -> Person | None:
    """The person that the sender calls `key`: a customer, or else a visitor. Raises SharedVisitor."""
    if kind is not PersonKind.VISITOR:
        customer_id = await connection.fetchval(FIND["customer"], storefront_id, key)
        if customer_id is not None:
            return await _customer(connection, storefront_id, customer_id)
    if kind is PersonKind.CUSTOMER:
        return None
    visitor_id = await connection.fetchval(FIND["visitor"], storefront_id, key)
    if visitor_id is None:
        return None
    linked = await connection.fetch(CUSTOMERS_OF, visitor_id)
    any_undone = any(record["any_undone"] for record in linked)
    if any_undone:
        linked = await connection.fetch(TIMES, [visitor_id])
    customers = list(dict.fromkeys(record["customer_id"] for record in linked))
    if len(customers) > 1:
        raise SharedVisitor(
            f"Under this visitor_id {len(customers)} customers were seen; name the one that is meant by customer_id."
        )
    if customers:
        return await _customer(connection, storefront_id, customers[0])
    if any_undone:  # events that name a customer are still that customer's
        shared = Shared(visitor_id, ALWAYS, FOR_EVER)
        return Person(storefront_id, (), (), (visitor_id,), (), shared=(shared,))
    return Person(storefront_id, (visitor_id,), (), (), (key,))


async def with_times(connection: asyncpg.Connection, person: Person) -> Person:
    """Find out when shared visitors were this person. Reads every event, if there are such visitors."""
    if not person.shared_visitor_ids or not person.customer_ids:
        return person
    shared = tuple(
        Shared(record["visitor_id"], record["since"] or ALWAYS, record["until"] or FOR_EVER)
        for record in await connection.fetch(TIMES, person.shared_visitor_ids)
        if record["customer_id"] in person.customer_ids
    )
    return replace(person, shared=shared)


async def find_id(
    connection: asyncpg.Connection, storefront_id: int, key: str, kind: PersonKind | None = None
) -> tuple[PersonKind, int] | None:
    """Our id of what the sender calls `key`: a customer's, or else a visitor's, whoever that was."""
    for each in PersonKind:
        if kind in (None, each):
            found = await connection.fetchval(FIND[each], storefront_id, key)
            if found is not None:
                return each, found
    return None


async def _customer(connection: asyncpg.Connection, storefront_id: int, customer_id: int) -> Person:
    key = await connection.fetchval("SELECT customer_key FROM customer WHERE customer_id = $1", customer_id)
    own: list[int] = []
    keys: list[str] = [key]
    shared: list[int] = []
    links: list[Link] = []
    undone = await connection.fetch(UNLINKS, customer_id)
    ever_unlinked = {record["visitor_id"] for record in undone}
    records = await connection.fetch(LINKS, customer_id)
    for visitor_id, group in groupby(records, key=lambda record: record["visitor_id"]):
        of_visitor = list(group)
        links += [Link(r["visitor_key"], r["linked_at"]) for r in of_visitor if r["customer_id"] == customer_id]
        if len(of_visitor) == 1 and visitor_id not in ever_unlinked:
            own.append(visitor_id)
            keys.append(of_visitor[0]["visitor_key"])
        else:
            shared.append(visitor_id)
    unlinks = tuple(Unlink(record["visitor_key"], record["unlinked_at"]) for record in undone)
    return Person(
        storefront_id, tuple(own), (customer_id,), tuple(shared), tuple(keys), links=tuple(links), unlinks=unlinks
    )


async def events_of(connection: asyncpg.Connection, person: Person) -> AsyncIterator[asyncpg.Record]:
    """Reads every partition: there is no index by person."""
    async for piece in pieces(connection, await partition_names(connection)):
        statement = EVENTS.format(table=piece.table, is_theirs=IS_THEIRS)
        for record in await connection.fetch(statement, piece.start, piece.end, *person.parameters):
            yield record


async def quarantined_of(
    connection: asyncpg.Connection, storefront_id: int, keys: Sequence[str], mentions: Mentions
) -> AsyncIterator[asyncpg.Record]:
    """The refused events that mention one of the keys."""
    last, texts = 0, [key.encode() for key in keys]
    while records := await connection.fetch(MAY_MENTION, storefront_id, last, texts, QUARANTINE_PAGE_ROWS):
        last = records[-1]["quarantine_id"]
        for record in records:
            if mentions(record["raw"]):
                yield record
