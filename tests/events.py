"""Events as senders write them: sensible defaults, so that a test names only what matters."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from app.domain.event import Event, Trust

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # where FixedClock stands
NOW_TEXT = "2026-03-02T12:00:00Z"


def sent(event: str = "page_viewed", **fields: object) -> dict[str, object]:
    """An event for the native endpoint; with an id and a time unless they are given as None."""
    defaults = {"event_id": str(uuid.uuid4()), "visitor_id": "ana", "client_time": NOW_TEXT}
    return {"event": event} | {name: value for name, value in (defaults | fields).items() if value is not None}


def many(number: int, event: str = "page_viewed", **fields: object) -> list[dict[str, object]]:
    return [sent(event, **fields) for _ in range(number)]


_numbers = count()


def stored_event(
    event_name: str = "page_viewed",
    *,
    storefront_id: int = 1,
    event_id: str | None = None,
    visitor: str | None = "ana",
    customer: str | None = None,
    account: str | None = None,
    client_time: datetime | None = NOW,
    occurred_at: datetime = NOW,
    properties: Mapping[str, Any] | None = None,
) -> Event:
    """An event as storage gets it; with an id of its own unless one is given."""
    return Event(
        storefront_id=storefront_id,
        event_id=event_id or str(uuid.UUID(int=next(_numbers))),
        event_name=event_name,
        visitor_key=visitor,
        customer_key=customer,
        account_key=account,
        client_time=client_time,
        occurred_at=occurred_at,
        received_at=NOW,
        seq=0,
        trust=Trust.BROWSER,
        url=None,
        referrer=None,
        properties=dict(properties or {}),
    )
