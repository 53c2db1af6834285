"""Dimensions: what is known of every event beside its properties, for conditions and breakdowns under a fixed name."""

from dataclasses import dataclass

from app.domain.context import Campaign, Channel, Device
from app.domain.event import Trust
from app.errors import Invalid
from app.storage.copy_rows import TRUST_CODES

# The parts of a URL (RFC 3986), which can be any text that a sender wrote. Without `//` there is no host. Regular
# expressions of several groups, or of one that can match in two ways, take ten times as long: so one after the other.
_UP_TO_HOST = "(?:[A-Za-z][A-Za-z0-9+.-]*:)?//"
_HOST = r"(?:\[[^\]]*\]|[^:]*)"


@dataclass(frozen=True, slots=True)
class Dimension:
    """sql: of columns of the mirror's event table, a text; NULL when the event has none."""

    name: str
    sql: str


def _host(column: str) -> str:
    """In lower case, without user and port."""
    authority = f"regexp_extract({column}, '^{_UP_TO_HOST}([^/?#]*)', 1)"
    return f"nullif(lower(regexp_extract(split_part({authority}, '@', -1), '^{_HOST}')), '')"


def _path(column: str) -> str:
    """Without query and fragment. A URL that ends with its host means the path `/`."""
    start = f"regexp_extract({column}, '^[^?#]*')"
    path = f"nullif(regexp_replace({start}, '^{_UP_TO_HOST}[^/]*', ''), '')"
    return f"coalesce({path}, CASE WHEN {start} <> '' THEN '/' END)"


def _of(context: str, column: str) -> str:
    """What is kept once for many events, see storage/contexts.py."""
    return f"(SELECT {column} FROM {context} WHERE {context}.{context}_id = event.{context}_id)"  # noqa: S608  # our words


# Whoever is on a page that nothing is known to have brought him to came by himself. Of a server's event without a page
# nothing is known at all.
_IS_PAGE = f"trust = {TRUST_CODES[Trust.BROWSER]} OR url IS NOT NULL"
_CHANNEL = f"coalesce({_of('campaign_context', 'channel')}, CASE WHEN {_IS_PAGE} THEN '{Channel.DIRECT}' END)"

_TRUST = " ".join(f"WHEN {code} THEN '{trust}'" for trust, code in TRUST_CODES.items())

DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("page_path", _path("url")),
    Dimension("page_host", _host("url")),
    Dimension("referrer_host", _host("referrer")),
    Dimension("url", "url"),
    Dimension("referrer", "referrer"),
    Dimension("event", "(SELECT name FROM event_name WHERE event_name.name_id = event.name_id)"),
    Dimension("trust", f"CASE trust {_TRUST} END"),
    *(Dimension(name, _of("device_context", name)) for name in Device._fields),
    Dimension("channel", _CHANNEL),
    *(Dimension(name, _of("campaign_context", name)) for name in Campaign._fields if name != "channel"),
)


def find_dimension(name: str) -> Dimension:
    """Raises Invalid when there is none of that name."""
    for dimension in DIMENSIONS:
        if dimension.name == name:
            return dimension
    known = ", ".join(dimension.name for dimension in DIMENSIONS)
    raise Invalid(f"There is no dimension {name!r}; there are {known}.")
