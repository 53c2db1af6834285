"""Monthly partitions of the event table: made before they are needed, without events waiting for it.

An event for which there is no month goes to event_default, so nothing is refused; when its month is made, it moves.
"""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

logger = logging.getLogger(__name__)

# A clock may be a day ahead of ours and a service may run unattended for a while.
MONTHS_AHEAD = 3
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # no client_time lies before it
ADVISORY_LOCK = 0x706172746974696F  # "partitio": one process at a time
# Whoever waits for event_default has what reads all events waiting behind it, and what is on its way there.
LOCK_TIMEOUT = "500ms"
TRIES = 4
PAUSE_SECONDS = 0.5
# Rows of event_default that move in one transaction, in about half a second; of a month that has more there, parts
# become partitions of their own.
MOVE_MAX = 50_000
SPAN_MIN = timedelta(minutes=1)

Span = tuple[datetime, datetime]  # [start, end)

# Purpose: what the partitions cover; NULL for MINVALUE. Their bounds can be read as text only.
BOUNDS = r"""
    SELECT (regexp_match(bounds, 'FROM \(''(.+?)''\)'))[1]::timestamptz AS first,
           (regexp_match(bounds, 'TO \(''(.+?)''\)'))[1]::timestamptz AS last
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid, pg_get_expr(relpartbound, inhrelid) AS bounds
    WHERE inhparent = to_regclass('event') AND bounds <> 'DEFAULT'
    ORDER BY first NULLS FIRST
"""
# Purpose: how many rows of a span lie in event_default, counted up to a limit.
MISPLACED = """
    SELECT count(*) FROM (
        SELECT FROM event_default WHERE client_time >= :start AND client_time < :end LIMIT :limit
    ) AS misplaced
"""


def month_start(year: int, month: int) -> datetime:
    """First instant of a month; months beyond 12 run on into the next years."""
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


async def ensure_months(engine: AsyncEngine, now: datetime) -> None:
    """Create what is missing up to MONTHS_AHEAD months from now; the months that a long stop left out, too.

    All that came before last month gets one partition, so that event_default stays next to empty: Postgres looks
    through it whenever a partition is added. What can't be added now is logged, and harmless: it is tried again.
    """
    async with engine.connect() as connection:
        covered = await _covered(connection)
    history_end = month_start(now.year, now.month - 1)
    for start, end in _gaps(covered, month_start(now.year, now.month + MONTHS_AHEAD + 1)):
        if start == EARLIEST:
            await _fill(engine, "event_history", (start, min(end, history_end)))
            start = min(end, history_end)  # noqa: PLW2901  # the months that remain of the gap
        for month in _months((start, end)):
            await _fill(engine, _name(month), month)


async def months_ahead(engine: AsyncEngine, now: datetime) -> int:
    """How many whole months after the running one are covered without a gap; -1 when not even that is."""
    async with engine.connect() as connection:
        gaps = _gaps(await _covered(connection), month_start(now.year + 100, 1))
    first = next(start for start, end in gaps if end > now)
    if first <= now:
        return -1
    return (first.year - now.year) * 12 + first.month - now.month - 1


async def _covered(connection: AsyncConnection) -> list[Span]:
    rows = await connection.execute(text(BOUNDS))
    return [(first or EARLIEST, last) for first, last in rows if last > EARLIEST]


def _gaps(covered: list[Span], end: datetime) -> list[Span]:
    """What lies between EARLIEST and end and in none of the spans, which are sorted and apart."""
    starts = [EARLIEST, *(last for _, last in covered)]
    ends = [*(first for first, _ in covered), end]
    return [(start, min(stop, end)) for start, stop in zip(starts, ends, strict=True) if start < min(stop, end)]


def _months(span: Span) -> Iterator[Span]:
    start, end = span
    while start < end:
        following = min(month_start(start.year, start.month + 1), end)
        yield start, following
        start = following


def _name(span: Span) -> str:
    start, end = span
    is_month = start == month_start(start.year, start.month) and end == month_start(start.year, start.month + 1)
    return f"event_{start:%Y_%m}" if is_month else f"event_{start:%Y_%m_%d_%H%M}"


async def _fill(engine: AsyncEngine, name: str, span: Span) -> None:
    """Create a partition, or several when too many rows would have to move at once. Never raises a database error."""
    start, end = span
    try:
        async with engine.connect() as connection:
            bounds = {"start": start, "end": end, "limit": MOVE_MAX + 1}
            misplaced = (await connection.execute(text(MISPLACED), bounds)).scalar_one()
        if misplaced > MOVE_MAX and end - start > SPAN_MIN:
            middle = (start + (end - start) / 2).replace(second=0, microsecond=0)
            for part in ((start, middle), (middle, end)):
                await _fill(engine, _name(part), part)
        else:
            await _create(engine, name, span, is_moving=misplaced > 0)
    except DBAPIError as error:
        facts = {"action": "partition_failed", "partition": name, "error": str(error.orig)}
        logger.warning("partition not created", extra=facts)


async def _create(engine: AsyncEngine, name: str, span: Span, *, is_moving: bool) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            async with engine.begin() as connection:
                await _create_once(connection, name, span, is_moving=is_moving)
                return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03" or not tries_left:  # lock_not_available
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def _create_once(connection: AsyncConnection, name: str, span: Span, *, is_moving: bool) -> None:
    """All in one transaction, so that no event is in two places or in none.

    A table made beside and attached: unlike CREATE TABLE ... PARTITION OF this takes no lock on the parent that
    inserts wait for, only one on event_default.
    """
    lock = {"lock": ADVISORY_LOCK}
    if not (await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), lock)).scalar():
        return  # another process is at it
    if (await connection.execute(text("SELECT to_regclass(:name)"), {"name": name})).scalar() is not None:
        return
    # DDL takes no parameters; the bounds are datetimes and the names our own.
    start, end = span
    inside = f"client_time >= '{start}' AND client_time < '{end}'"
    statements = [
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'",
        # The constraint spares Postgres a look through the table when it is attached.
        f"CREATE TABLE {name} (LIKE event INCLUDING ALL, CONSTRAINT inside CHECK ({inside}))",
        *(_move(name, inside) if is_moving else ()),
        f"ALTER TABLE event ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')",
        f"ALTER TABLE {name} DROP CONSTRAINT inside",
    ]
    for statement in statements:
        await connection.execute(text(statement))


def _move(name: str, inside: str) -> list[str]:
    return [
        "LOCK TABLE event_default IN ACCESS EXCLUSIVE MODE",
        f"WITH moved AS (DELETE FROM event_default WHERE {inside} RETURNING *) INSERT INTO {name} SELECT * FROM moved",  # noqa: S608  # as above
    ]
