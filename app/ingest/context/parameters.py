"""The parameters of an address that say what brought somebody: the only ones of its query that are kept."""

from collections.abc import Iterator
from urllib.parse import unquote_plus

from app.domain.context import Channel

# In the order in which they count, when there are several. Facebook adds its own to every link, also to those that
# nobody paid for; `utm_medium` tells them apart.
CLICK_IDS: dict[str, Channel] = {
    "gclid": Channel.PAID_SEARCH,
    "gbraid": Channel.PAID_SEARCH,
    "wbraid": Channel.PAID_SEARCH,
    "msclkid": Channel.PAID_SEARCH,
    "yclid": Channel.PAID_SEARCH,
    "dclid": Channel.DISPLAY,
    "ttclid": Channel.PAID_SOCIAL,
    "twclid": Channel.PAID_SOCIAL,
    "li_fat_id": Channel.PAID_SOCIAL,
    "sccid": Channel.PAID_SOCIAL,  # Snapchat
    "epik": Channel.PAID_SOCIAL,  # Pinterest
    "rdt_cid": Channel.PAID_SOCIAL,  # Reddit
    "irclickid": Channel.AFFILIATE,  # Impact
    "awc": Channel.AFFILIATE,  # Awin
    "cjevent": Channel.AFFILIATE,  # Commission Junction
    "fbclid": Channel.ORGANIC_SOCIAL,
}

# How links are marked that were made for Matomo. Not by prefix: `pk_vid` names a visitor.
MATOMO_NAMES: dict[str, str] = {
    f"{prefix}_{word}": f"utm_{'term' if word in ('keyword', 'kwd') else word}"
    for prefix in ("mtm", "pk")
    for word in ("source", "medium", "campaign", "content", "keyword", "kwd")
}

VALUE_MAX = 100  # characters: five of them have to fit into an index entry


def is_kept(parameter: str) -> bool:
    """Of a query's `name=value`."""
    name = parameter.partition("=")[0].lower()
    return name.startswith("utm_") or name in CLICK_IDS or name in MATOMO_NAMES


def kept_parameters(url: str) -> Iterator[tuple[str, str]]:
    """Names in small letters, as `utm_` has them, and values, as far as they are not empty."""
    query = url.partition("?")[2].partition("#")[0]
    for parameter in filter(is_kept, query.split("&")):
        name, _, encoded = parameter.partition("=")
        value = readable(unquote_plus(encoded))
        if value:
            yield MATOMO_NAMES.get(name.lower(), name.lower()), value


def readable(text: str) -> str:
    """Without control characters, which a database may not take, and not too long."""
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text[:VALUE_MAX].strip()
