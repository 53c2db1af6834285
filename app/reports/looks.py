"""Looks at Postgres before answers, shared by all who ask while one is under way."""

import asyncio
import logging

from app.errors import FootfallError, Unavailable
from app.mirror.follow import Mirror, Progress

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2


class Looks:
    """Each caller waits for a look that began after it asked; so at most two are wanted at a time, one after the other,
    and one thread is enough for any number of callers."""

    def __init__(self, mirror: Mirror, *, timeout_seconds: float) -> None:
        self._mirror = mirror
        self._timeout_seconds = timeout_seconds
        self._running: asyncio.Task[Progress] | None = None
        self._next: asyncio.Task[Progress] | None = None

    async def catch_up(self) -> Progress:
        """The mirror then holds everything stored so far. Raises 503 as FootfallError."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_after(self._running))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.shield(self._next)
        except FootfallError:
            raise
        except TimeoutError as error:
            detail = (
                f"The database did not give its newest events within {self._timeout_seconds:g} seconds: it does not "
                "answer, or the mirror is being built; try again."
            )
            raise Unavailable(detail, retry_after_seconds=RETRY_AFTER_SECONDS) from error
        except Exception as error:  # whatever the drivers raise when Postgres is away
            logger.warning("mirror can't catch up", extra={"action": "mirror_behind", "error": str(error)})
            detail = "The database can't be reached, so the report would be stale; try again."
            raise Unavailable(detail, retry_after_seconds=RETRY_AFTER_SECONDS) from error

    async def _look_after(self, before: asyncio.Task[Progress] | None) -> Progress:
        if before is not None:
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await asyncio.to_thread(self._mirror.catch_up)
