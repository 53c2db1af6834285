"""PostHog: `/e/`, `/batch/` and their other names, and capture v1, whose clients read what became of each event."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import msgspec

from app.domain.outcome import Outcome
from app.errors import Unreadable
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.content_ids import content_ids
from app.ingest.formats.foreign import (
    VISITOR_FIELD,
    check_count,
    decode_all,
    json_of,
    number_of,
    object_of,
    text_of,
    time_of,
    unix_time_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.posthog_event import SNAPSHOT, native_fields
from app.ingest.formats.posthog_people import distinct_id_of, is_cookieless, visitors_named
from app.ingest.formats.posthog_stubs import STUBS

FORM_FIELDS_MAX = 10
# Of a batch, or of an event that is sent by itself.
SENT_AT = ("sent_at", "sentAt")
ENVELOPE_FIELDS = ("api_key", "token", *SENT_AT)

_encode = msgspec.json.Encoder().encode


class PosthogFormat(WireFormat):
    name = "posthog"
    paths = (
        "/e/",
        "/e",
        "/batch/",
        "/batch",
        "/capture/",
        "/capture",
        "/i/v0/e/",
        "/i/v0/e",
        "/i/v1/analytics/events",
    )
    stubs = STUBS

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        """Of a batch, or of its first event."""
        del query
        try:
            sent = _sent(body)
            first = object_of(next(iter(_items(sent)), None))
        except Unreadable:
            return None
        places = object_of(sent), first, object_of(first.get("properties"))
        named = (place.get(name) for place in places for name in ("api_key", "token"))
        return next((key for key in named if isinstance(key, str) and key), None)

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = _sent(body)
        items = _items(sent)
        check_count(len(items), context)
        sent_at = _sent_at(sent, items, context)
        visitors = visitors_named(items)
        ids = content_ids("posthog", map(_content, items))
        whole = [_whole(item, id_, visitors, sent_at, context) for item, id_ in zip(items, ids, strict=True)]
        for_reply = [text_of(object_of(item).get("uuid")) for item in items]
        return decode_all(whole, native_fields, _raw, context, sent_at=sent_at, for_reply=for_reply)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        """`status` is what most clients expect, `results` what those of capture v1 read."""
        del query
        results: dict[str, dict[str, str]] = {
            sent_id: {"result": "drop" if outcome is Outcome.REJECTED else "ok"}
            for sent_id, outcome in zip(result.for_reply, result.outcomes, strict=True)
            if sent_id is not None
        }
        for rejection in result.rejections:
            if (sent_id := result.for_reply[rejection.index]) is not None:
                results[sent_id]["details"] = rejection.reason
        return Reply(200, {"status": "Ok", "results": results})


POSTHOG = PosthogFormat()


def _sent(body: bytes) -> Any:
    """JSON, or a form whose `data` holds JSON, mostly as base64: beacons are sent like that. Raises Unreadable."""
    if not body.startswith(b"data="):
        return json_of(body)
    try:
        [data] = parse_qs(body.decode(), max_num_fields=FORM_FIELDS_MAX)["data"]
        return json_of(data.encode() if data[:1] in ("{", "[") else b64decode(data.replace(" ", "+")))
    except (ValueError, KeyError) as error:  # ValueError: also what base64 raises
        raise Unreadable("`data` is neither JSON nor base64.") from error


def _items(sent: Any) -> Sequence[Any]:
    """Raises Unreadable."""
    if isinstance(sent, list):
        return sent
    if not isinstance(sent, dict):
        raise Unreadable("Send an event, an array of events, or an object with `batch`, an array.")
    batch = sent.get("batch")
    return batch if isinstance(batch, list) else [sent]


def _sent_at(sent: Any, items: Sequence[Any], context: RequestContext) -> datetime | None:
    """In the body, in each event, or in the address as milliseconds; None where it is not, or no time."""
    places = object_of(sent), object_of(next(iter(items), None))
    in_body = next((said for place in places for name in SENT_AT if (said := place.get(name))), None)
    try:
        if in_body:
            return time_of(in_body)
        return unix_time_of(context.query.get("sent_at") or context.query.get("_"), 1_000)
    except Refused:
        return None


def _content(item: Any) -> Any:
    """What identifies an event that has no id: all of it, when a time is among that. Counted back it is none."""
    sent = object_of(item)
    properties = object_of(sent.get("properties"))
    has_id = text_of(sent.get("uuid")) or text_of(properties.get("$insert_id"))
    has_time = properties.get("$time") or (sent.get("timestamp") and "offset" not in sent)
    transport = (*ENVELOPE_FIELDS, "offset")
    return None if has_id or not has_time else {name: sent[name] for name in sent if name not in transport}


def _whole(
    item: Any, content_id: str | None, visitors: frozenset[str], sent_at: datetime | None, context: RequestContext
) -> Any:
    """An event with what only the rest of its request says, so that it can be decoded alone."""
    if not isinstance(item, dict):
        return item
    whole = {name: value for name, value in item.items() if name not in ENVELOPE_FIELDS}
    if content_id is not None:
        whole["uuid"] = content_id
    offset = number_of(whole.get("offset"))
    if offset is not None and not whole.get("timestamp") and "$time" not in object_of(whole.get("properties")):
        whole["timestamp"] = _before(sent_at or context.received_at, offset)
    visitor_id = distinct_id = distinct_id_of(whole)
    if distinct_id is None or is_cookieless(whole):
        visitor_id = context.cookieless_key()
    elif distinct_id not in visitors:
        visitor_id = None
    if visitor_id is not None:
        whole.setdefault(VISITOR_FIELD, visitor_id)
    if whole.get("event") == SNAPSHOT:
        whole.pop("properties", None)  # megabytes of a recording; nobody will want them out of quarantine
    return whole


def _before(moment: datetime, milliseconds: float) -> str | None:
    try:
        return (moment - timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:
        return None


def _raw(whole: Any) -> bytes:
    """An object, which can be mended in quarantine, unless that would be taken for a batch or is none."""
    return _encode(whole if isinstance(whole, dict) and not isinstance(whole.get("batch"), list) else [whole])
