"""A sink whose connections can be cut: what waits on a hanging Postgres would wait for ever."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import asyncpg

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, SinkUnavailable

CLOSE_SECONDS = 5.0


class Sink(Protocol):
    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]: ...

    def forget_identities(self) -> None: ...


class RenewableSink:
    """Fits `ingest.sink.EventSink` by shape. Makes a pool, and a sink on it, whenever it has none."""

    def __init__(self, open_pool: Callable[[], asyncpg.Pool], sink_on: Callable[[asyncpg.Pool], Sink]) -> None:
        """open_pool: makes a pool that connects when it is first used."""
        self._open_pool = open_pool
        self._sink_on = sink_on
        self._pool: asyncpg.Pool | None = None
        self._sink: Sink | None = None

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        if self._sink is None:
            self._pool = self._open_pool()
            self._sink = self._sink_on(self._pool)
            await self._pool  # opens it, without connecting
        try:
            return await self._sink.store(events, refused, received)
        except asyncpg.InternalClientError as error:  # what the driver says when a server dies in the middle of a talk
            await self.cut()
            raise SinkUnavailable("connection", type(error).__name__) from error

    def forget_identities(self) -> None:
        """Some identity has been erased."""
        if self._sink is not None:
            self._sink.forget_identities()

    async def cut(self) -> None:
        """Calls under way fail at once, and the next one connects anew. A commit that was cut may have happened."""
        pool, self._pool, self._sink = self._pool, None, None
        if pool is not None:
            pool.terminate()

    async def close(self) -> None:
        """In good order, if that goes in time."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            await self.cut()
