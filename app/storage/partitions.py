"""Monthly partitions of the event table, made before they are needed."""

import logging
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

logger = logging.getLogger(__name__)

# A clock may be a day ahead of ours and a service may run unattended for a while.
MONTHS_AHEAD = 3
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # no client_time lies before it


def month_start(year: int, month: int) -> datetime:
    """First instant of a month; months beyond 12 run on into the next years."""
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


async def ensure_months(engine: AsyncEngine, now: datetime) -> None:
    """Create the partitions of last month to MONTHS_AHEAD months from now, if they are missing.

    The first time, one more for all that came before, so that event_default stays next to empty: Postgres looks
    through it whenever a partition is added. A month whose events already lie there can't get a partition of its
    own: that is logged, and harmless.
    """
    await _create(engine, "event_history", EARLIEST, month_start(now.year, now.month - 1))
    for offset in range(-1, MONTHS_AHEAD + 1):
        start, end = (month_start(now.year, now.month + offset + extra) for extra in (0, 1))
        await _create(engine, f"event_{start:%Y_%m}", start, end)


async def _create(engine: AsyncEngine, name: str, start: datetime, end: datetime) -> None:
    # DDL takes no parameters; the bounds are datetimes and the names our own.
    statement = f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF event FOR VALUES FROM ('{start}') TO ('{end}')"
    try:
        async with engine.begin() as connection:
            if (await connection.execute(text("SELECT to_regclass(:name)"), {"name": name})).scalar() is None:
                await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
                await connection.execute(text(statement))
    except DBAPIError as error:
        facts = {"action": "partition_failed", "partition": name, "error": str(error.orig)}
        logger.warning("partition not created", extra=facts)
