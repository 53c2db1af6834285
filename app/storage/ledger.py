"""The ledger in Postgres: what it says, adding up its lines, and whether the events are really there.

Every commit adds lines of its own (see events.py); here they are settled, that is added up into one line per
storefront, minute and source, once a minute is some time over. Lines that come later settle later.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.ledger import ERASED_SOURCE

SETTLE_AFTER = timedelta(minutes=3)
ADVISORY_LOCK = 0x6C65646765720000  # "ledger": one process settles at a time
SETTLE_MAX_MINUTES = 500  # in one transaction: after a long stop there may be many
MINUTE = timedelta(minutes=1)

# Purpose: add up the unsettled lines of some minutes, with the settled ones of the same storefront and source. One
# statement: whoever reads meanwhile sees either all of the old lines or the new one.
SETTLE = """
    WITH minutes AS (
        SELECT DISTINCT minute FROM ledger WHERE NOT settled AND minute < :before LIMIT :limit
    ),
    taken AS (
        DELETE FROM ledger WHERE minute IN (SELECT minute FROM minutes) AND (storefront_id, minute, source) IN (
            SELECT storefront_id, minute, source FROM ledger WHERE NOT settled
        ) RETURNING *
    )
    INSERT INTO ledger (storefront_id, minute, source, received, stored, duplicate, rejected, bot, no_consent, limited,
                        erased, settled, first_xid, last_xid)
    SELECT storefront_id, minute, source, sum(received), sum(stored), sum(duplicate), sum(rejected), sum(bot),
           sum(no_consent), sum(limited), sum(erased), true, min(first_xid), max(last_xid)
    FROM taken GROUP BY storefront_id, minute, source
"""
# Purpose: what one storefront's ledger says, per period of its time zone and source.
READ = """
    SELECT date_trunc(:unit, minute, :time_zone) AS start, source, sum(received)::bigint AS received,
           sum(stored)::bigint AS stored, sum(duplicate)::bigint AS duplicate, sum(rejected)::bigint AS rejected,
           sum(bot)::bigint AS bot, sum(no_consent)::bigint AS no_consent, sum(limited)::bigint AS limited,
           sum(erased)::bigint AS erased
    FROM ledger
    WHERE storefront_id = :storefront_id AND minute >= :start AND minute < :end
      AND source = coalesce(:source, source)
    GROUP BY 1, 2 ORDER BY 1, 2 LIMIT :limit
"""
# Purpose: events that were received and are nowhere, or are somewhere twice; apart by minute, so that one of each does
# not look like none.
IMBALANCE = """
    SELECT coalesce(sum(abs(difference)), 0)::bigint FROM (
        SELECT sum(received - stored - duplicate - rejected - bot - no_consent - limited) AS difference
        FROM ledger WHERE minute >= :since GROUP BY storefront_id, minute, source
    ) AS lines
"""
# Purpose: the minutes in which events were stored, in no particular order.
MINUTES = """
    SELECT minute, sum(stored + bot)::bigint AS count FROM ledger
    WHERE minute >= :start AND minute < :end GROUP BY minute ORDER BY random()
"""
# Purpose: storefronts whose ledger and events differ in one minute. The lines say which commits wrote them, and by
# those the events are found without a look through the whole table.
AUDIT = """
    WITH lines AS (SELECT * FROM ledger WHERE minute = :minute),
    claimed AS (SELECT storefront_id, sum(stored + bot - erased)::bigint AS count FROM lines GROUP BY storefront_id),
    commits AS (
        SELECT unnest(range_agg(int8range(first_xid::text::bigint, last_xid::text::bigint, '[]'))) AS part
        FROM lines WHERE source <> :erased_source
    ),
    found AS (
        SELECT storefront_id, count(*) AS count FROM commits, event
        WHERE xid >= lower(part)::text::xid8 AND xid < upper(part)::text::xid8
          AND received_at >= :minute AND received_at < :next_minute
        GROUP BY storefront_id
    )
    SELECT storefront_id, coalesce(claimed.count, 0) AS claimed_count, coalesce(found.count, 0) AS found_count
    FROM claimed FULL JOIN found USING (storefront_id)
    WHERE coalesce(claimed.count, 0) <> coalesce(found.count, 0) ORDER BY storefront_id
"""


class LedgerRow(NamedTuple):
    """One period of one source. erased: of the stored ones, deleted on purpose since."""

    start: datetime
    source: str
    received: int
    stored: int
    duplicate: int
    rejected: int
    bot: int
    no_consent: int
    limited: int
    erased: int


class Difference(NamedTuple):
    """A minute whose events are not those that the ledger claims."""

    storefront_id: int
    minute: datetime
    claimed_count: int
    found_count: int


class AuditResult(NamedTuple):
    """events_count: of the minutes looked at, by the ledger."""

    events_count: int
    differences: Sequence[Difference]

    @property
    def events_off(self) -> int:
        return sum(abs(d.claimed_count - d.found_count) for d in self.differences)


class LedgerQuery(NamedTuple):
    """unit: minute, hour or day, of the time zone. source: None for all. limit: of rows."""

    storefront_id: int
    start: datetime
    end: datetime
    unit: str
    time_zone: str
    source: str | None
    limit: int


async def read_ledger(engine: AsyncEngine, query: LedgerQuery) -> list[LedgerRow]:
    async with engine.connect() as connection:
        return [LedgerRow(*row) for row in await connection.execute(text(READ), query._asdict())]


async def settle(engine: AsyncEngine, now: datetime) -> None:
    """Add up the lines of minutes that are over. Safe with any number of processes; late lines are taken in."""
    parameters = {"before": now - SETTLE_AFTER, "limit": SETTLE_MAX_MINUTES}
    written = 1
    while written:
        async with engine.begin() as connection:
            lock = {"lock": ADVISORY_LOCK}
            if not (await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), lock)).scalar():
                return  # another process is at it
            written = (await connection.execute(text(SETTLE), parameters)).rowcount


async def imbalance(engine: AsyncEngine, since: datetime) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text(IMBALANCE), {"since": since})).scalar_one())


async def audit(engine: AsyncEngine, start: datetime, end: datetime, *, max_events: int | None = None) -> AuditResult:
    """Hold the ledger against the event table, minute by minute, in minutes chosen at random up to max_events."""
    async with engine.connect() as connection:
        minutes = (await connection.execute(text(MINUTES), {"start": start, "end": end})).all()
    events_count = 0
    differences: list[Difference] = []
    for minute, count in minutes:
        if max_events is not None and events_count and events_count + count > max_events:
            continue
        events_count += count
        differences += await _audit_minute(engine, minute)
    return AuditResult(events_count, sorted(differences))


async def _audit_minute(engine: AsyncEngine, minute: datetime) -> Iterable[Difference]:
    parameters = {"minute": minute, "next_minute": minute + MINUTE, "erased_source": ERASED_SOURCE}
    async with engine.connect() as connection:
        rows = await connection.execute(text(AUDIT), parameters)
        return [Difference(storefront_id, minute, *counts) for storefront_id, *counts in rows]
