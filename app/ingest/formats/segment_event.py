"""One event in Segment's words becomes the fields of a native one."""

from typing import Any

from app.domain.outcome import RejectReason
from app.ingest.formats.foreign import Object, given_object, object_of, said_of, text_of, time_of, url_of
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.personal import without_personal
from app.ingest.formats.segment_words import native_name, native_properties

TYPES = ("track", "page", "identify", "alias", "group", "screen")
# Names of what is no `track`.
EVENT_NAME_OF_TYPE = {
    "page": "page_viewed",
    "screen": "page_viewed",
    "identify": "customer_identified",
    "alias": "customer_identified",
    "group": "account_joined",
}


def native_fields(item: Any) -> dict[str, Any]:
    """The fields of a NativeEvent. Raises Refused."""
    if not isinstance(item, dict):
        raise Refused(RejectReason.NOT_AN_OBJECT, "", "An event is a JSON object.")
    kind = _type(item)
    context = object_of(item.get("context"))
    page = object_of(context.get("page"))
    name = EVENT_NAME_OF_TYPE.get(kind) or native_name(_track_name(item))
    properties = native_properties(name, _properties(item, kind, context))
    url, referrer = url_of(page.get("url")), _referrer(page.get("referrer"))
    if name == "page_viewed":
        url, referrer = _take_page(properties, page, url, referrer)
    return {
        "event": name,
        "event_id": text_of(item.get("messageId")),
        "visitor_id": _visitor_id(item, kind),
        "customer_id": text_of(item.get("userId")),
        "account_id": text_of(item.get("groupId")) or text_of(context.get("groupId")),
        "client_time": time_of(sent_time(item), "/timestamp"),
        "url": url,
        "referrer": referrer,
        "properties": _campaign(context) | properties,
        "context": said_of(
            user_agent=context.get("userAgent"),
            language=context.get("locale"),
            country=object_of(context.get("location")).get("country"),
        ),
    }


def _type(item: Object) -> str:
    """Raises Refused."""
    kind = text_of(item.get("type")) or ("track" if text_of(item.get("event")) else "")
    if kind not in TYPES:
        raise Refused(RejectReason.WRONG_TYPE, "/type", f"Give one of {', '.join(TYPES)}.")
    return kind


def _visitor_id(item: Object, kind: str) -> str | None:
    """Of an alias the one it had before: unless that is the customer already, as in browsers where one is known."""
    previous_id = text_of(item.get("previousId")) if kind == "alias" else None
    if previous_id is not None and previous_id != text_of(item.get("userId")):
        return previous_id
    return text_of(item.get("anonymousId"))


def _track_name(item: Object) -> str:
    """Raises Refused."""
    name = text_of(item.get("event"))
    if name is None:
        raise Refused(RejectReason.MISSING_FIELD, "/event", "Every tracked event needs a name in `event`.")
    return name


def sent_time(item: Object) -> Any:
    """RudderStack's servers change `timestamp`, and leave the client's own in the other."""
    return item.get("originalTimestamp") or item.get("timestamp")


def _properties(item: Object, kind: str, context: Object) -> Object:
    """As they were sent, but for what names a customer. Raises Refused."""
    if kind == "group":
        properties = given_object(item.get("traits"), "/traits")
    elif kind == "identify":
        # RudderStack's clients have them in the context.
        traits = {**object_of(context.get("traits")), **given_object(item.get("traits"), "/traits")}
        properties = without_personal(traits)
    else:
        properties = given_object(item.get("properties"), "/properties")
    if kind in ("page", "screen"):
        named = {name: item[name] for name in ("name", "category") if item.get(name) is not None}
        properties = {**named, **properties}
    session_id = text_of(context.get("sessionId"))
    return properties if session_id is None else {"session_id": session_id, **properties}


def _campaign(context: Object) -> dict[str, Any]:
    campaign = object_of(context.get("campaign"))
    return {
        "utm_campaign" if name == "name" else f"utm_{name}": text
        for name, value in campaign.items()
        if (text := text_of(value)) is not None
    }


def _referrer(value: object) -> str | None:
    """RudderStack's clients have a word for none."""
    referrer = url_of(value)
    return None if referrer == "$direct" else referrer


def _take_page(
    properties: dict[str, Any], page: Object, url: str | None, referrer: str | None
) -> tuple[str | None, str | None]:
    """Address and referrer of a page view; they leave the properties, and the page's title comes in."""
    url = url_of(properties.get("url")) or url
    referrer = _referrer(properties.get("referrer")) or referrer
    for name, said in (("url", url), ("tab_url", url), ("referrer", referrer), ("search", None)):
        if properties.get(name) in ("", "$direct", said):
            properties.pop(name, None)
    if "title" not in properties and (title := text_of(page.get("title"))):
        properties["title"] = title
    return url, referrer
