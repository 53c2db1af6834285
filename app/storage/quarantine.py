"""Refused events: kept, shown in groups of one cause, and read one by one for a replay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Trust
from app.domain.outcome import RefusedEvent
from app.storage.copy_rows import TRUST_CODES
from app.storage.tables import instance, quarantined_event

EXAMPLE_MAX_BYTES = 1_000  # shown of an event: enough to see what is wrong with it
# Of events read at once. One unreadable body may be megabytes long.
PAGE_MAX_EVENTS = 500
PAGE_MAX_BYTES = 8 * 1024 * 1024

# Kept by one statement: as a body may be megabytes long, and Postgres takes 1 GiB of one kind.
KEEP_ROWS = 100
# Purpose: keep refused events. One that is there already was stored by a commit whose answer was lost.
KEEP = """
    INSERT INTO quarantined_event
        (refusal_id, storefront_id, received_at, format, trust, reason, pointer, detail, raw, sent_at, is_bot)
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::text[], $5::smallint[], $6::text[],
                         $7::text[], $8::text[], $9::bytea[], $10::timestamptz[], $11::boolean[])
    ON CONFLICT DO NOTHING
"""

_TRUST = {code: trust for trust, code in TRUST_CODES.items()}
_column = quarantined_event.c


async def keep_refused(connection: asyncpg.Connection, refused: Sequence[RefusedEvent]) -> None:
    """In a transaction of the caller's."""
    for start in range(0, len(refused), KEEP_ROWS):
        some = refused[start : start + KEEP_ROWS]
        await connection.execute(KEEP, *map(list, zip(*map(_row, some), strict=True)))


def _row(refused: RefusedEvent) -> tuple[Any, ...]:
    rejection = refused.rejection
    return (
        refused.refusal_id,
        refused.storefront_id,
        refused.received_at,
        refused.format,
        TRUST_CODES[refused.trust],
        rejection.reason.value,
        rejection.pointer,
        rejection.detail,
        rejection.raw,
        refused.sent_at,
        refused.is_bot or None,
    )


@dataclass(slots=True, frozen=True)
class Selection:
    """Which refused events: all of a storefront, or those of one reason, pointer, and range [start, end) of arrival."""

    storefront_id: int
    reason: str | None = None
    pointer: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class QuarantineGroup(NamedTuple):
    """Refused events of one cause.

    example: the first EXAMPLE_MAX_BYTES of the newest one, which may be anything at all. detail: what was said of it.
    """

    reason: str
    pointer: str
    format: str
    event_count: int
    replayed_count: int
    first_received_at: datetime
    last_received_at: datetime
    detail: str
    example: bytes
    example_bytes: int


async def quarantine_groups(engine: AsyncEngine, selection: Selection, limit: int) -> list[QuarantineGroup]:
    """The largest first, at most `limit`."""
    cause = (_column.reason, _column.pointer, _column.format)
    groups = (
        select(
            *cause,
            func.count().label("event_count"),
            func.count(_column.replayed_at).label("replayed_count"),
            func.min(_column.received_at).label("first_received_at"),
            func.max(_column.received_at).label("last_received_at"),
            func.max(_column.quarantine_id).label("newest_id"),
        )
        .where(_matches(selection))
        .group_by(*cause)
        .order_by(func.count().desc(), *cause)
        .limit(limit)
        .subquery()
    )
    statement = (
        select(
            *(column for column in groups.c if column.name != "newest_id"),
            _column.detail,
            func.substring(_column.raw, 1, EXAMPLE_MAX_BYTES),
            func.length(_column.raw),
        )
        .join(quarantined_event, _column.quarantine_id == groups.c.newest_id)
        .order_by(groups.c.event_count.desc(), groups.c.reason, groups.c.pointer, groups.c.format)
    )
    async with engine.connect() as connection:
        return [QuarantineGroup._make(row) for row in await connection.execute(statement)]


class QuarantinedEvent(NamedTuple):
    """A refused event, whole. raw: its bytes as received; for a body that could not be read, all of that."""

    quarantine_id: int
    storefront_id: int
    received_at: datetime
    sent_at: datetime | None
    format: str
    trust: Trust
    reason: str
    pointer: str
    detail: str
    raw: bytes
    is_bot: bool


async def count_waiting(engine: AsyncEngine, selection: Selection) -> int:
    """How many have not been replayed."""
    statement = select(func.count()).where(_matches(selection), _column.replayed_at.is_(None))
    async with engine.connect() as connection:
        return int((await connection.execute(statement)).scalar_one())


async def read_waiting(engine: AsyncEngine, selection: Selection, after_id: int) -> list[QuarantinedEvent]:
    """The next ones that have not been replayed, in the order in which they were refused; empty at the end."""
    names = QuarantinedEvent._fields
    page = (
        select(*(_column[name] for name in names))
        .where(_matches(selection), _column.replayed_at.is_(None), _column.quarantine_id > after_id)
        .order_by(_column.quarantine_id)
        .limit(PAGE_MAX_EVENTS)
        .subquery()
    )
    size = func.length(page.c.raw)
    so_far = select(page, (func.sum(size).over(order_by=page.c.quarantine_id) - size).label("bytes_before")).subquery()
    statement = (
        select(*(so_far.c[name] for name in names))
        .where(so_far.c.bytes_before < PAGE_MAX_BYTES)
        .order_by(so_far.c.quarantine_id)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(statement)
        return [QuarantinedEvent(*row)._replace(trust=_TRUST[row.trust], is_bot=bool(row.is_bot)) for row in rows]


async def mark_replayed(engine: AsyncEngine, quarantine_ids: Sequence[int]) -> None:
    """These are stored now. The first mark stays."""
    statement = (
        quarantined_event.update()
        .where(_column.quarantine_id.in_(quarantine_ids), _column.replayed_at.is_(None))
        .values(replayed_at=func.now())
    )
    async with engine.begin() as connection:
        await connection.execute(statement)


async def read_instance_id(engine: AsyncEngine) -> str:
    """What names this database among all."""
    async with engine.connect() as connection:
        return str((await connection.execute(select(instance.c.instance_id))).scalar_one())


def _matches(selection: Selection) -> ColumnElement[bool]:
    conditions = [_column.storefront_id == selection.storefront_id]
    if selection.reason is not None:
        conditions.append(_column.reason == selection.reason)
    if selection.pointer is not None:
        conditions.append(_column.pointer == selection.pointer)
    if selection.start is not None:
        conditions.append(_column.received_at >= selection.start)
    if selection.end is not None:
        conditions.append(_column.received_at < selection.end)
    return and_(*conditions)
