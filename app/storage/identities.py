"""From the senders' texts for visitors, customers and accounts to our ids, and who was seen with whom."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import asyncpg

from app.domain.event import Event
from app.storage.copy_rows import Ids

# Entries per cache, about 150 bytes each; beyond it the oldest go.
CACHE_MAX_ENTRIES = 500_000

K = TypeVar("K")
V = TypeVar("V")
Key = tuple[int, str]  # (storefront_id, the sender's text)


# A condition that always holds, for a statement that is a transaction of its own: it does not wait for the disk. The
# events that need what it adds are committed after it, and when they are on disk, so is everything before them.
WITHOUT_WAITING = "(SELECT set_config('synchronous_commit', 'off', true)) = 'off'"


def _resolve_sql(name: str) -> str:
    """Purpose: the ids of keys, adding those that are new, in one round trip.

    Keys come sorted and are added in that order, so that two writers can't deadlock. A key that another writer has
    added meanwhile, after this statement began, is missing from the answer: asked for again, it is found.
    """
    return f"""
        WITH wanted AS (SELECT * FROM unnest($1::int[], $2::text[]) WITH ORDINALITY AS w (storefront_id, key, place)),
        known AS (
            SELECT t.storefront_id, t.{name}_key AS key, t.{name}_id AS id FROM wanted
            JOIN {name} AS t ON t.storefront_id = wanted.storefront_id AND t.{name}_key = wanted.key
        ),
        added AS (
            INSERT INTO {name} (storefront_id, {name}_key)
            SELECT storefront_id, key FROM wanted
            WHERE (storefront_id, key) NOT IN (SELECT storefront_id, key FROM known)
            ORDER BY place
            ON CONFLICT DO NOTHING RETURNING storefront_id, {name}_key AS key, {name}_id AS id
        )
        SELECT * FROM known UNION ALL SELECT * FROM added WHERE {WITHOUT_WAITING}"""  # noqa: S608  # table names from the line below


RESOLVE = {name: _resolve_sql(name) for name in ("visitor", "customer", "account")}
# A key can slip away, to a writer that commits between two statements; or it is erased just then, which is rare.
RESOLVE_TRIES = 4

# Purpose: remember who was ever seen with whom, and when first, for those who look for all that is a person's. Reports
# go by the events themselves. A row that changes gets the changing transaction's id, for followers of before.
LINK = f"""
    INSERT INTO visitor_link (storefront_id, visitor_id, customer_id, linked_at)
    SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::timestamptz[]) WHERE {WITHOUT_WAITING}
    ON CONFLICT (visitor_id, customer_id) DO UPDATE
    SET linked_at = excluded.linked_at, xid = pg_current_xact_id()
    WHERE excluded.linked_at < visitor_link.linked_at
"""  # noqa: S608  # our own words

# Purpose: what linked a customer ($2) and a visitor ($3) of a storefront ($1) until now ($4) does not count any more.
UNLINK = """
    INSERT INTO visitor_unlink (visitor_id, customer_id, storefront_id, unlinked_at)
    SELECT visitor_id, customer_id, $1, $4::timestamptz
    FROM visitor_link JOIN visitor USING (visitor_id) JOIN customer USING (customer_id)
    WHERE visitor_key = $3 AND visitor.storefront_id = $1 AND customer_key = $2 AND customer.storefront_id = $1
    ON CONFLICT (visitor_id, customer_id, unlinked_at) DO UPDATE SET xid = pg_current_xact_id()
    RETURNING visitor_id
