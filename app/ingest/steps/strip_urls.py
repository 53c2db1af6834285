"""Takes out of addresses what can name a person or open a door: queries, fragments, user and password."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from app.domain.event import Event
from app.ingest.context.parameters import is_kept
from app.ingest.formats.native_event import URL_MAX
from app.ingest.pipeline import NO_FAULTS, Arrival, Faults

CACHE_MAX_ENTRIES = 4_000  # addresses; those of pages come again and again

# Properties that hold the address of a page, or its query with the question mark.
QUERY_PROPERTY = "search"
ADDRESS_PROPERTIES = frozenset({"url", "referrer", "link_url", QUERY_PROPERTY})
# A fragment that is a page of its own: `#/cart`, `#!/cart`.
_ROUTES = ("/", "!")
_up_to_user = re.compile("((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@").match


def strip_urls(events: Sequence[Event], arrival: Arrival) -> Faults:
    del arrival
    if _has_more_than_path("".join([f"{event.url}{event.referrer}" for event in events])):
        for event in events:
            event.url = event.url and stripped(event.url)
            event.referrer = event.referrer and stripped(event.referrer)
    if not ADDRESS_PROPERTIES.isdisjoint(chain.from_iterable([event.properties for event in events])):
        for event in events:
            _strip_properties(event.properties)
    return NO_FAULTS


def _strip_properties(properties: dict[str, Any]) -> None:
    for name in ADDRESS_PROPERTIES & properties.keys():
        value = properties[name]
        if isinstance(value, str) and (name != QUERY_PROPERTY or value.startswith("?")):
            properties[name] = stripped(value)


def _has_more_than_path(addresses: str) -> bool:
    return "?" in addresses or "#" in addresses or "@" in addresses


def stripped(url: str) -> str:
    """Of its query what says which campaign brought somebody, its fragment if it is a route; no user, no password."""
    if _has_more_than_path(url):
        return _known(url) if len(url) <= URL_MAX else _stripped(url)
    return url


def _stripped(url: str) -> str:
    if user := _up_to_user(url):
        url = user[1] + url[user.end() :]
    url, _, fragment = url.partition("#")
    url = _with_kept_query(url)
    return f"{url}#{_with_kept_query(fragment)}" if fragment.startswith(_ROUTES) else url


_known = lru_cache(maxsize=CACHE_MAX_ENTRIES)(_stripped)


def _with_kept_query(url: str) -> str:
    path, _, query = url.partition("?")
    kept = "&".join(filter(is_kept, query.split("&")))
    return f"{path}?{kept}" if kept else path
