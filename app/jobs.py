"""Background work: repeated, or running until the end; what fails is logged and tried again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from app.errors import FootfallError

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


class Jobs:
    """A job that ends by itself has died: `healthy` is False from then on."""

    def __init__(self) -> None:
        self._lasting: list[asyncio.Task[None]] = []
        self._passing: list[asyncio.Task[None]] = []

    @property
    def healthy(self) -> bool:
        return not any(job.done() for job in self._lasting)

    def repeat(self, name: str, work: Work, interval_seconds: float) -> None:
        self.run(name, _repeat(name, work, interval_seconds))

    def run(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Work that goes on until it is stopped."""
        self._lasting.append(asyncio.create_task(coroutine, name=name))

    def run_once(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Work that may end."""
        self._passing.append(asyncio.create_task(coroutine, name=name))

    async def stop(self) -> None:
        jobs = [*self._lasting, *self._passing]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


async def attempt(name: str, work: Work, *, was_well: bool = True) -> bool:
    """Whether it went well. Logs the first failure and the recovery; /readyz and metrics show what lies between."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001  # the next round may succeed
        if was_well:
            # Only our own errors in words: a driver's quote statements and rows.
            cause = error.detail if isinstance(error, FootfallError) else type(error).__name__
            logger.warning("job failed", extra={"action": "job_failed", "job": name, "error": cause})
        return False
    if not was_well:
        logger.info("job works again", extra={"action": "job_recovered", "job": name})
    return True


async def until_done(name: str, work: Work, pause_seconds: float) -> None:
    """Work that is to succeed once."""
    while not await attempt(name, work, was_well=False):  # noqa: ASYNC110  # nobody tells when it would
        await asyncio.sleep(pause_seconds)


async def within(seconds: float, work: Awaitable[None]) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        await work


async def _repeat(name: str, work: Work, interval_seconds: float) -> None:
    well = True
    while True:
        well = await attempt(name, work, was_well=well)
        await asyncio.sleep(interval_seconds)
