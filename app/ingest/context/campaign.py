"""What brought somebody to a page: by the campaign's parameters in its address, or by the page before."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from app.domain.context import Campaign, Channel
from app.ingest.context.parameters import CLICK_IDS, kept_parameters, readable
from app.ingest.context.sites import channel_of_site

CACHE_MAX_ENTRIES = 2_000  # pages, with two addresses each

# utm_medium, or utm_source where it stands for one, in small letters. As in the default channel groups of Google
# Analytics, whose words most links are written with.
_MEDIA = tuple(
    (channel, re.compile(pattern).fullmatch)
    for channel, pattern in (
        (Channel.EMAIL, "e[-_ ]?mail|newsletter"),
        (Channel.SMS, "sms"),
        (Channel.AFFILIATE, "affiliates?"),
        (Channel.DISPLAY, "display|banner|expandable|interstitial|cpm|programmatic"),
        (Channel.PAID_SOCIAL, "paid[-_ ]?social|social[-_ ]?(?:paid|ads?|cpc|ppc)"),
        (Channel.ORGANIC_SOCIAL, "social(?:[-_ ]?(?:network|media))?|sm"),
        (Channel.ORGANIC_SEARCH, "organic"),
        (Channel.REFERRAL, "referral|app|link"),
    )
)
_UTM = tuple(f"utm_{part}" for part in ("source", "medium", "campaign", "term", "content"))
UTM = frozenset(_UTM)
_NAMED_IN_SOURCE = frozenset({Channel.EMAIL, Channel.SMS, Channel.AFFILIATE})
_is_paid = re.compile(".*cp.*|ppc|sem|retargeting|remarketing|paid.*").fullmatch
_is_paid_click = re.compile("cpc|ppc|sem|.*search.*").fullmatch
_SOCIAL = frozenset({Channel.ORGANIC_SOCIAL, Channel.PAID_SOCIAL})


@lru_cache(maxsize=CACHE_MAX_ENTRIES)
def campaign_of(url: str | None, referrer: str | None, own_hosts: frozenset[str]) -> Campaign | None:
    """None when nothing brought anybody: no campaign, no click id, no page of others before.

    own_hosts: of the shop beside the page's own, see `host_of`. When a session begins with such an event, its channel
    is direct.
    """
    found = dict(kept_parameters(url)) if url and "?" in url else {}
    source, medium, campaign, term, content = utm = [found.get(name) for name in _UTM]
    click_id = next((name for name in CLICK_IDS if name in found), None)
    before = host_of(referrer)
    if before is not None and (before in own_hosts or before == host_of(url)):
        before = None
    if click_id is None and before is None and not any(utm):
        return None
    channel = _channel(source, medium, click_id, before)
    return Campaign(channel, source, medium, campaign, term, content, click_id)


def told_campaign(properties: Mapping[str, Any]) -> Campaign | None:
    """What a client says of the campaign itself, in properties utm_*, as servers' do that have no address of a page."""
    utm = [readable(told) if isinstance(told := properties.get(name), str) else None for name in _UTM]
    if not any(utm):
        return None
    return Campaign(_channel(utm[0], utm[1], None, None), *utm)


@lru_cache(maxsize=CACHE_MAX_ENTRIES)
def hosts_of(origins: frozenset[str] | None) -> frozenset[str]:
    """The hosts of a key's origins."""
    return frozenset(filter(None, map(host_of, origins or ())))


def host_of(url: str | None) -> str | None:
    """In small letters, without port and `www.`; None for what is no address of a page."""
    if not url:
        return None
    try:
        host = urlsplit(url).hostname
    except ValueError:  # such as half an IPv6 address
        return None
    return host.removeprefix("www.") if host else None


def _channel(source: str | None, medium: str | None, click_id: str | None, before: str | None) -> Channel:
    """What the shop says itself comes first, then the ad's mark, then the page before."""
    source, medium = (source or "").lower(), (medium or "").lower()
    if medium and (named := _of_medium(source, medium, click_id)):
        return named
    if (named := _named(source)) in _NAMED_IN_SOURCE:
        return named
    if click_id is not None:
        return CLICK_IDS[click_id]
    if source or medium:
        return channel_of_site(source) or Channel.OTHER
    if before is not None:
        return channel_of_site(before) or Channel.REFERRAL
    return Channel.OTHER


def _of_medium(source: str, medium: str, click_id: str | None) -> Channel | None:
    named = _named(medium)
    if named is not None or not _is_paid(medium):
        return named
    clicked = CLICK_IDS.get(click_id or "")
    if clicked in _SOCIAL or channel_of_site(source) is Channel.ORGANIC_SOCIAL:
        return Channel.PAID_SOCIAL
    if channel_of_site(source) is Channel.ORGANIC_SEARCH or _is_paid_click(medium):
        return Channel.PAID_SEARCH
    return clicked or Channel.OTHER


def _named(word: str) -> Channel | None:
    return next((channel for channel, is_one in _MEDIA if is_one(word)), None)
