"""One event of PostHog's in our words."""

import re
from typing import Any

from app.domain.outcome import RejectReason
from app.ingest.formats.foreign import (
    VISITOR_FIELD,
    Object,
    given_object,
    number_of,
    object_of,
    said_of,
    text_of,
    time_of,
    unix_time_of,
    url_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.personal import without_personal
from app.ingest.formats.posthog_people import People, distinct_id_of, people_of
from app.ingest.formats.shop_words import shop_event_name, shop_properties

# Its own names; what a shop names itself is in `shop_words`.
EVENT_NAMES = {
    "$pageview": "page_viewed",
    "$screen": "page_viewed",
    "$pageleave": "page_engaged",
    "$identify": "customer_identified",
    "$create_alias": "customer_identified",
    "$groupidentify": "account_joined",
}
# Part of a recording of the screen; comes only where a client is set to record in spite of our config.
SNAPSHOT = "$snapshot"
NO_REFERRER = "$direct"
URL, REFERRER = "$current_url", "$referrer"
# Looked at and not kept, as of all who send.
USER_AGENTS = ("$raw_user_agent", "$user_agent")
# Of the properties, what is a field of ours, and the key.
TAKEN = frozenset({URL, REFERRER, *USER_AGENTS, "token"})
# How names of other pages' addresses end: `$session_entry_url`, `$initial_referrer` … Their campaign parameters
# have properties of their own.
ADDRESS_ENDS = ("url", "referrer")
# Traits of a person, which may stand beside the event's properties.
TRAITS = ("$set", "$set_once", "$unset")
# Capture v1 has these beside the properties too, and more in `options`; all without the dollar sign.
SESSION_FIELDS = ("session_id", "window_id")


def native_fields(item: Any) -> dict[str, Any]:
    """The fields of a NativeEvent. Raises Refused."""
    if not isinstance(item, dict):
        raise Refused(RejectReason.NOT_AN_OBJECT, "", "An event is a JSON object.")
    name = item.get("event")
    if name == SNAPSHOT:
        raise Refused(RejectReason.WRONG_TYPE, "/event", "A recording is no event; turn session recording off.")
    event_name = EVENT_NAMES.get(name) or shop_event_name(name) if isinstance(name, str) else ""
    sent = given_object(item.get("properties"), "/properties")
    people = people_of(item, visitor_id=text_of(item.get(VISITOR_FIELD)))
    referrer = sent.get(REFERRER)
    return {
        "event": event_name or name,
        "event_id": text_of(item.get("uuid")) or text_of(sent.get("$insert_id")),
        **people._asdict(),
        "client_time": time_of(item.get("timestamp"), "/timestamp") or unix_time_of(sent.get("$time"), 1),
        "url": url_of(sent.get(URL)),
        "referrer": None if referrer == NO_REFERRER else url_of(referrer),
        "properties": _properties(item, event_name, people),
        "context": said_of(
            user_agent=next(filter(None, map(sent.get, USER_AGENTS)), None),
            language=sent.get("$browser_language"),
            country=sent.get("$geoip_country_code"),
        ),
    }


def _properties(item: Object, event_name: str, people: People) -> dict[str, Any]:
    """All that is given, but for what is a field of ours."""
    sent = {name: item.get(name) for name in TRAITS} | {f"${name}": item.get(name) for name in SESSION_FIELDS}
    sent |= {f"${name}": value for name, value in object_of(item.get("options")).items()}
    sent |= {name: value for name, value in object_of(item.get("properties")).items() if name not in TAKEN}
    properties = _without_queries(shop_properties(event_name, sent))
    for name in TRAITS:
        if isinstance(traits := properties.get(name), dict):
            properties[name] = _without_queries(without_personal(traits))
    ids = {"distinct_id": distinct_id_of(item), "$user_id": people.customer_id}
    for name, id_ in (ids | dict.fromkeys(("$device_id", "$anon_distinct_id"), people.visitor_id)).items():
        if id_ is not None and text_of(properties.get(name)) == id_:
            del properties[name]
    return properties | _engagement(properties) if event_name == EVENT_NAMES["$pageleave"] else properties


def _without_queries(sent: Object) -> dict[str, Any]:
    """Of the addresses of other pages; what can name a person stands in queries."""
    addresses = {name: sent[name] for name in sent if name.endswith(ADDRESS_ENDS) and name[0] == "$"}
    bare = {name: re.split("[?#]", value)[0] for name, value in addresses.items() if isinstance(value, str)}
    return {**sent, **bare}


def _engagement(properties: Object) -> dict[str, Any]:
    """Of the page that is left: how long it was open, and how much of it was seen."""
    seconds = number_of(properties.get("$prev_pageview_duration"))
    seen_ratio = number_of(properties.get("$prev_pageview_max_content_percentage"))  # 0 to 1, whatever its name says
    engagement: dict[str, Any] = {}
    if seconds is not None and 0 <= seconds < 1e9:
        engagement["engaged_ms"] = round(seconds * 1_000)
    if seen_ratio is not None and 0 <= seen_ratio <= 1:
        engagement["scroll_ratio"] = seen_ratio
    return engagement
