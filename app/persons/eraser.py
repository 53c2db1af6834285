"""Carries out erasures in the background, stage by stage, whichever process was asked and whatever stopped it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.event import Event
from app.domain.mention import mentions
from app.domain.outcome import RefusedEvent
from app.metrics import Metrics
from app.storage.database import DatabaseUrl
from app.storage.erasures import (
    Erasure,
    Stage,
    add_count,
    claim,
    delete_events,
    delete_quarantined,
    find_times,
    finish,
    forget_ids,
    mark_erased,
    open_erasures,
    open_stages,
    seconds_since,
    vacuum,
)
from app.storage.persons import Person, work_connection

# Every process looks this often for erasures, wherever they were asked for.
WATCH_SECONDS = 2.0
# And forgets the identities it keeps in memory when it couldn't look for this long.
WATCH_TIMEOUT_SECONDS = 2.0
# So no process uses an identity from its memory that was taken away longer ago than this.
MEMORY_SECONDS = WATCH_SECONDS + WATCH_TIMEOUT_SECONDS + 1


class Spools(Protocol):
    async def erase(
        self, matches: Callable[[Event], bool], matches_refused: Callable[[RefusedEvent], bool] = ...
    ) -> int:
        """Take events out for good, and return how many there were."""
        ...


class Eraser:
    """forget_identities: drops what ingestion keeps in memory. commit_seconds: how long a commit may be under way."""

    def __init__(
        self,
        engine: AsyncEngine,
        url: DatabaseUrl,
        spools: Spools,
        forget_identities: Callable[[], None],
        *,
        commit_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._url = url
        self._spools = spools
        self._forget_identities = forget_identities
        # Twice, as a commit that we have given up may still come to its end in Postgres.
        self._settle_seconds = MEMORY_SECONDS + 2 * commit_seconds
        self._metrics = metrics
        self._seen: set[Stage] = set()  # in memory
        self._cleared: set[Stage] = set()  # in the spool

    async def watch(self) -> None:
        """Follow, in this process, what any process does: its memory must not bring anybody back."""
        try:
            async with asyncio.timeout(WATCH_TIMEOUT_SECONDS):
                stages = await open_stages(self._engine)
        except BaseException:
            self._forget_identities()
            raise
        if stages - self._seen:
            self._forget_identities()
        self._seen = stages
        self._metrics.erasures_open.set(len(stages))

    async def clear_spool(self) -> None:
        """Nor must its spools, at any stage: a batch under way may get into it late.

        Not a part of `watch`, which goes on looking while a big spool is rewritten.
        """
        stages = self._seen
        if stages - self._cleared:
            async with work_connection(self._url) as connection:
                for erasure in await open_erasures(connection):
                    await self._erase_spool(connection, erasure)
        self._cleared = stages

    async def work(self) -> None:
        """Take every erasure as far as it can go by now."""
        if not await open_stages(self._engine):
            return
        async with work_connection(self._url) as connection:
            for known in await open_erasures(connection):
                erasure = await claim(connection, known)
                if erasure is not None:
                    await self._advance(connection, erasure)

    async def _advance(self, connection: asyncpg.Connection, erasure: Erasure) -> None:
        if erasure.erased_at is None:
            erasure = await find_times(connection, erasure)
            touched = await self._delete(connection, erasure)
            await mark_erased(connection, erasure.erasure_id)
            await vacuum(connection, touched)
        elif erasure.forgotten_at is None:
            if await seconds_since(connection, erasure.requested_at) >= self._settle_seconds:
                await self._erase_spool(connection, erasure)
                await forget_ids(connection, erasure)
                self._forget_identities()
        elif await seconds_since(connection, erasure.forgotten_at) >= self._settle_seconds:
            await vacuum(connection, await self._delete(connection, erasure))
            await finish(connection, erasure)

    async def _delete(self, connection: asyncpg.Connection, erasure: Erasure) -> list[str]:
        """Returns the tables in which there was something."""
        quarantined_count = await delete_quarantined(connection, erasure)
        deleted = await delete_events(connection, erasure)
        self._metrics.removed_events.labels("erasure").inc(deleted.total())
        return [*deleted, *(["quarantined_event"] if quarantined_count else [])]

    async def _erase_spool(self, connection: asyncpg.Connection, erasure: Erasure) -> None:
        count = await self._spools.erase(*_theirs(erasure.person))
        if count:
            await add_count(connection, erasure.erasure_id, "spooled", count)


def _theirs(person: Person) -> tuple[Callable[[Event], bool], Callable[[RefusedEvent], bool]]:
    """Which spooled events are the person's."""
    mentioned = mentions(person.keys)

    def is_event(event: Event) -> bool:
        return event.storefront_id == person.storefront_id and (
            event.visitor_key in person.visitor_keys or event.customer_key in person.customer_keys
        )

    def is_refused(event: RefusedEvent) -> bool:
        return event.storefront_id == person.storefront_id and mentioned(event.rejection.raw)

    return is_event, is_refused
