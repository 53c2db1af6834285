"""What every role of the service works with, and how it is put away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from app.background import background_threads
from app.clock import Clock
from app.config import Settings, Worker
from app.jobs import Jobs, within
from app.metrics import Metrics
from app.storage.database import DatabaseUrl
from app.storage.key_cache import CachedKeys

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 3.0


@dataclass(frozen=True)
class Parts:
    """engine: the owner's. reading: for looks only, in a pool of its own. worker: None when there is but one."""

    settings: Settings
    url: DatabaseUrl
    clock: Clock
    metrics: Metrics
    engine: AsyncEngine
    reading: AsyncEngine
    keys: CachedKeys
    jobs: Jobs
    worker: Worker | None


async def close(work: Callable[[], Awaitable[None]]) -> None:
    """A server that hangs must not hold up the stop. What waits for it in a thread is left behind with its thread."""
    try:
        await within(CLOSE_SECONDS, work())
    except TimeoutError:
        logger.warning("left open at the stop", extra={"action": "left_open"})
        asyncio.get_running_loop().set_default_executor(background_threads(1))  # the end of a loop waits for its own
