"""Monthly partitions of the event table, made before they are needed."""

import logging
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

logger = logging.getLogger(__name__)

# A clock may be a day ahead of ours and a service may run unattended for a while.
MONTHS_AHEAD = 3


def month_start(year: int, month: int) -> datetime:
    """First instant of a month; months beyond 12 run on into the next years."""
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


async def ensure_months(engine: AsyncEngine, now: datetime) -> None:
    """Create the partitions of last month to MONTHS_AHEAD months from now, if they are missing.

    A month whose events already lie in event_default can't get a partition of its own: that is logged, and harmless.
    """
    for offset in range(-1, MONTHS_AHEAD + 1):
        start, end = (month_start(now.year, now.month + offset + extra) for extra in (0, 1))
        name = f"event_{start:%Y_%m}"
        # DDL takes no parameters; name and bounds are made from integers just above.
        statement = f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF event FOR VALUES FROM ('{start}') TO ('{end}')"
        try:
            async with engine.begin() as connection:
                if (await connection.execute(text("SELECT to_regclass(:name)"), {"name": name})).scalar() is None:
                    await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
                    await connection.execute(text(statement))
        except DBAPIError as error:
            logger.warning(
                "partition not created",
                extra={"action": "partition_failed", "partition": name, "error": str(error.orig)},
            )
