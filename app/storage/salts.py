"""The random salt of each UTC day, one for all processes. Without it the keys made from it lead back to nobody."""

import os
from datetime import date, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.storage.tables import cookieless_salt

SALT_BYTES = 32
# A day's salt is there so long before it begins, and so long after it has ended: for clocks that are a little off.
MARGIN = timedelta(minutes=10)
REFRESH_SECONDS = 60.0


class DailySalts:
    """Fits `ingest.cookieless.Salts` by shape: never waits, since salts are agreed on beforehand."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._salts: dict[date, bytes] = {}

    def of(self, day: date) -> bytes:
        """One of our own while Postgres has none; it becomes everybody's unless another process was first."""
        return self._salts.setdefault(day, os.urandom(SALT_BYTES))

    async def refresh(self) -> None:
        """Forget the salts of days gone by, and agree on those of today and soon."""
        now = self._clock.now()
        days = sorted({(now - MARGIN).date(), now.date(), (now + MARGIN).date()})
        self._salts = {day: self.of(day) for day in days}
        table = cookieless_salt
        ours = [{"day": day, "salt": salt} for day, salt in self._salts.items()]
        async with self._engine.begin() as connection:
            await connection.execute(insert(table).on_conflict_do_nothing(), ours)
            await connection.execute(delete(table).where(table.c.day < days[0]))
            agreed = (await connection.execute(select(table).where(table.c.day.in_(days)))).all()
        self._salts.update({row.day: bytes(row.salt) for row in agreed})
