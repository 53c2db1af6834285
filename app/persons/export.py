"""Everything held about a person, as lines of JSON."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from app.domain.context import Campaign, Device
from app.domain.mention import mentions
from app.storage.copy_rows import TRUST_CODES
from app.storage.persons import ALWAYS, Person, events_of, quarantined_of, with_times
from app.storage.shapes import properties_object

TRUST_NAMES = {code: trust.value for trust, code in TRUST_CODES.items()}
# Taken over as they are stored.
EVENT_FIELDS = ("occurred_at", "received_at", "seq", "url", "referrer")
CONTEXT_FIELDS = Device._fields + Campaign._fields
QUARANTINE_FIELDS = ("received_at", "format", "reason", "pointer", "detail")

_encode = msgspec.json.Encoder().encode


async def export_lines(connection: asyncpg.Connection, person: Person) -> AsyncIterator[bytes]:
    """One object a line, told apart by `type`; the last is an `end` that counts the others, so that a cut shows."""
    yield _line("person", customer_ids=person.customer_keys, visitor_ids=person.visitor_keys)
    for link in person.links:
        yield _line("link", visitor_id=link.visitor_key, linked_at=link.linked_at)
    for unlink in person.unlinks:
        yield _line("unlink", visitor_id=unlink.visitor_key, unlinked_at=unlink.unlinked_at)
    person = await with_times(connection, person)
    event_count = quarantined_count = 0
    async for record in events_of(connection, person):
        yield _line("event", **_event(record))
        event_count += 1
    async for record in quarantined_of(connection, person.storefront_id, person.keys, mentions(person.keys)):
        raw = record["raw"].decode("utf-8", "backslashreplace")
        yield _line("quarantined_event", **{name: record[name] for name in QUARANTINE_FIELDS}, raw=raw)
        quarantined_count += 1
    yield _line("end", events=event_count, quarantined_events=quarantined_count)


def _event(record: asyncpg.Record) -> dict[str, Any]:
    client_time: datetime = record["client_time"].replace(tzinfo=UTC)  # an infinite one comes without
    return {
        "event_id": str(record["event_id"]),
        "event": record["event_name"],
        "visitor_id": record["visitor_key"],
        "customer_id": record["customer_key"],
        "account_id": record["account_key"],
        "client_time": None if client_time == ALWAYS else client_time,
        **{name: record[name] for name in EVENT_FIELDS},
        "trust": TRUST_NAMES[record["trust"]],
        "is_bot": bool(record["is_bot"]),
        "context": {name: record[name] for name in CONTEXT_FIELDS if record[name]},
        "properties": msgspec.Raw(properties_object(record["properties"], record["names"]).encode()),
    }


def _line(type_: str, **fields: object) -> bytes:
    return _encode({"type": type_, **fields}) + b"\n"
