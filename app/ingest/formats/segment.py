"""Segment's tracking API, with the addresses of RudderStack's and Jitsu's clients, which speak it too."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from app.errors import Unreadable
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.content_ids import content_ids
from app.ingest.formats.foreign import (
    Object,
    check_count,
    check_shared,
    decode_all,
    json_of,
    key_in_json,
    object_of,
    text_of,
    time_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.segment_event import TYPES, native_fields, sent_time
from app.ingest.formats.segment_stubs import STUBS

# What an event is when it does not say so itself; None for several at once.
TYPE_OF_PATH: Mapping[str, str | None] = {
    **{f"/v1/{kind}": kind for kind in TYPES},
    **{f"/v1/{kind[0]}": kind for kind in TYPES},
    **dict.fromkeys(("/v1/batch", "/v1/b", "/v1/import", "/v1/import/", "/beacon/v1/batch")),
    **{f"/api/s/{place}{kind}": kind for place in ("", "s2s/") for kind in TYPES},
    **dict.fromkeys(("/api/s/batch", "/api/s/s2s/batch")),
}
# What differs when the same event is sent again.
TRANSPORT = frozenset({"sentAt", "writeKey", "_metadata", "messageId"})

_encode = msgspec.json.Encoder().encode


class SegmentFormat(WireFormat):
    name = "segment"
    paths = tuple(TYPE_OF_PATH)
    stubs = STUBS

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        del query
        key = key_in_json(body, "writeKey")
        return None if key is None or key.endswith("***") else key  # Jitsu's clients mask it

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = json_of(body)
        if not isinstance(sent, dict | list):
            raise Unreadable("The body must be a JSON object: an event, or several in `batch`.")
        items = _items(sent, TYPE_OF_PATH.get(context.path), context)
        return decode_all(items, native_fields, _raw, context, sent_at=_sent_at(sent, items))

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        del result, query
        return Reply(200, {"success": True})


SEGMENT = SegmentFormat()


def _items(sent: Any, kind: str | None, context: RequestContext) -> list[Any]:
    """The events, each with what path, envelope and headers say about it, so that it can be decoded alone.

    Raises TooLarge.
    """
    common: Object = {}
    if isinstance(sent, list):
        items = sent
    elif _is_envelope(sent):
        items, common = sent["batch"], object_of(sent.get("context"))
    else:
        items = [sent]
    check_count(len(items), context)
    check_shared(common, len(items))
    ids = content_ids("segment", map(_identity, items))
    return [
        _completed(item, {"type": kind, "messageId": message_id}, common, context) if isinstance(item, dict) else item
        for item, message_id in zip(items, ids, strict=True)
    ]


def _is_envelope(sent: Object) -> bool:
    return isinstance(sent.get("batch"), list)


def _identity(item: Any) -> Object | None:
    """Of an event without an id what tells it from others, if it has a time."""
    if not isinstance(item, dict) or text_of(item.get("messageId")) or not sent_time(item):
        return None
    return {name: value for name, value in item.items() if name not in TRANSPORT}


def _completed(item: Object, made: Mapping[str, str | None], common: Object, context: RequestContext) -> Object:
    """made: for what the item does not say itself. common: its part of the envelope."""
    completed = {**item, **{name: text for name, text in made.items() if text and not text_of(item.get(name))}}
    if common:
        completed["context"] = {**common, **object_of(item.get("context"))}
    names_nobody = not any(text_of(item.get(name)) for name in ("anonymousId", "userId", "previousId"))
    if names_nobody and (visitor_id := context.cookieless_key()) is not None:
        completed["anonymousId"] = visitor_id
    return completed


def _sent_at(sent: Any, items: Sequence[Any]) -> datetime | None:
    """By the sender's clock; without it, or in words of its own, clocks are not compared."""
    said = [object_of(each).get("sentAt") for each in (sent, *items[:1])]
    try:
        return time_of(next(filter(None, said), None))
    except Refused:
        return None


def _raw(item: Any) -> bytes:
    return _encode(item if isinstance(item, dict) and not _is_envelope(item) else {"batch": [item]})
