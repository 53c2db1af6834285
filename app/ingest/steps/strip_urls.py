"""Takes out of addresses what can name a person or open a door: queries, fragments, user and password."""

import re
from functools import lru_cache

from app.domain.event import Event
from app.ingest.context.parameters import is_kept
from app.ingest.formats.native_event import URL_MAX
from app.ingest.pipeline import Arrival, Fault

CACHE_MAX_ENTRIES = 4_000  # addresses; those of pages come again and again

# Properties that hold the address of a page, or its query with the question mark.
QUERY_PROPERTY = "search"
ADDRESS_PROPERTIES = frozenset({"url", "referrer", "link_url", QUERY_PROPERTY})
# A fragment that is a page of its own: `#/cart`, `#!/cart`.
_ROUTES = ("/", "!")
_up_to_user = re.compile("((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@").match


def strip_urls(event: Event, arrival: Arrival) -> Fault | None:
    del arrival
    if event.url is not None:
        event.url = stripped(event.url)
    if event.referrer is not None:
        event.referrer = stripped(event.referrer)
    properties = event.properties
    if not ADDRESS_PROPERTIES.isdisjoint(properties):
        for name in ADDRESS_PROPERTIES & properties.keys():
            value = properties[name]
            if isinstance(value, str) and (name != QUERY_PROPERTY or value.startswith("?")):
                properties[name] = stripped(value)
    return None


def stripped(url: str) -> str:
    """Of its query what says which campaign brought somebody, its fragment if it is a route; no user, no password."""
    if "?" in url or "#" in url or "@" in url:
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
