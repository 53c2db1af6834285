"""Contexts: devices and campaigns that come again and again, kept once each; an event stores their numbers.

A storefront has room for a bounded number. What there is no room for gets the number of a coarser one, which says the
same in fewer columns: so the event is kept, and senders who make up something new for every event fill no table.
"""

from collections import defaultdict
from collections.abc import Sequence

import asyncpg

from app.domain.context import Campaign, Device
from app.domain.event import Event
from app.storage.copy_rows import ContextIds

UNKNOWN = -1
KNOWN_MAX = 50_000  # of all storefronts, about 500 bytes each

Values = tuple[str | None, ...]

# Purpose: the numbers of contexts of a storefront ($1), adding those that are new while there is room ($2: how many it
# may have). $3 and on: their values, an array per column; '' where there is none. In order, so that two processes that
# add the same ones never wait for each other.
LEARN = """
    WITH given AS (SELECT DISTINCT * FROM unnest({arrays}) AS given ({columns})),
    added AS (
        INSERT INTO {table} (storefront_id, {columns})
        SELECT $1::int, given.* FROM given
        WHERE NOT EXISTS (SELECT FROM {table} AS there WHERE storefront_id = $1 AND ({there}) = ({given}))
        ORDER BY {columns}
        LIMIT greatest(0, $2::int - (SELECT count(*) FROM {table} WHERE storefront_id = $1))
        ON CONFLICT DO NOTHING RETURNING {key}, {columns}
    )
    SELECT {key}, {columns} FROM added
    UNION ALL SELECT {key}, {columns} FROM {table} JOIN given USING ({columns}) WHERE storefront_id = $1
"""


class Contexts:
    """The contexts of one kind that this process knows. levels: which columns are kept, from all to few; with how many
    rows a storefront may have then."""

    def __init__(self, table: str, columns: Sequence[str], levels: Sequence[tuple[frozenset[str], int]]) -> None:
        self._columns = tuple(columns)
        self._levels = tuple(levels)
        self._known: dict[tuple[int, Values], int | None] = {}
        self._learn_sql = LEARN.format(
            table=table,
            key=f"{table}_id",
            columns=", ".join(columns),
            arrays=", ".join(f"${place}::text[]" for place in range(3, 3 + len(columns))),
            there=", ".join(f"there.{column}" for column in columns),
            given=", ".join(f"given.{column}" for column in columns),
        )

    async def ids(
        self, connection: asyncpg.Connection, wanted: Sequence[tuple[int, Values] | None]
    ) -> list[int | None]:
        """The number of each (storefront_id, values); None for none. What is learned is committed at once: outside a
        transaction."""
        if len(self._known) > KNOWN_MAX:
            self._known = {}
        known = self._known
        ids = [None if each is None else known.get(each, UNKNOWN) for each in wanted]
        if UNKNOWN not in ids:
            return ids
        new: defaultdict[int, set[Values]] = defaultdict(set)
        for each, found in zip(wanted, ids, strict=True):
            if each is not None and found == UNKNOWN:
                new[each[0]].add(each[1])
        for storefront_id, values in new.items():
            known |= await self._learned(connection, storefront_id, values)
        return [None if each is None else known[each] for each in wanted]

    async def _learned(
        self, connection: asyncpg.Connection, storefront_id: int, wanted: set[Values]
    ) -> dict[tuple[int, Values], int | None]:
        learned: dict[tuple[int, Values], int | None] = {(storefront_id, values): None for values in wanted}
        left = wanted
        for kept, rows_max in self._levels:
            coarse = {values: self._only(values, kept) for values in left}
            found = await self._find(connection, storefront_id, set(coarse.values()), rows_max)
            learned |= {(storefront_id, values): found[of] for values, of in coarse.items() if of in found}
            left = {values for values, of in coarse.items() if of not in found}
            if not left:
                break
        return learned

    def _only(self, values: Values, kept: frozenset[str]) -> Values:
        return tuple(value if name in kept else None for name, value in zip(self._columns, values, strict=True))

    async def _find(
        self, connection: asyncpg.Connection, storefront_id: int, wanted: set[Values], rows_max: int
    ) -> dict[Values, int]:
        found: dict[Values, int] = {}
        for _ in range(2):  # another process may add one just now, which the next statement sees
            left = wanted - found.keys()
            if left:
                arrays = [[value or "" for value in column] for column in zip(*left, strict=True)]
                rows = await connection.fetch(self._learn_sql, storefront_id, rows_max, *arrays)
                found |= {tuple(value or None for value in values): key for key, *values in rows}
        return found


def devices() -> Contexts:
    few = frozenset({"device_type"})
    names = few | {"browser", "os"}
    levels = ((frozenset(Device._fields), 10_000), (names | {"country"}, 12_000), (names, 13_000), (few, 14_000))
    return Contexts("device_context", Device._fields, levels)


def campaigns() -> Contexts:
    few = frozenset({"channel", "click_id"})
    where = few | {"utm_source", "utm_medium"}
    every = frozenset(Campaign._fields)
    levels = ((every, 20_000), (where | {"utm_campaign"}, 23_000), (where, 24_000), (few, 25_000))
    return Contexts("campaign_context", Campaign._fields, levels)


class EventContexts:
    """Both kinds, of events."""

    def __init__(self) -> None:
        self._devices, self._campaigns = devices(), campaigns()

    async def ids(self, connection: asyncpg.Connection, events: Sequence[Event]) -> list[ContextIds]:
        devices = [None if event.device is None else (event.storefront_id, event.device) for event in events]
        campaigns = [None if event.campaign is None else (event.storefront_id, event.campaign) for event in events]
        return list(
            zip(
                await self._devices.ids(connection, devices),
                await self._campaigns.ids(connection, campaigns),
                strict=True,
            )
        )
