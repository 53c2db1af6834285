"""The Postgres sink: one transaction that stores many requests' events, their identities and what was refused."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from app.domain.event import Event, Trust
from app.domain.ledger import LedgerKey, LedgerLine, Received, ledger_lines
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable, UnstorableError
from app.storage.identities import Identities

# Stands in for the client_time of events that came without one; the driver writes it as '-infinity'.
UNDATED = datetime(1, 1, 1, tzinfo=UTC)

# Stored in a smallint column; never renumber.
TRUST_CODES: dict[Trust, int] = {Trust.BROWSER: 1, Trust.SERVER: 2, Trust.SIGNED: 3, Trust.IMPORT: 4}

COLUMNS = (
    "storefront_id",
    "event_id",
    "client_time",
    "occurred_at",
    "received_at",
    "visitor_id",
    "customer_id",
    "account_id",
    "position",
    "seq",
    "trust",
    "event_name",
    "url",
    "referrer",
    "properties",
)
QUARANTINE_COLUMNS = (
    "storefront_id",
    "received_at",
    "format",
    "trust",
    "reason",
    "pointer",
    "detail",
    "raw",
    "sent_at",
)

# Purpose: the duplicate path. A private table for the batch, without indexes, gone at commit.
CREATE_INCOMING = f"""
    CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {", ".join(COLUMNS)} FROM event WITH NO DATA
"""  # noqa: S608  # column names from the tuple above
# Purpose: store what is new of the batch; in the order sent, so that the first of two equal events wins.
INSERT_NEW = f"""
    INSERT INTO event ({", ".join(COLUMNS)})
    SELECT {", ".join(COLUMNS)} FROM incoming ORDER BY position
    ON CONFLICT DO NOTHING
    RETURNING position
"""  # noqa: S608  # column names from the tuple above

# Purpose: what this commit did, for the ledger. Lines are only added, so that two commits never wait for each other.
INSERT_LEDGER = """
    INSERT INTO ledger
        (storefront_id, source, minute, received, stored, duplicate, rejected, bot, no_consent, limited)
    SELECT * FROM unnest($1::int[], $2::text[], $3::timestamptz[], $4::int[], $5::int[], $6::int[], $7::int[],
                         $8::int[], $9::int[], $10::int[])
"""

# Two commits can want the same rows in opposite order; Postgres ends one of them, and it is simply run again.
DEADLOCK_TRIES = 5

# Data that this schema can't hold, however often it is tried: text that UTF-8 can't express, times beyond the years.
UNSTORABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    OverflowError,
)
CONNECTION_FAILURES = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)

Row = tuple[Any, ...]


class PostgresSink:
    """Stores batches; fits `ingest.sink.EventSink` by shape. Safe to use from several tasks at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._identities = Identities()

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        """Store everything in one commit and say what became of each event, in order.

        When this returns, the events are on disk. When it raises SinkUnavailable or UnstorableError, none of them
        is stored, or (connection lost during the commit) all may be: repeating it is safe.
        """
        try:
            for _ in range(DEADLOCK_TRIES - 1):
                with contextlib.suppress(asyncpg.DeadlockDetectedError):
                    return await self._store_once(events, refused, received)
            return await self._store_once(events, refused, received)
        except UNSTORABLE as error:
            raise UnstorableError(_cause(error)) from error
        except asyncpg.QueryCanceledError as error:
            raise SinkUnavailable("timeout", _cause(error)) from error
        except CONNECTION_FAILURES as error:
            # The server we meet next may be another one, promoted before it had all of our ids.
            self._identities = Identities()
            raise SinkUnavailable("connection", _cause(error)) from error
        except asyncpg.PostgresError as error:
            raise SinkUnavailable("database", _cause(error)) from error

    async def _store_once(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        try:
            return await self._transaction(events, refused, received, _copy_all)
        except asyncpg.UniqueViolationError:
            return await self._transaction(events, refused, received, _insert_new)

    async def _transaction(
        self,
        events: Sequence[Event],
        refused: Sequence[RefusedEvent],
        received: Sequence[Received],
        write: Callable[[asyncpg.Connection, list[Row]], Awaitable[set[int]]],
    ) -> list[Outcome]:
        positions = _first_of_each(events)
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                found = await self._identities.resolve(connection, events)
                rows = [_row(position, events[position], found.ids[position]) for position in positions]
                stored = await write(connection, rows) if rows else set()
                if refused:
                    await connection.copy_records_to_table(
                        "quarantined_event", records=map(_quarantine_row, refused), columns=QUARANTINE_COLUMNS
                    )
                outcomes = [Outcome.STORED if i in stored else Outcome.DUPLICATE for i in range(len(events))]
                await _write_ledger(connection, ledger_lines(received, events, outcomes, refused))
            self._identities.remember(found)
        return outcomes


def _cause(error: Exception) -> str:
    """For the log: the kind of error only, because Postgres' messages quote the rows they are about."""
    return f"{type(error).__name__} {getattr(error, 'sqlstate', '')}".strip()


async def _copy_all(connection: asyncpg.Connection, rows: list[Row]) -> set[int]:
    """The usual path: COPY straight in. Raises UniqueViolationError when an event is known already."""
    await connection.copy_records_to_table("event", records=rows, columns=COLUMNS)
    return {row[8] for row in rows}


async def _insert_new(connection: asyncpg.Connection, rows: list[Row]) -> set[int]:
    """The duplicate path, about twice the work: leave out what is there."""
    await connection.execute(CREATE_INCOMING)
    await connection.copy_records_to_table("incoming", records=rows, columns=COLUMNS)
    return {record["position"] for record in await connection.fetch(INSERT_NEW)}


async def _write_ledger(connection: asyncpg.Connection, lines: Mapping[LedgerKey, LedgerLine]) -> None:
    rows = [
        (*key, line.received, line.stored, line.duplicate, line.rejected, line.bot, line.no_consent, line.limited)
        for key, line in lines.items()
    ]
    if rows:
        await connection.execute(INSERT_LEDGER, *(list(column) for column in zip(*rows, strict=True)))


def _first_of_each(events: Sequence[Event]) -> list[int]:
    """Positions of the events, leaving out repeats of an earlier one in the same batch."""
    first: dict[tuple[int, str, datetime | None], int] = {}
    for position, event in enumerate(events):
        first.setdefault(event.identity, position)
    return list(first.values())


def _row(position: int, event: Event, ids: tuple[int | None, int | None, int | None]) -> Row:
    return (
        event.storefront_id,
        event.event_id,
        event.client_time or UNDATED,
        event.occurred_at,
        event.received_at,
        *ids,
        position,
        event.seq,
        TRUST_CODES[event.trust],
        event.event_name,
        event.url,
        event.referrer,
        event.properties,
    )


def _quarantine_row(refused: RefusedEvent) -> Row:
    rejection = refused.rejection
    return (
        refused.storefront_id,
        refused.received_at,
        refused.format,
        TRUST_CODES[refused.trust],
        rejection.reason.value,
        rejection.pointer,
        rejection.detail,
        rejection.raw,
        refused.sent_at,
    )
