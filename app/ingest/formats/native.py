"""Our own wire format, `POST /v1/events`: one event, an array, `{"events": [...], "sent_at": ...}`, or NDJSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.domain.outcome import Outcome, Rejection
from app.errors import FieldError, TooLarge, Unreadable, UnsupportedType
from app.ingest.consent import refuses_consent
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.native_checks import Refused, event_of, events_of, utc
from app.ingest.formats.native_event import NativeEvent, Time
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

_CONSENT = {b"true": True, b"false": False, b"null": None}
# Of an object with `events`: it may have three members. One that has more by far is not looked through.
ENVELOPE_MEMBERS_MAX = 100

# Of the shortest there is, {"event":"a","visitor_id":"b"}.
EVENT_MIN_BYTES = 30

# Beyond this a body is refused before it is cut into lines, each of which costs some memory: per event that is allowed,
# room for blank lines and for ends of two characters.
LINES_PER_EVENT = 10

# What msgspec raises for bytes that are no event; RecursionError for thousands of brackets.
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class NativeFormat(WireFormat):
    name = "native"
    paths = ("/v1/events",)
    understands_too_many = True

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
        if len(body) > EVENT_MIN_BYTES * context.max_events and body.count(b'"event"') > 2 * context.max_events:
            return _decode_pieces(body, context)  # ends at the first event too many, without decoding any
        try:
            return _decode_whole(body, context)
        except (*_FAULTS, ValueError, Refused):
            return _decode_pieces(body, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
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
        return Reply(_status(result, spooled), answer)


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
        natives, sent_at = envelope.events, envelope.sent_at and utc(envelope.sent_at)
        consent = envelope.consent
    _check_count(len(natives), context)
    kept: Sequence[int] = range(len(natives))
    no_consent = [i for i, native in enumerate(natives) if consent is False or native.consent is False]
    if no_consent:
        withheld = set(no_consent)
        kept = [i for i in kept if i not in withheld]
        natives = [natives[i] for i in kept]
    events = events_of(natives, context, body)
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
            decoded.events.append(event_of(native, context, piece))
            indexes.append(index)
        except (Refused, *_FAULTS) as fault:
            if consent is False or refuses_consent(piece):
                no_consent.append(index)
            else:
                decoded.rejections.append(_rejection(index, fault, piece))
    return decoded


def _rejection(index: int, fault: Exception, piece: bytes) -> Rejection:
    if isinstance(fault, Refused):
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
        sent_at = sent_at and utc(sent_at)
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