"""

Link = tuple[int, int]  # (visitor_id, customer_id)


@dataclass(slots=True)
class Found:
    """What one batch needed: ids per event, and what may be remembered once the batch is committed."""

    ids: list[Ids]
    keys: dict[str, dict[Key, int]] = field(default_factory=dict)
    links: dict[Link, datetime] = field(default_factory=dict)
    epoch: object = None


class Identities:
    """Look-ups with a cache of what is known to be committed."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Key, int]] = {name: {} for name in RESOLVE}
        self._links: dict[Link, datetime] = {}
        self._epoch = object()

    def forget(self) -> None:
        """Some identity has been erased: look all of them up again. What a batch under way finds is not kept."""
        self._known = {name: {} for name in RESOLVE}
        self._links = {}
        self._epoch = object()

    def _known_ids(self, events: Sequence[Event]) -> list[Ids] | None:
        """Ids for every event without asking Postgres; None when it has to be asked, or told something new."""
        visitors, customers, accounts = (self._known[name] for name in RESOLVE)
        found: list[Ids] = []
        for event in events:
            storefront_id = event.storefront_id
            visitor_id = customer_id = account_id = None
            if event.visitor_key is not None:
                visitor_id = visitors.get((storefront_id, event.visitor_key))
                if visitor_id is None:
                    return None
            if event.customer_key is not None:
                customer_id = customers.get((storefront_id, event.customer_key))
                if customer_id is None:
                    return None
                if visitor_id is not None:
                    linked_at = self._links.get((visitor_id, customer_id))
                    if linked_at is None or event.occurred_at < linked_at:
                        return None
            if event.account_key is not None:
                account_id = accounts.get((storefront_id, event.account_key))
                if account_id is None:
                    return None
            found.append((visitor_id, customer_id, account_id))
        return found

    async def resolve(self, connection: asyncpg.Connection, events: Sequence[Event]) -> Found:
        """Ids for every event, adding identities and links that are new. It commits these: not for a transaction."""
        known = self._known_ids(events)
        if known is not None:
            return Found(known)
        found = Found([], epoch=self._epoch)
        visitor_ids, customer_ids, account_ids = (
            await self._ids(connection, "visitor", events, [event.visitor_key for event in events], found),
            await self._ids(connection, "customer", events, [event.customer_key for event in events], found),
            await self._ids(connection, "account", events, [event.account_key for event in events], found),
        )
        found.ids = list(zip(visitor_ids, customer_ids, account_ids, strict=True))
        await self._link(connection, events, found)
        return found

    def remember(self, found: Found) -> None:
        """Call after the events' commit: until then a Postgres that dies may forget what was found."""
        if found.epoch is not self._epoch:
            return
        for name, ids in found.keys.items():
            _add_bounded(self._known[name], ids)
        _add_bounded(self._links, found.links)

    async def _ids(
        self,
        connection: asyncpg.Connection,
        name: str,
        events: Sequence[Event],
        texts: Sequence[str | None],
        found: Found,
    ) -> list[int | None]:
        """texts: of the events, what names their visitor, customer or account."""
        if texts.count(None) == len(texts):
            return [None] * len(texts)
        keys = [
            None if text is None else (event.storefront_id, text) for event, text in zip(events, texts, strict=True)
        ]
        # Looked up before anything is awaited: meanwhile the oldest may go from the cache.
        known = self._known[name]
        ids = [None if key is None else known.get(key) for key in keys]
        missing = {key for key, id_ in zip(keys, ids, strict=True) if id_ is None and key is not None}
        if not missing:
            return ids
        fresh: dict[Key, int] = {}
        for _ in range(RESOLVE_TRIES):
            fresh |= await _fetch_ids(connection, RESOLVE[name], sorted(missing - fresh.keys()))
            if len(fresh) == len(missing):
                break
        found.keys[name] = fresh
        return [fresh[key] if id_ is None and key is not None else id_ for key, id_ in zip(keys, ids, strict=True)]

    async def _link(self, connection: asyncpg.Connection, events: Sequence[Event], found: Found) -> None:
        new: dict[Link, tuple[datetime, int]] = {}
        for event, (visitor_id, customer_id, _) in zip(events, found.ids, strict=True):
            if visitor_id is None or customer_id is None:
                continue
            link = (visitor_id, customer_id)
            earliest = new[link][0] if link in new else self._links.get(link)
            if earliest is None or event.occurred_at < earliest:
                new[link] = (event.occurred_at, event.storefront_id)
        if not new:
            return
        rows = sorted((storefront_id, *link, linked_at) for link, (linked_at, storefront_id) in new.items())
        await connection.execute(LINK, *(list(column) for column in zip(*rows, strict=True)))
        found.links = {link: linked_at for link, (linked_at, _) in new.items()}


async def unlink(
    connection: asyncpg.Connection, storefront_id: int, customer_key: str, visitor_key: str, at: datetime
) -> bool:
    """Undo that the visitor is the customer, for all events by `at`. Returns whether they were ever seen together."""
    return await connection.fetchval(UNLINK, storefront_id, customer_key, visitor_key, at) is not None


async def _fetch_ids(connection: asyncpg.Connection, statement: str, keys: Iterable[Key]) -> dict[Key, int]:
    storefronts, texts = zip(*keys, strict=True)
    records = await connection.fetch(statement, list(storefronts), list(texts))
    return {(record["storefront_id"], record["key"]): record["id"] for record in records}


def _add_bounded(cache: dict[K, V], fresh: dict[K, V]) -> None:
    cache |= fresh
    while len(cache) > CACHE_MAX_ENTRIES:
        del cache[next(iter(cache))]
