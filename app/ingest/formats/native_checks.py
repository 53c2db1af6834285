"""From an event as it was sent to ours, with the checks that its types don't show."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec

from app.domain.context import Campaign, Channel, Sender
from app.domain.event import Event, Trust, canonical_event_id, canonical_event_ids, new_event_id
from app.domain.outcome import RejectReason
from app.ingest.formats.base import RequestContext
from app.ingest.formats.native_event import (
    PROPERTIES_MAX_BYTES,
    PROPERTIES_MAX_COUNT,
    PROPERTIES_MAX_DEPTH,
    NativeEvent,
)
from app.ingest.formats.native_faults import TIME_ADVICE
from app.ingest.guest import visitor_of_order

_NESTED = frozenset({dict, list})
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """One event is refused, for a reason that its types don't show."""

    def __init__(self, reason: RejectReason, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.pointer, self.detail = reason, pointer, detail


def utc(sent: datetime) -> datetime:
    """Raises ValueError for a time that lies outside the years 1 to 9999 in UTC."""
    if sent.tzinfo is UTC:
        return sent
    try:
        return sent.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("Time out of range") from error


def _client_time(sent: datetime) -> datetime:
    """Raises Refused."""
    try:
        return utc(sent)
    except ValueError as error:
        raise Refused(RejectReason.BAD_TIME, "/client_time", f"{error}. {TIME_ADVICE}") from error


def event_of(native: NativeEvent, context: RequestContext, body: bytes) -> Event:
    """See `events_of`."""
    [event] = events_of([native], context, body)
    return event


def events_of(natives: Sequence[NativeEvent], context: RequestContext, body: bytes) -> list[Event]:
    """Raises Refused if one of them has to be. body: what they were decoded from, or what they are as JSON.

    Looks at all of them at once wherever that can prove that none needs a closer look.
    """
    _check_properties([native.properties for native in natives if native.properties], body)
    if b"\\u0000" in body:
        for native in natives:
            _refuse_nul(native)
    for native in natives:
        if native.visitor_id is None and native.customer_id is None:
            native.visitor_id = _visitor_of_nobody(native, context)
    event_ids = _event_ids(natives, context.received_at)
    return [_event(native, event_id, context) for native, event_id in zip(natives, event_ids, strict=True)]


def _visitor_of_nobody(native: NativeEvent, context: RequestContext) -> str:
    """Of a browser the one of the day, of a guest's order its own. Raises Refused."""
    visitor_key = context.cookieless_key()
    if visitor_key is None and context.trust is not Trust.BROWSER:
        visitor_key = visitor_of_order(native.event, native.properties or {})
    if visitor_key is None:
        raise Refused(RejectReason.NO_PERSON, "/visitor_id", "Give a visitor_id or a customer_id.")
    return visitor_key


def _event_ids(natives: Sequence[NativeEvent], received_at: datetime) -> list[str]:
    sent = [native.event_id for native in natives if native.event_id is not None]
    if len(sent) == len(natives):
        return canonical_event_ids(sent)
    return [
        new_event_id(received_at) if native.event_id is None else canonical_event_id(native.event_id)
        for native in natives
    ]


def _event(native: NativeEvent, event_id: str, context: RequestContext) -> Event:
    """Raises Refused."""
    client_time = native.client_time
    if client_time is not None and client_time.tzinfo is not UTC:
        client_time = _client_time(client_time)
    event = Event(
        context.storefront_id,
        event_id,
        native.event,
        native.visitor_id,
        native.customer_id,
        native.account_id,
        client_time,
        client_time or context.received_at,
        context.received_at,
        native.seq or 0,
        context.trust,
        native.url,
        native.referrer,
        native.properties or {},
    )
    if (said := native.context) is not None:
        event.sender = Sender(said.user_agent, said.language, said.country)
        event.campaign = Campaign(Channel.OFFLINE) if said.channel else None
    return event


def _check_properties(of_events: Sequence[dict[str, Any]], body: bytes) -> None:
    """Raises Refused."""
    count = max(map(len, of_events), default=0)
    if count > PROPERTIES_MAX_COUNT:
        raise Refused(
            RejectReason.TOO_MANY_PROPERTIES,
            "/properties",
            f"There are {count} properties; send at most {PROPERTIES_MAX_COUNT}.",
        )
    kinds = map(type, chain.from_iterable([properties.values() for properties in of_events]))
    if not _NESTED.isdisjoint(kinds) and max(map(_depth, of_events)) > PROPERTIES_MAX_DEPTH:
        raise Refused(
            RejectReason.TOO_DEEP,
            "/properties",
            f"The properties are nested more than {PROPERTIES_MAX_DEPTH} levels deep; flatten them.",
        )
    if len(body) > PROPERTIES_MAX_BYTES:
        size_bytes = max([len(_encode(properties)) for properties in of_events], default=0)
        if size_bytes > PROPERTIES_MAX_BYTES:
            raise Refused(
                RejectReason.PROPERTIES_TOO_LARGE,
                "/properties",
                f"The properties take {size_bytes} bytes as JSON; send at most {PROPERTIES_MAX_BYTES}.",
            )


def _depth(value: object) -> int:
    """Levels of nesting; the decoder has bounded them already, so recursion is safe."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _refuse_nul(native: NativeEvent) -> None:
    detail = "Take the NUL character (\\u0000) out; it can't be stored."
    for field in ("event", "event_id", "visitor_id", "customer_id", "account_id", "url", "referrer"):
        if "\0" in (getattr(native, field) or ""):
            raise Refused(RejectReason.NUL_CHARACTER, f"/{field}", detail)
    # The encoder writes NUL as \u0000; the same characters as text follow another backslash.
    if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", _encode(native.properties)):
        raise Refused(RejectReason.NUL_CHARACTER, "/properties", detail)
