"""Sites that are more than somebody's link: search engines, social networks, mail in the browser."""

import re

from app.domain.context import Channel

# By host, or by name alone as it stands in utm_source. An app is named by its package.
_ANY = r"(?:[\w-]+\.)*"  # of its hosts: `m.`, `l.`, `de.`
_NAMES = (
    (
        Channel.EMAIL,
        (
            r"mail\.(?:google|yahoo|yandex|ru|proton|aol|163|qq)",
            r"outlook\.(?:live|office|office365)",
            r"com\.google\.android\.gm",
        ),
    ),
    (
        Channel.ORGANIC_SEARCH,
        (
            r"(?:(?:images|encrypted|m)\.)?google",
            f"{_ANY}(?:bing|duckduckgo|ecosia|qwant|startpage|baidu|yandex|naver|seznam|sogou|kagi|swisscows|mojeek)",
            r"(?:[\w-]+\.)?search\.(?:yahoo|brave|aol|daum)",
            "yahoo|ya|ask|metager",
            r"com\.google\.android\.googlequicksearchbox",
        ),
    ),
    (
        Channel.ORGANIC_SOCIAL,
        (
            f"{_ANY}(?:facebook|instagram|linkedin|pinterest|reddit|twitter|youtube|tiktok|snapchat|threads|tumblr)",
            f"{_ANY}(?:whatsapp|vk|vkontakte|xing|weibo|quora|discord|nextdoor)",
            r"fb|ig|meta|x|t\.co|t\.me|bluesky|mastodon|telegram",
            r"(?:web\.)?telegram\.org|mastodon\.social|bsky\.app|fb\.me|lnkd\.in|youtu\.be",
            r"com\.(?:facebook|instagram|linkedin|pinterest|reddit|twitter)\.\w+",
        ),
    ),
)
_ENDING = r"(?:\.(?:com?|ne|net|org))?(?:\.[a-z]{2})?"
_SITES = tuple((channel, re.compile(f"(?:{'|'.join(names)}){_ENDING}").fullmatch) for channel, names in _NAMES)


def channel_of_site(name: str) -> Channel | None:
    """For what a link of this site is when nobody paid for it. name: a host or a name, in small letters."""
    name = name.removeprefix("www.")
    return next((channel for channel, is_one in _SITES if is_one(name)), None)
