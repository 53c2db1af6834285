"""Plausible's `POST /api/event`: one event, without an id, a time or a visitor, in one-letter names."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from app.domain.outcome import RejectReason
from app.errors import Unreadable
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.foreign import (
    VISITOR_FIELD,
    Object,
    decode_all,
    given_object,
    json_of,
    number_of,
    object_of,
    text_of,
    url_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.shop_words import shop_event_name, shop_properties

# Its own names, and those of its WordPress plugin; what a shop names itself is in `shop_words`.
EVENT_NAMES = {
    "pageview": "page_viewed",
    "engagement": "page_engaged",
    "Outbound Link: Click": "link_clicked",
    "Woo Add to Cart": "product_added",
    "Woo Remove from Cart": "product_removed",
    "Woo Start Checkout": "checkout_started",
    "Woo Complete Purchase": "order_completed",
}
# Each field's short and long name, the one that counts first. Its protocol's version and hash mode say nothing here.
NAME = ("n", "name")
URL = ("u", "url")
DOMAIN = ("d", "domain")
REFERRER = ("r", "referrer")
PROPERTIES = ("m", "meta", "p", "props")
REVENUE = ("$", "revenue")
WIDTH = ("w", "screen_width")
REVENUE_NAMES = {"amount": "value", "currency": "currency"}
ENGAGED_MS, SCROLL_PERCENT, INTERACTIVE = "e", "sd", "i"

_encode = msgspec.json.Encoder().encode


class PlausibleFormat(WireFormat):
    name = "plausible"
    paths = ("/api/event",)

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        """The site: the first of its domains, else the page's own; without `www.`, as Plausible calls its sites."""
        del query
        try:
            sent = object_of(json_of(body))
        except Unreadable:
            return None
        domain = text_of(_first(sent, DOMAIN)) or _host(text_of(_first(sent, URL)))
        return (domain or "").split(",")[0].strip().removeprefix("www.") or None

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = json_of(body)
        if not isinstance(sent, dict):
            raise Unreadable("Send one event, a JSON object.")
        if (visitor_id := context.cookieless_key()) is not None:
            sent[VISITOR_FIELD] = visitor_id
        return decode_all([sent], _native_fields, _encode, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        del result, query
        return Reply(202, b"ok", "text/plain")


PLAUSIBLE = PlausibleFormat()


def _native_fields(sent: Object) -> dict[str, Any]:
    """Raises Refused."""
    name = text_of(_first(sent, NAME))
    if name is None:
        raise Refused(RejectReason.MISSING_FIELD, "/n", "Every event needs a name in `n`.")
    event_name = EVENT_NAMES.get(name) or shop_event_name(name)
    return {
        "event": event_name,
        "visitor_id": text_of(sent.get(VISITOR_FIELD)),
        "url": url_of(_first(sent, URL)),
        "referrer": url_of(_first(sent, REFERRER)),
        "properties": shop_properties(event_name, _properties(sent, event_name)),
    }


def _properties(sent: Object, event_name: str) -> dict[str, Any]:
    properties = dict(_object(_first(sent, PROPERTIES), "/p"))
    revenue = _object(_first(sent, REVENUE), "/$")
    properties |= {ours: revenue[theirs] for theirs, ours in REVENUE_NAMES.items() if theirs in revenue}
    if event_name == "link_clicked" and "link_url" not in properties:
        properties["link_url"] = properties.pop("url", None)
    scroll_percent = number_of(sent.get(SCROLL_PERCENT))
    if scroll_percent is not None and 0 <= scroll_percent <= 100:  # 255 where it is not known
        properties["scroll_ratio"] = scroll_percent / 100
    said = {
        "engaged_ms": number_of(sent.get(ENGAGED_MS)),
        "interactive": False if sent.get(INTERACTIVE) is False else None,
        "screen_width": number_of(_first(sent, WIDTH)),
    }
    return said | properties


def _first(sent: Object, names: tuple[str, ...]) -> Any:
    return next((sent[name] for name in names if sent.get(name) is not None), None)


def _object(value: object, pointer: str) -> Object:
    """Older clients send an object as a text that holds its JSON. Raises Refused."""
    try:
        return given_object(json_of(value.encode()) if isinstance(value, str) and value else value, pointer)
    except Unreadable as error:
        raise Refused(RejectReason.WRONG_TYPE, pointer, "Make this an object.") from error


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None
