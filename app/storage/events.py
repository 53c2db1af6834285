"""The Postgres sink: one commit that stores many requests' events and what was refused, after who is new in them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime

import asyncpg

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable, UnstorableError
from app.storage.contexts import EventContexts
from app.storage.copy_rows import COLUMNS, HEADER, TRAILER, Row, copy_rows
from app.storage.identities import Found, Identities
from app.storage.ledger_sql import ledger_sql
from app.storage.quarantine import keep_refused
from app.storage.shapes import Shapes

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

# What a repetition mends at once. Two commits can want the same rows in opposite order: Postgres ends one of them. And
# an event on its way to event_default may find that its month has got a partition meanwhile.
PASSING = (asyncpg.DeadlockDetectedError, asyncpg.CheckViolationError)
PASSING_TRIES = 5

CHUNK_ROWS = 500

# Data that this schema can't hold, however often it is tried: text that UTF-8 can't express, times beyond the years.
UNSTORABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    UnicodeError,
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

Rows = list[Row]


class PostgresSink:
    """Stores batches; fits `ingest.sink.EventSink` by shape. Safe to use from several tasks at once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._identities = Identities()
        self._shapes, self._contexts = Shapes(), EventContexts()

    def forget_identities(self) -> None:
        """Some identity has been erased."""
        self._identities.forget()

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        """Store everything in one commit and say what became of each event, in order.

        When this returns, the events are on disk. When it raises SinkUnavailable or UnstorableError, none of them
        is stored, or (connection lost during the commit) all may be: repeating it is safe.
        """
        try:
            for _ in range(PASSING_TRIES - 1):
                with contextlib.suppress(*PASSING):
                    return await self._store_once(events, refused, received)
            return await self._store_once(events, refused, received)
        except UNSTORABLE as error:
            raise UnstorableError(_cause(error)) from error
        except asyncpg.QueryCanceledError as error:
            raise SinkUnavailable("timeout", _cause(error)) from error
        except CONNECTION_FAILURES as error:
            # The server we meet next may be another one, promoted before it had all of our ids.
            self._identities, self._shapes, self._contexts = Identities(), Shapes(), EventContexts()
            reason = "timeout" if isinstance(error, TimeoutError) else "connection"
            raise SinkUnavailable(reason, _cause(error)) from error
        except asyncpg.PostgresError as error:
            raise SinkUnavailable("database", _cause(error)) from error

    async def _store_once(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received]
    ) -> list[Outcome]:
        try:
            return await self._store_new(events, refused, received)
        except asyncpg.UniqueViolationError:
            return await self._transaction(events, refused, received, _insert_new)

    async def _store_new(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received]
    ) -> list[Outcome]:
        """The usual path. Raises UniqueViolationError when some event is known already.

        With nothing refused, one message has the events and the ledger, and Postgres makes a transaction of it by
        itself: two round trips instead of five, which small commits feel.
        """
        if refused or not events:
            return await self._transaction(events, refused, received, _copy_all)
        positions = _first_of_each(events)
        outcomes = _outcomes(len(events), positions)
        async with self._pool.acquire() as connection:
            rows, found = await self._rows(connection, events, positions)
            await _copy(connection, "event", rows, then=ledger_sql(received, events, outcomes))
        self._identities.remember(found)
        return outcomes

    async def _transaction(
        self,
        events: Sequence[Event],
        refused: Sequence[RefusedEvent],
        received: Sequence[Received],
        write: Callable[[asyncpg.Connection, Rows], Awaitable[Collection[int]]],
    ) -> list[Outcome]:
        async with self._pool.acquire() as connection:
            rows, found = await self._rows(connection, events, _first_of_each(events))
            async with connection.transaction():
                stored = await write(connection, rows) if rows else ()
                if refused:
                    await keep_refused(connection, refused)
                outcomes = _outcomes(len(events), stored)
                await connection.execute(ledger_sql(received, events, outcomes, refused))
        self._identities.remember(found)
        return outcomes

    async def _rows(
        self, connection: asyncpg.Connection, events: Sequence[Event], positions: Sequence[int]
    ) -> tuple[Rows, Found]:
        """What is new in them to Postgres is committed at once, so outside a transaction."""
        found = await self._identities.resolve(connection, events)
        properties = await self._shapes.properties(connection, events)
        contexts = await self._contexts.ids(connection, events)
        return [(n, events[n], found.ids[n], properties[n], contexts[n]) for n in positions], found


def _cause(error: Exception) -> str:
    """For the log: the kind of error only, because Postgres' messages quote the rows they are about."""
    return f"{type(error).__name__} {getattr(error, 'sqlstate', '')}".strip()


async def _copy_all(connection: asyncpg.Connection, rows: Rows) -> Collection[int]:
    """The usual path: COPY straight in. Raises UniqueViolationError when an event is known already."""
    await _copy(connection, "event", rows)
    return [row[0] for row in rows]


async def _insert_new(connection: asyncpg.Connection, rows: Rows) -> Collection[int]:
    """The duplicate path, about twice the work: leave out what is there."""
    await connection.execute(CREATE_INCOMING)
    await _copy(connection, "incoming", rows)
    return {record["position"] for record in await connection.fetch(INSERT_NEW)}


async def _copy(connection: asyncpg.Connection, table: str, rows: Rows, *, then: str | None = None) -> None:
    """COPY rows into a table. then: a statement that travels in the same message, after the rows.

    The driver has no word for that, but puts its `where` at the end of the message as it is.
    """
    await connection.copy_to_table(
        table,
        source=_in_chunks(rows),
        columns=COLUMNS,
        format="binary",
        where=then and f"true; {then}",
    )


async def _in_chunks(rows: Rows) -> AsyncIterator[bytes]:
    """Encoding takes 3 µs a row; other requests get their turn in between."""
    yield HEADER
    for start in range(0, len(rows), CHUNK_ROWS):
        yield copy_rows(rows[start : start + CHUNK_ROWS])
        await asyncio.sleep(0)
    yield TRAILER


def _outcomes(count: int, stored: Collection[int]) -> list[Outcome]:
    if len(stored) == count:
        return [Outcome.STORED] * count
    kept = set(stored)  # a look into a list would take as long as it is
    return [Outcome.STORED if position in kept else Outcome.DUPLICATE for position in range(count)]


def _first_of_each(events: Sequence[Event]) -> Sequence[int]:
    """Positions of the events, leaving out repeats of an earlier one in the same batch."""
    if len({event.event_id for event in events}) == len(events):
        return range(len(events))
    first: dict[tuple[int, str, datetime | None], int] = {}
    for position, event in enumerate(events):
        first.setdefault(event.identity, position)
    return list(first.values())
