"""Retention: what is older than a storefront keeps it goes, in pieces; a partition nobody needs is emptied at once.

An event's age is that of `occurred_at`. Mirrors follow by a row in table `erasure` with `occurred_before`, which is
committed with the first rows that go.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.ledger import ERASED_SOURCE
from app.storage.blocks import BLOCKS, Piece, partition_names, pieces
from app.storage.database import DatabaseUrl
from app.storage.erasures import ERASED_LINES, vacuum
from app.storage.persons import work_connection
from app.storage.tables import storefront

logger = logging.getLogger(__name__)

RETENTION_MAX_DAYS = 36_500  # a hundred years: with more, the sums with dates would leave the calendar
# One process at a time: "FfRt".
LOCK = 0x46665274
# Of quarantine and ledger, per statement.
ROWS_PER_DELETE = 5_000
# A partition is emptied only when it can be had at once: a lock that is waited for has later inserts waiting behind it.
TRUNCATE_LOCK_TIMEOUT = "500ms"

# $1 and $2 bound the piece; $3: storefronts, $4: before what time each of them needs nothing.
EXPIRED = "unnest($3::int[], $4::timestamptz[]) AS expired (storefront_id, before)"
# Purpose: what has expired in one piece goes, and the ledger is told. Returns storefronts with their numbers of events.
DELETE_EVENTS = """
    WITH gone AS (
        DELETE FROM {table} AS event USING {expired}
        WHERE event.ctid >= $1::tid AND event.ctid < $2::tid
          AND event.storefront_id = expired.storefront_id AND event.occurred_at < expired.before
        RETURNING event.storefront_id, event.received_at
    ),
    noted AS (INSERT INTO ledger {erased_lines})
    SELECT storefront_id, count(*) AS count FROM gone GROUP BY 1
"""
# Purpose: is there an event in the table that somebody needs? $1, $2 as $3, $4 above.
NEEDED = """
    SELECT EXISTS (
        SELECT FROM {table} AS event
        LEFT JOIN unnest($1::int[], $2::timestamptz[]) AS expired (storefront_id, before) USING (storefront_id)
        WHERE (event.occurred_at < before) IS NOT TRUE)
"""
# Purpose: all transactions before this one have ended.
HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# Purpose: what the ledger is to be told of a whole partition, counted before anything is locked.
COUNT_ALL = """
    CREATE TEMPORARY TABLE gone_minutes AS
    SELECT storefront_id, date_trunc('minute', received_at, 'UTC') AS minute, count(*) AS count
    FROM {table} WHERE xid < '{horizon}' GROUP BY 1, 2
"""
COUNTED = "SELECT storefront_id, sum(count)::bigint AS count FROM gone_minutes GROUP BY 1"
NOTE_ALL = f"""
    INSERT INTO ledger
        (storefront_id, minute, source, received, stored, duplicate, rejected, bot, no_consent, limited, erased)
    SELECT storefront_id, minute, '{ERASED_SOURCE}', 0, 0, 0, 0, 0, 0, 0, count FROM gone_minutes
"""  # noqa: S608  # our own word
# Purpose: what has come in since it was counted.
CAME_SINCE = "SELECT EXISTS (SELECT FROM {table} WHERE xid >= '{horizon}')"
# Purpose: mirrors delete the same: of a storefront ($1) everything before a time ($2).
FOLLOW = "INSERT INTO erasure (storefront_id, occurred_before) VALUES ($1, $2) RETURNING erasure_id"
# Purpose: all is gone now that was to go, and mirrors look again.
FINISH = """
    UPDATE erasure SET finished_at = now(), xid = pg_current_xact_id()
    WHERE occurred_before IS NOT NULL AND finished_at IS NULL
