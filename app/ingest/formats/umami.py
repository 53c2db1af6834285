"""Umami's `POST /api/send`, one event, and `/api/batch`, an array of them; mostly without id, time or visitor."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import msgspec

from app.domain.outcome import RejectReason
from app.errors import Unreadable
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.foreign import (
    VISITOR_FIELD,
    Object,
    check_count,
    decode_all,
    given_object,
    json_of,
    list_of,
    number_of,
    object_of,
    said_of,
    text_of,
    unix_time_of,
    url_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.personal import without_personal
from app.ingest.formats.shop_words import shop_event_name, shop_properties

# By `type`; an `event` has a name of the shop's own, or else is a page view.
EVENT_NAMES = {
    "identify": "customer_identified",
    "engagement": "page_engaged",
}
# Of `payload`, what becomes a property under its own name. The site, the address of a server's visitor (`ip`) and what
# is a field of ours are not among them.
PAGE_FIELDS = ("title", "screen", "tag", "browser", "os", "device")
MEASURES = ("ttfb", "fcp", "lcp", "cls", "inp", "duration")
AMOUNT_MAX = 1e12  # beyond it is no price, and sums of such numbers are none
# The tracker sends `cache` back with its next event. We tell visitors apart without it and never look at it.
CACHE = {"cache": "footfall", "sessionId": "footfall", "visitId": "footfall"}

_encode = msgspec.json.Encoder().encode


class UmamiFormat(WireFormat):
    name = "umami"
    paths = ("/api/send", "/api/batch")

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        """The website's id, of a batch that of its first event."""
        del query
        try:
            sent = json_of(body)
        except Unreadable:
            return None
        first = next(iter(sent), None) if isinstance(sent, list) else sent
        return text_of(object_of(object_of(first).get("payload")).get("website"))

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = json_of(body)
        if not isinstance(sent, dict | list):
            raise Unreadable("Send an object with `type` and `payload`, or an array of such objects.")
        items = sent if isinstance(sent, list) else [sent]
        check_count(len(items), context)
        visitor_id = context.cookieless_key()
        whole = [_with_visitor(item, visitor_id) for item in items]
        return decode_all(whole, _native_fields, _raw, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        """What the tracker reads, and what is read of a batch."""
        del query
        counts = {
            "size": len(result.outcomes),
            "processed": len(result.outcomes) - len(result.rejections),
            "errors": len(result.rejections),
        }
        details = [{"index": each.index, "response": {"error": each.reason}} for each in result.rejections]
        return Reply(200, {**CACHE, **counts, "details": details})


UMAMI = UmamiFormat()


def _with_visitor(item: Any, visitor_id: str | None) -> Any:
    return {**item, VISITOR_FIELD: visitor_id} if isinstance(item, dict) and visitor_id is not None else item


def _raw(item: Any) -> bytes:
    return _encode(item if isinstance(item, dict) else [item])


def _native_fields(item: Any) -> dict[str, Any]:
    """Raises Refused."""
    if not isinstance(item, dict):
        raise Refused(RejectReason.NOT_AN_OBJECT, "", "An event is a JSON object.")
    payload = given_object(item.get("payload"), "/payload")
    kind = text_of(item.get("type")) or "event"
    name = text_of(payload.get("name"))
    event_name = EVENT_NAMES.get(kind) or shop_event_name(name or ("page_viewed" if kind == "event" else kind))
    data = given_object(payload.get("data"), "/payload/data")
    if kind == "identify":
        data = without_personal(data)
    customer_id = text_of(payload.get("id")) or (text_of(data.get("id")) if kind == "identify" else None)
    return {
        "event": event_name,
        "visitor_id": text_of(item.get(VISITOR_FIELD)),
        "customer_id": customer_id,
        "client_time": unix_time_of(payload.get("timestamp"), 1, "/payload/timestamp"),
        "url": _url(payload.get("url"), payload),
        "referrer": _url(payload.get("referrer"), payload),
        "properties": shop_properties(event_name, _properties(payload, data)),
        "context": said_of(user_agent=payload.get("userAgent"), language=payload.get("language")),
    }


def _properties(payload: Object, data: Object) -> dict[str, Any]:
    sent = {name: payload.get(name) or None for name in PAGE_FIELDS} | {name: payload.get(name) for name in MEASURES}
    return {**sent, "engaged_ms": number_of(payload.get("engagement")), **_commerce(data)}


def _commerce(data: Object) -> Object:
    """Umami's own form of a cart or an order at the top; its value is that of the goods with what is added to them."""
    commerce = data.get("commerce")
    if not isinstance(commerce, dict):
        return data
    goods = [object_of(item) for item in list_of(commerce.get("items"))]
    value = sum(_amount(item, "price") * _amount(item, "quantity") for item in goods)
    value += _amount(commerce, "shipping") + _amount(commerce, "tax")
    others = {name: sent for name, sent in data.items() if name != "commerce"}
    return {"value": round(value, 2), **commerce, **others}


def _amount(sent: Object, name: str) -> float:
    amount = number_of(sent.get(name))
    return amount if amount is not None and abs(amount) <= AMOUNT_MAX else 0


def _url(sent: object, payload: Object) -> str | None:
    """Of a path on the page's own host all of it."""
    url, hostname = url_of(sent), text_of(payload.get("hostname"))
    if url is None or hostname is None:
        return url
    try:
        return url_of(urljoin(f"https://{hostname}", url))
    except ValueError:
        return url
