"""Whom a PostHog event names: its `distinct_id` is an id that a browser made up before login, and a customer after."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from app.ingest.formats.foreign import Object, object_of, text_of

COOKIELESS = "$posthog_cookieless"  # in place of an id, for a browser that may keep none
IDENTIFY = "$identify"
ALIAS = "$create_alias"
GROUP = "$groupidentify"
OLD_ID_FIRST = "posthog-python"  # whose `alias(previous_id, distinct_id)` sends the old id as the event's own
# Of a person's groups the one that is the account; without any of these the first.
ACCOUNT_GROUPS = ("account", "company", "organization", "organisation")

# What the browser SDK makes up (a UUIDv7, and before 2023 five longer parts of hex digits), and what shops call
# somebody they don't know.
_is_made_up = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|[0-9a-f]{13,15}-[0-9a-f]{13,15}-[0-9a-f]{7,8}-[0-9a-f]{5,8}-[0-9a-f]{13,15}"
    r"|(?:anon|anonymous|guest|visitor|device)[-_:.].*",
    re.ASCII | re.IGNORECASE | re.DOTALL,
).fullmatch


class People(NamedTuple):
    visitor_id: str | None = None
    customer_id: str | None = None
    account_id: str | None = None


def distinct_id_of(item: Object) -> str | None:
    return text_of(item.get("distinct_id")) or text_of(_properties(item).get("distinct_id"))


def is_cookieless(item: Object) -> bool:
    return _said(item, "cookieless_mode") is True or distinct_id_of(item) == COOKIELESS


def visitors_named(items: Iterable[Any]) -> frozenset[str]:
    """Ids that a body itself says are a visitor's: those that it links with a customer."""
    linking = (item for item in map(object_of, items) if item.get("event") in (IDENTIFY, ALIAS))
    return frozenset(visitor_id for item in linking if (visitor_id := people_of(item).visitor_id) is not None)


def people_of(item: Object, *, visitor_id: str | None = None) -> People:
    """visitor_id: what the rest of the request said; it is needed where nothing in the event itself tells."""
    distinct_id, account_id = distinct_id_of(item), _account_of(item)
    if is_cookieless(item):
        return People(visitor_id, None if distinct_id == COOKIELESS else distinct_id, account_id)
    device_id = text_of(_properties(item).get("$device_id"))
    if item.get("event") == IDENTIFY and distinct_id:
        return _linked(text_of(_properties(item).get("$anon_distinct_id")) or device_id, distinct_id, account_id)
    alias = text_of(_properties(item).get("alias"))
    if item.get("event") == ALIAS and alias and distinct_id:
        # Some SDKs name the customer as the alias of the visitor, others the visitor as the alias of the customer.
        is_old = distinct_id == device_id or _properties(item).get("$lib") == OLD_ID_FIRST
        is_visitors = not _is_made_up(alias) and (is_old or _is_made_up(distinct_id) is not None)
        return _linked(*((distinct_id, alias) if is_visitors else (alias, distinct_id)), account_id)
    if visitor_id is None and distinct_id is not None and _is_customer(item, distinct_id, device_id):
        return _linked(device_id, distinct_id, account_id)
    return People(distinct_id or visitor_id, None, account_id)


def _linked(visitor_id: str | None, customer_id: str | None, account_id: str | None) -> People:
    """A customer under the same id as their visitor is only a customer."""
    return People(None if visitor_id == customer_id else visitor_id, customer_id, account_id)


def _is_customer(item: Object, distinct_id: str, device_id: str | None) -> bool:
    is_identified = _properties(item).get("$is_identified")
    if isinstance(is_identified, bool):
        return is_identified
    if device_id is not None:
        return distinct_id != device_id
    if _said(item, "process_person_profile") is False or _is_made_up(distinct_id):
        return False
    return not _is_group(item, distinct_id)


def _is_group(item: Object, distinct_id: str) -> bool:
    """Servers describe a group without naming a person."""
    sent = _properties(item)
    return item.get("event") == GROUP and distinct_id == f"${sent.get('$group_type')}_{sent.get('$group_key')}"


def _account_of(item: Object) -> str | None:
    if item.get("event") == GROUP:
        return text_of(_properties(item).get("$group_key"))
    sent = object_of(_properties(item).get("$groups"))
    groups = {name: key for name, value in sent.items() if (key := text_of(value)) is not None}
    return next((groups[name] for name in ACCOUNT_GROUPS if name in groups), next(iter(groups.values()), None))


def _said(item: Object, name: str) -> object:
    """Among the properties, or in capture v1 in `options`."""
    return object_of(item.get("options")).get(name, _properties(item).get(f"${name}"))


def _properties(item: Object) -> Object:
    return object_of(item.get("properties"))
