"""Stores a batch in spite of an event that can't be stored at all: finds that one and puts it into quarantine."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import NAMESPACE_OID, uuid5

import msgspec

from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, Rejection, RejectReason, UnstorableError
from app.ingest.sink import Batch

logger = logging.getLogger(__name__)

DETAIL = "The database can't hold this event; it is kept for inspection."

Store = Callable[[Batch], Awaitable[list[Outcome]]]
# The bytes of an event as received, by its place in the batch.
RawOf = Callable[[int], bytes]


async def store_apart(store: Store, batch: Batch, raw_of: RawOf | None = None) -> list[Outcome]:
    """As `store`, but an event that can't be stored is REJECTED, and its neighbours are stored.

    raw_of: without it, the quarantine gets the event as our native format writes it.
    Raises UnstorableError only when what is refused already can't be stored either.
    """
    try:
        return await store(batch)
    except UnstorableError as error:
        if not batch.events:
            raise
        logger.error("event can't be stored", extra={"action": "unstorable", "error": str(error)})  # noqa: TRY400
    outcomes = await _halves(store, batch.events, 0, raw_of or (lambda place: native_json(batch.events[place])))
    # Each half says what was received of it, so that the ledger adds up wherever this breaks off. Here is the rest.
    left = [*batch.received, *_received(batch.events, -1)]
    await store(Batch([], batch.refused, left))
    return outcomes


async def _halves(store: Store, events: Sequence[Event], start: int, raw_of: RawOf) -> list[Outcome]:
    """start: place of the first of these events in the batch."""
    if len(events) > 1:
        middle = len(events) // 2
        return [
            *await _store_or_halve(store, events[:middle], start, raw_of),
            *await _store_or_halve(store, events[middle:], start + middle, raw_of),
        ]
    [event] = events
    await store(Batch([], [_refused(event, raw_of(start))], _received(events)))
    return [Outcome.REJECTED]


async def _store_or_halve(store: Store, events: Sequence[Event], start: int, raw_of: RawOf) -> list[Outcome]:
    try:
        return await store(Batch(list(events), [], _received(events)))
    except UnstorableError:
        return await _halves(store, events, start, raw_of)


def _received(events: Sequence[Event], sign: int = 1) -> list[Received]:
    counts = Counter((event.storefront_id, event.source, event.received_at) for event in events)
    return [Received(*line, received=sign * count) for line, count in counts.items()]


def _refused(event: Event, raw: bytes) -> RefusedEvent:
    rejection = Rejection(0, RejectReason.UNSTORABLE, "", DETAIL, raw)
    return RefusedEvent(
        event.storefront_id,
        event.source,
        event.trust,
        event.received_at,
        _sent_at(event),
        rejection,
        event.is_bot,
        uuid5(NAMESPACE_OID, repr(event.identity)),  # the same when the batch comes again
    )


def _sent_at(event: Event) -> datetime | None:
    """When its request was sent, as far as that changed anything: the clock of the event was corrected by it."""
    if event.client_time is None or event.client_time == event.occurred_at:
        return None
    return event.received_at - (event.occurred_at - event.client_time)


def native_json(event: Event) -> bytes:
    """An event as senders write it in our native format, whatever format it came in."""
    fields = {
        "event": event.event_name,
        "event_id": event.event_id,
        "visitor_id": event.visitor_key,
        "customer_id": event.customer_key,
        "account_id": event.account_key,
        "client_time": event.client_time,
        "seq": event.seq,
        "url": event.url,
        "referrer": event.referrer,
        "properties": event.properties,
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
