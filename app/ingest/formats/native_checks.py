"""From an event as it was sent to ours, with the checks that its types don't show."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from app.domain.context import Campaign, Channel, Sender
from app.domain.event import Event, canonical_event_id, new_event_id
from app.domain.outcome import RejectReason
from app.ingest.formats.base import RequestContext
from app.ingest.formats.native_event import (
    PROPERTIES_MAX_BYTES,
    PROPERTIES_MAX_COUNT,
    PROPERTIES_MAX_DEPTH,
    NativeEvent,
)
from app.ingest.formats.native_faults import TIME_ADVICE

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


def _client_time(sent: datetime | None) -> datetime | None:
    """Raises Refused."""
    try:
        return sent and utc(sent)
    except ValueError as error:
        raise Refused(RejectReason.BAD_TIME, "/client_time", f"{error}. {TIME_ADVICE}") from error


class Suspicion(NamedTuple):
    """What the bytes can't rule out, so that every event has to be looked at for it."""

    nul: bool
    large: bool


def suspicion_of(body: bytes) -> Suspicion:
    return Suspicion(nul=b"\\u0000" in body, large=len(body) > PROPERTIES_MAX_BYTES)


def event_of(native: NativeEvent, context: RequestContext, suspicion: Suspicion) -> Event:
    """Raises Refused."""
    visitor_key = native.visitor_id
    if visitor_key is None and native.customer_id is None and (visitor_key := context.cookieless_key()) is None:
        raise Refused(RejectReason.NO_PERSON, "/visitor_id", "Give a visitor_id or a customer_id.")
    properties = native.properties or {}
    _check_properties(properties, suspicion)
    if suspicion.nul:
        _refuse_nul(native)
    client_time = _client_time(native.client_time)
    received_at = context.received_at
    sent_id = native.event_id
    event = Event(
        context.storefront_id,
        new_event_id(received_at) if sent_id is None else canonical_event_id(sent_id),
        native.event,
        visitor_key,
        native.customer_id,
        native.account_id,
        client_time,
        client_time or received_at,
        received_at,
        native.seq or 0,
        context.trust,
        native.url,
        native.referrer,
        properties,
    )
    if (said := native.context) is not None:
        event.sender = Sender(said.user_agent, said.language, said.country)
        event.campaign = Campaign(Channel.OFFLINE) if said.channel else None
    return event


def _check_properties(properties: dict[str, Any], suspicion: Suspicion) -> None:
    """Raises Refused."""
    if len(properties) > PROPERTIES_MAX_COUNT:
        raise Refused(
            RejectReason.TOO_MANY_PROPERTIES,
            "/properties",
            f"There are {len(properties)} properties; send at most {PROPERTIES_MAX_COUNT}.",
        )
    if not _NESTED.isdisjoint(map(type, properties.values())) and _depth(properties) > PROPERTIES_MAX_DEPTH:
        raise Refused(
            RejectReason.TOO_DEEP,
            "/properties",
            f"The properties are nested more than {PROPERTIES_MAX_DEPTH} levels deep; flatten them.",
        )
    if suspicion.large and (size_bytes := len(_encode(properties))) > PROPERTIES_MAX_BYTES:
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
