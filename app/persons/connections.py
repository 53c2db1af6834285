"""Connections to Postgres for the routes about persons."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.errors import Unavailable
from app.storage.database import DatabaseUrl
from app.storage.persons import BRIEF_STATEMENT_SECONDS, work_connection

# Each export takes a connection for as long as it takes to read every event; all else takes one for a moment.
EXPORTS_AT_ONCE = 2
CONNECTIONS_MAX = 4


class Connections:
    """A few for all requests of these routes together."""

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url
        self._brief, self._exports = asyncio.Semaphore(CONNECTIONS_MAX), asyncio.Semaphore(EXPORTS_AT_ONCE)

    @asynccontextmanager
    async def brief(self) -> AsyncIterator[asyncpg.Connection]:
        """For a look or a change. Raises Unavailable."""
        async with self._brief:
            try:
                async with work_connection(self._url, statement_seconds=BRIEF_STATEMENT_SECONDS) as connection:
                    yield connection
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
                raise Unavailable("Postgres can't be reached; try again.", retry_after_seconds=5) from error

    @asynccontextmanager
    async def for_export(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._exports, work_connection(self._url) as connection:
            yield connection