"""
OTHERS = {
    "quarantined_event": "received_at",
    "ledger": "minute",
}
# Purpose: some of the oldest rows of a storefront ($1) before a time ($2), at most $3.
DELETE_OTHERS = """
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM {table} WHERE storefront_id = $1 AND {time} < $2 LIMIT $3))
"""


async def set_retention(engine: AsyncEngine, storefront_id: int, days: int | None) -> None:
    """How many days of events a storefront keeps; None: all."""
    statement = storefront.update().where(storefront.c.storefront_id == storefront_id).values(retention_days=days)
    async with engine.begin() as connection:
        await connection.execute(statement)


async def enforce_retention(engine: AsyncEngine, url: DatabaseUrl, now: datetime) -> int:
    """Delete what has expired by now. Returns how many events that were."""
    before = await _expiries(engine, now)
    async with work_connection(url) as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return 0  # another process is at it
        run = _Run(connection, before)
        if before:
            await run.empty_partitions()
            await run.delete_events()
            await run.delete_others()
        await connection.execute(FINISH)
    if run.removed:
        logger.info("expired events removed", extra={"action": "retention", "events": run.removed.total()})
    return run.removed.total()


async def _expiries(engine: AsyncEngine, now: datetime) -> dict[int, datetime]:
    """Per storefront with a retention, before what time it needs nothing."""
    statement = select(storefront.c.storefront_id, storefront.c.retention_days).where(
        storefront.c.retention_days.is_not(None)
    )
    async with engine.connect() as connection:
        return {
            row.storefront_id: now - timedelta(days=row.retention_days) for row in await connection.execute(statement)
        }


class _Run:
    """One pass. removed: events per storefront."""

    def __init__(self, connection: asyncpg.Connection, before: Mapping[int, datetime]) -> None:
        self._connection = connection
        self._before = before
        self._followed: set[int] = set()
        self.removed: Counter[int] = Counter()

    async def empty_partitions(self) -> None:
        """Those with nothing left that anybody needs. They stay: to drop one, every insert would have to wait."""
        for table in await self._reaching_back():
            if not await self._connection.fetchval(BLOCKS, table):
                continue
            # First: what comes while we look whether the table is needed must count as come since.
            horizon = await self._connection.fetchval(HORIZON)
            if await self._is_needed(table):
                continue
            try:
                await self._empty(table, horizon)
            except asyncpg.LockNotAvailableError:
                logger.info("partition is in use", extra={"action": "partition_not_emptied", "partition": table})

    async def _empty(self, table: str, horizon: str) -> None:
        """horizon: from before it was found that nobody needs what is in the table."""
        await self._connection.execute("DROP TABLE IF EXISTS gone_minutes")
        await self._connection.execute(COUNT_ALL.format(table=table, horizon=horizon))
        async with self._connection.transaction():
            await self._connection.execute(f"SET LOCAL lock_timeout = '{TRUNCATE_LOCK_TIMEOUT}'")
            await self._connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            if await self._connection.fetchval(CAME_SINCE.format(table=table, horizon=horizon)):
                return
            await self._note(await self._connection.fetch(COUNTED))
            await self._connection.execute(NOTE_ALL)
            await self._connection.execute(f"TRUNCATE {table}")

    async def _is_needed(self, table: str) -> bool:
        statement = NEEDED.format(table=table)
        needed: bool = await self._connection.fetchval(statement, [*self._before], [*self._before.values()])
        return needed

    async def _reaching_back(self) -> list[str]:
        """Partitions that may have events old enough."""
        newest = max(self._before.values())
        names = await partition_names(self._connection)
        return [name for name in names if (_month_of(name) or newest) <= newest]

    async def delete_events(self) -> None:
        """Event by event, where others of the same partition stay."""
        touched: Counter[str] = Counter()
        async for piece in pieces(self._connection, await self._reaching_back()):
            touched[piece.table] += await self._delete_piece(piece)
        await vacuum(self._connection, [table for table, count in touched.items() if count])

    async def _delete_piece(self, piece: Piece) -> int:
        statement = DELETE_EVENTS.format(table=piece.table, expired=EXPIRED, erased_lines=ERASED_LINES)
        async with self._connection.transaction():
            counts = await self._connection.fetch(
                statement, piece.start, piece.end, [*self._before], [*self._before.values()]
            )
            return await self._note(counts)

    async def _note(self, counts: Sequence[asyncpg.Record]) -> int:
        """In the transaction that deletes: have mirrors follow."""
        for storefront_id, count in counts:
            if storefront_id not in self._followed:
                await self._connection.execute(FOLLOW, storefront_id, self._before[storefront_id])
                self._followed.add(storefront_id)
            self.removed[storefront_id] += count
        return sum(count for _, count in counts)

    async def delete_others(self) -> None:
        """Refused events and lines of the ledger."""
        for table, time in OTHERS.items():
            statement = DELETE_OTHERS.format(table=table, time=time)
            for storefront_id, before in self._before.items():
                while await self._connection.execute(statement, storefront_id, before, ROWS_PER_DELETE) != "DELETE 0":
                    pass
            await vacuum(self._connection, [table])


def _month_of(partition: str) -> datetime | None:
    """The month in which it begins, for those that are named after their time."""
    found = re.match(r"event_(\d{4})_(\d\d)", partition)
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC) if found else None
