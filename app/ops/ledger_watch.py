"""Keeps the ledger in order, and says when it does not add up or does not fit the events."""

import logging
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from app.clock import Clock
from app.metrics import Metrics
from app.storage.ledger import audit, imbalance, settle

logger = logging.getLogger(__name__)

WATCH_INTERVAL_SECONDS = 60.0
AUDIT_INTERVAL_SECONDS = 3600.0
WATCHED = timedelta(hours=6)
HOUR = timedelta(hours=1)
# Looked at per hour, in minutes chosen at random: a second's work for Postgres.
AUDIT_MAX_EVENTS = 1_000_000


class LedgerWatch:
    """engine: the owner's. reading: to look with, apart from it."""

    def __init__(self, engine: AsyncEngine, reading: AsyncEngine, metrics: Metrics, clock: Clock) -> None:
        self._engine = engine
        self._reading = reading
        self._metrics = metrics
        self._clock = clock

    async def settle_and_compare(self) -> None:
        """Add up what is over, and count what of the last hours is lost or counted twice."""
        now = self._clock.now()
        await settle(self._engine, now)
        self._metrics.ledger_imbalance.set(await imbalance(self._reading, now - WATCHED))

    async def audit_last_hour(self) -> None:
        """Hold the last full hour against the events themselves."""
        end = self._clock.now().replace(minute=0, second=0, microsecond=0)
        result = await audit(self._reading, end - HOUR, end, max_events=AUDIT_MAX_EVENTS)
        self._metrics.ledger_audit_difference.set(result.events_off)
        if result.differences:
            facts = {"action": "ledger_audit", "events_off": result.events_off, "minutes": len(result.differences)}
            logger.error("events differ from the ledger", extra=facts)
