"""Senders that keep a list of what was acknowledged, and the check that holds Postgres to it."""

import asyncio
import contextlib
import itertools
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import asyncpg
import httpx

from tests.faults.system import PATIENCE_SECONDS, System

RETRY_SECONDS = 0.05
GIVE_UP_RATIO = 0.02  # of failed posts are never repeated: a page that was closed
ACKNOWLEDGED = frozenset({200, 202})
REPEATABLE = frozenset({429, 503, 507})

JsonEvent = dict[str, Any]

# Purpose: all stored events as their senders know them.
STORED = """
    SELECT event.event_id::text, event.event_name, event.client_time <> '-infinity' AS dated, visitor.visitor_key,
        customer.customer_key, event.properties::text, property_shape.names
    FROM event
    LEFT JOIN visitor ON visitor.visitor_id = event.visitor_id
    LEFT JOIN customer ON customer.customer_id = event.customer_id
    LEFT JOIN property_shape ON property_shape.shape_id = event.shape_id
"""


class Known(NamedTuple):
    """What must not change between sending and storing."""

    event_name: str
    dated: bool
    visitor: str | None
    customer: str | None
    properties: JsonEvent

    @classmethod
    def from_sent(cls, event: JsonEvent) -> "Known":
        dated = "client_time" in event
        return cls(event["event"], dated, event["visitor_id"], event.get("customer_id"), event["properties"])

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> "Known":
        properties = json.loads(row["properties"])
        if row["names"] is not None:
            properties = dict(zip(row["names"], properties, strict=True))
        return cls(row["event_name"], row["dated"], row["visitor_key"], row["customer_key"], properties)


def new_event(number: int) -> JsonEvent:
    """Every fifth comes without a time, every third names a customer."""
    event: JsonEvent = {
        "event": ("product_viewed", "product_added", "order_completed")[number % 3],
        "event_id": str(uuid.uuid4()),
        "visitor_id": f"visitor {number % 97}",
        "properties": {"number": number, "product_id": f"hat-{number % 13}", "note": "größer"},
    }
    if number % 5:
        event["client_time"] = datetime.now(UTC).isoformat()
    if number % 3 == 0:
        event["customer_id"] = f"customer {number % 97}"
    return event


class Load:
    """Senders that post while the block runs, repeat what was not acknowledged, and finish what they began."""

    def __init__(
        self,
        system: System,
        *,
        senders: int = 4,
        batch_max_events: int = 40,
        pause_seconds: float = 0.0,
        url: str | None = None,
        after: "Load | None" = None,
    ) -> None:
        """pause_seconds: between two posts of a sender; url: where to send, if not straight to the service;
        after: an earlier load, whose list goes on."""
        self.sent: dict[str, JsonEvent] = dict(after.sent) if after else {}
        self.acknowledged: set[str] = set(after.acknowledged) if after else set()
        self.statuses: Counter[int] = Counter()
        self.broken_count = 0  # requests that got no reply
        self.reply_seconds: list[float] = []
        self._system = system
        self._numbers = itertools.count()
        self._batch_max_events = batch_max_events
        self._sender_count = senders
        self._pause_seconds = pause_seconds
        self._client = httpx.AsyncClient(
            base_url=url or system.url,
            headers={"Authorization": f"Bearer {system.keys.server}"},
            timeout=PATIENCE_SECONDS,
            trust_env=False,
        )
        self._ending = False
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._send()) for _ in range(self._sender_count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and not self._ending:
                self._ending = True
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await asyncio.gather(*self._tasks)
        finally:
            await self.hang_up()

    async def hang_up(self) -> None:
        """End at once; what is under way stays unacknowledged."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def acknowledges(self, count: int) -> None:
        """Wait until that many more events are acknowledged."""
        target = len(self.acknowledged) + count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.acknowledged) < target:
                self._progress.clear()
                await self._progress.wait()

    async def _send(self) -> None:
        while not self._ending:
            batch = [new_event(next(self._numbers)) for _ in range(random.randint(1, self._batch_max_events))]
            self.sent |= {event["event_id"]: event for event in batch}
            await self._deliver(batch)
            await asyncio.sleep(self._pause_seconds)

    async def _deliver(self, batch: Sequence[JsonEvent]) -> None:
        while not await self._post(batch):
            if random.random() < GIVE_UP_RATIO:
                return
            await asyncio.sleep(RETRY_SECONDS)
        self.acknowledged |= {event["event_id"] for event in batch}
        self._progress.set()

    async def _post(self, batch: Sequence[JsonEvent]) -> bool:
        """Whether the batch is acknowledged."""
        began = time.monotonic()
        try:
            reply = await self._client.post("/v1/events", json=batch)
        except httpx.TransportError:
            self.broken_count += 1
            return False
        self.reply_seconds.append(time.monotonic() - began)
        self.statuses[reply.status_code] += 1
        return reply.status_code in ACKNOWLEDGED

    def goes_on_with(self, system: System) -> None:
        """Another service answers for what this one's had acknowledged."""
        self._system = system

    async def lost(self) -> set[str]:
        """Ids that were acknowledged and are not stored by now."""
        return self.acknowledged - {row["event_id"] for row in await self._system.rows(STORED)}

    async def check(self) -> None:
        """Each acknowledged event is stored once, each other at most once, as it was sent; and every reply was one
        that the README promises."""
        assert self.acknowledged, "nothing was acknowledged: the fault hit before the load began"
        await self._wait_for_spooled()
        rows = await self._system.rows(STORED)
        stored = {row["event_id"]: Known.from_row(row) for row in rows}
        times = Counter(row["event_id"] for row in rows)
        assert sorted(self.acknowledged - stored.keys()) == []
        assert [event_id for event_id, count in times.items() if count > 1] == []
        assert sorted(stored.keys() - self.sent.keys()) == []
        altered = [event_id for event_id, known in stored.items() if known != Known.from_sent(self.sent[event_id])]
        assert altered == []
        assert self.statuses.keys() <= ACKNOWLEDGED | REPEATABLE

    async def _wait_for_spooled(self) -> None:
        """What was answered 202 is stored a little later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS if self.statuses[202] else 0):
                while await self.lost():  # noqa: ASYNC110  # only Postgres knows
                    await asyncio.sleep(RETRY_SECONDS)
