"""Our own wire format, `POST /v1/events`: one event, an array, `{"events": [...], "sent_at": ...}`, or NDJSON."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.domain.event import Event, canonical_event_id, new_event_id
from app.domain.outcome import Outcome, Rejection, RejectReason
from app.errors import FieldError, TooLarge, Unreadable, UnsupportedType
from app.ingest.consent import refuses_consent
from app.ingest.formats.base import Decoded, IngestResult, RequestContext
from app.ingest.formats.native_event import (
    PROPERTIES_MAX_BYTES,
    PROPERTIES_MAX_COUNT,
    PROPERTIES_MAX_DEPTH,
    NativeEvent,
    Time,
)
from app.ingest.formats.native_faults import TIME_ADVICE, rejection_of
from app.ingest.formats.split import SplitError, TooManyPieces, split_elements, split_members

JSON_TYPES = frozenset({"application/json", "text/plain", ""})
NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


class _Peek(Struct):
    """Tells an envelope from an event."""

    events: msgspec.Raw | UnsetType = UNSET


class _Envelope(Struct, forbid_unknown_fields=True):
    events: list[NativeEvent]
    sent_at: Time | None = None
    consent: bool | None = None


_decode_event = msgspec.json.Decoder(NativeEvent).decode
_decode_events = msgspec.json.Decoder(list[NativeEvent]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_peek = msgspec.json.Decoder(_Peek).decode
_decode_time = msgspec.json.Decoder(Time | None).decode
_encode = msgspec.json.Encoder().encode

_CONSENT = {b"true": True, b"false": False, b"null": None}
# Of an object with `events`: it may have three members. One that has more by far is not looked through.
ENVELOPE_MEMBERS_MAX = 100
_NESTED = frozenset({dict, list})

# Beyond this a body is refused before it is cut into lines, each of which costs some memory: per event that is allowed,
# room for blank lines and for ends of two characters.
LINES_PER_EVENT = 10

# What msgspec raises for bytes that are no event; RecursionError for thousands of brackets.
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Refused(Exception):
    """One event is refused, for a reason that its types don't show."""

    def __init__(self, reason: RejectReason, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.pointer, self.detail = reason, pointer, detail


class NativeFormat:
    name = "native"
    paths = ("/v1/events",)

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        if context.content_type not in JSON_TYPES | NDJSON_TYPES:
            raise UnsupportedType(
                f"Send the body with Content-Type application/json, text/plain or application/x-ndjson, "
                f"not {context.content_type}."
            )
        body = body.removeprefix(b"\xef\xbb\xbf").strip()
        if not body:
            raise Unreadable("The body is empty; send an event as JSON.")
        if context.content_type in NDJSON_TYPES:
            _check_lines(body, context)
        if body.count(b'"event"') > 2 * context.max_events:
            return _decode_pieces(body, context)  # ends at the first event too many, without decoding any
        try:
            return _decode_whole(body, context)
        except (*_FAULTS, ValueError, _Refused):
            return _decode_pieces(body, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> tuple[int, Any]:
        spooled = result.count(Outcome.SPOOLED)
        answer: dict[str, Any] = {
            "received": len(result.outcomes),
            "stored": result.count(Outcome.STORED),
            "duplicates": result.count(Outcome.DUPLICATE),
        }
        if spooled:
            answer["spooled"] = spooled
        if no_consent := result.count(Outcome.NO_CONSENT):
            answer["no_consent"] = no_consent
        if result.rejections:
            answer["rejected"] = [
                {"index": r.index, "reason": r.reason, "pointer": r.pointer, "detail": r.detail}
                for r in result.rejections
            ]
        if query.get("receipts") == "1":
            answer["receipts"] = [
                {"index": index, "event_id": event_id, "outcome": outcome}
                for index, (event_id, outcome) in enumerate(zip(result.event_ids, result.outcomes, strict=True))
            ]
        return _status(result, spooled), answer


NATIVE = NativeFormat()


def _status(result: IngestResult, spooled: int) -> int:
    if not result.rejections:
        return 202 if spooled else 200
    return 422 if len(result.rejections) == len(result.outcomes) else 207


def _decode_whole(body: bytes, context: RequestContext) -> Decoded:
    """The fast path: everything in one go; any fault sends the body to `_decode_pieces`."""
    sent_at = consent = None
    if context.content_type in NDJSON_TYPES:
        natives = [_decode_event(line) for line in body.splitlines() if line.strip()]
    elif body[:1] == b"[":
        natives = _decode_events(body)
    elif _peek(body).events is UNSET:
        natives = [_decode_event(body)]
    else:
        envelope = _decode_envelope(body)
        natives, sent_at = envelope.events, envelope.sent_at and _utc(envelope.sent_at)
        consent = envelope.consent
    _check_count(len(natives), context)
    suspicion = _suspicion(body)
    kept: Sequence[int] = range(len(natives))
    no_consent: Sequence[int] = ()
    if b"consent" in body or b"\\u" in body:
        no_consent = [i for i in kept if consent is False or natives[i].consent is False]
        withheld = set(no_consent)
        kept = [i for i in kept if i not in withheld]
        natives = [natives[i] for i in kept]
    events = [_event(native, context, suspicion) for native in natives]
    return Decoded(events, kept, lambda: _pieces(body, context)[0], sent_at=sent_at, no_consent=no_consent)


def _decode_pieces(body: bytes, context: RequestContext) -> Decoded:
    """Event by event: the good ones are kept, each faulty one gets its reason."""
    pieces, sent_at, consent = _pieces(body, context)
    _check_count(len(pieces), context)
    indexes: list[int] = []
    no_consent: list[int] = []
    decoded = Decoded([], indexes, lambda: pieces, sent_at=sent_at, no_consent=no_consent)
    for index, piece in enumerate(pieces):
        try:
            native = _decode_event(piece)
            if consent is False or native.consent is False:
                no_consent.append(index)
                continue
            decoded.events.append(_event(native, context, _suspicion(piece)))
            indexes.append(index)
        except (_Refused, *_FAULTS) as fault:
            if consent is False or refuses_consent(piece):
                no_consent.append(index)
            else:
                decoded.rejections.append(_rejection(index, fault, piece))
    return decoded


def _rejection(index: int, fault: Exception, piece: bytes) -> Rejection:
    if isinstance(fault, _Refused):
        return Rejection(index, fault.reason, fault.pointer, fault.detail, piece)
    return rejection_of(index, fault, piece)


class _Pieces(NamedTuple):
    """The bytes of each event, and what the envelope says beside them."""

    events: Sequence[bytes]
    sent_at: datetime | None = None
    consent: bool | None = None


def _pieces(body: bytes, context: RequestContext) -> _Pieces:
    """Raises Unreadable when there is no telling where events begin and end."""
    if context.content_type in NDJSON_TYPES or _looks_like_lines(body, context):
        return _Pieces([line for line in map(bytes.strip, body.splitlines()) if line])
    try:
        if body[:1] == b"[":
            return _Pieces(split_elements(body, context.max_events))
        if _is_single(body):
            return _Pieces([body])
        members = split_members(body, ENVELOPE_MEMBERS_MAX)
        if b'"events"' not in members:
            return _Pieces([body])
        return _envelope_pieces(members, context.max_events)
    except SplitError as error:
        raise Unreadable(f"{error} Nothing of it was stored.") from error
    except TooManyPieces as error:
        raise TooLarge(f"The body holds too many parts; send at most {context.max_events} events at once.") from error


def _is_single(body: bytes) -> bool:
    """One event in good JSON. Much faster than splitting it, which a huge one would keep us at for long."""
    try:
        return _peek(body).events is UNSET
    except _FAULTS:
        return False


def _envelope_pieces(members: Mapping[bytes, bytes], max_events: int) -> _Pieces:
    for key in members.keys() - {b'"events"', b'"sent_at"', b'"consent"'}:
        name = key[1:-1].decode(errors="replace")
        raise Unreadable(
            "Beside `events` only `sent_at` and `consent` may stand.",
            errors=[FieldError(f"Take {name!r} out.", f"/{name}")],
        )
    if members[b'"events"'][:1] != b"[":
        raise Unreadable("`events` must be an array.", errors=[FieldError("Make this an array.", "/events")])
    try:
        sent_at = _decode_time(members.get(b'"sent_at"', b"null"))
        sent_at = sent_at and _utc(sent_at)
    except (*_FAULTS, ValueError) as fault:
        error = FieldError(f"{fault}. {TIME_ADVICE}", "/sent_at")
        raise Unreadable("`sent_at` is no time.", errors=[error]) from fault
    said = members.get(b'"consent"', b"null")
    if said not in _CONSENT:
        raise Unreadable(
            "`consent` must be true or false.", errors=[FieldError("Make this true or false.", "/consent")]
        )
    return _Pieces(split_elements(members[b'"events"'], max_events), sent_at, _CONSENT[said])


def _looks_like_lines(body: bytes, context: RequestContext) -> bool:
    """NDJSON sent under another name: every line is an object of its own."""
    first = body.partition(b"\n")[0].partition(b"\r")[0].rstrip()
    if first[:1] != b"{" or first[-1:] != b"}":
        return False
    _check_lines(body, context)
    lines = [line for line in map(bytes.strip, body.splitlines()) if line]
    return len(lines) > 1 and all(line[:1] == b"{" and line[-1:] == b"}" for line in lines)


def _check_count(count: int, context: RequestContext) -> None:
    if count > context.max_events:
        raise TooLarge(f"The body holds {count} events; send at most {context.max_events} in one request.")


def _check_lines(body: bytes, context: RequestContext) -> None:
    if body.count(b"\n") + body.count(b"\r") > context.max_events * LINES_PER_EVENT:
        raise TooLarge(f"The body holds too many lines; send at most {context.max_events} events in one request.")


def _utc(sent: datetime) -> datetime:
    """Raises ValueError for a time that lies outside the years 1 to 9999 in UTC."""
    if sent.tzinfo is UTC:
        return sent
    try:
        return sent.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("Time out of range") from error


def _client_time(sent: datetime | None) -> datetime | None:
    """Raises _Refused."""
    try:
        return sent and _utc(sent)
    except ValueError as error:
        raise _Refused(RejectReason.BAD_TIME, "/client_time", f"{error}. {TIME_ADVICE}") from error


class _Suspicion(NamedTuple):
    """What the bytes can't rule out, so that every event has to be looked at for it."""

    nul: bool
    large: bool


def _suspicion(body: bytes) -> _Suspicion:
    return _Suspicion(nul=b"\\u0000" in body, large=len(body) > PROPERTIES_MAX_BYTES)


def _event(native: NativeEvent, context: RequestContext, suspicion: _Suspicion) -> Event:
    """Raises _Refused."""
    if native.visitor_id is None and native.customer_id is None:
        raise _Refused(RejectReason.NO_PERSON, "/visitor_id", "Give a visitor_id or a customer_id.")
    properties = native.properties or {}
    _check_properties(properties, suspicion)
    if suspicion.nul:
        _refuse_nul(native)
    client_time = _client_time(native.client_time)
    received_at = context.received_at
    sent_id = native.event_id
    return Event(
        context.storefront_id,
        new_event_id(received_at) if sent_id is None else canonical_event_id(sent_id),
        native.event,
        native.visitor_id,
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


def _check_properties(properties: dict[str, Any], suspicion: _Suspicion) -> None:
    """Raises _Refused."""
    if len(properties) > PROPERTIES_MAX_COUNT:
        raise _Refused(
            RejectReason.TOO_MANY_PROPERTIES,
            "/properties",
            f"There are {len(properties)} properties; send at most {PROPERTIES_MAX_COUNT}.",
        )
    if not _NESTED.isdisjoint(map(type, properties.values())) and _depth(properties) > PROPERTIES_MAX_DEPTH:
        raise _Refused(
            RejectReason.TOO_DEEP,
            "/properties",
            f"The properties are nested more than {PROPERTIES_MAX_DEPTH} levels deep; flatten them.",
        )
    if suspicion.large and (size_bytes := len(_encode(properties))) > PROPERTIES_MAX_BYTES:
        raise _Refused(
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
            raise _Refused(RejectReason.NUL_CHARACTER, f"/{field}", detail)
    # The encoder writes NUL as \u0000; the same characters as text follow another backslash.
    if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", _encode(native.properties)):
        raise _Refused(RejectReason.NUL_CHARACTER, "/properties", detail)
