"""What is known of the device that an event came from, and of what brought its person to the shop."""

from enum import StrEnum
from typing import NamedTuple


class Channel(StrEnum):
    """What kind of thing brought somebody (semantics, journey metrics)."""

    DIRECT = "direct"
    ORGANIC_SEARCH = "organic_search"
    PAID_SEARCH = "paid_search"
    ORGANIC_SOCIAL = "organic_social"
    PAID_SOCIAL = "paid_social"
    EMAIL = "email"
    AFFILIATE = "affiliate"
    REFERRAL = "referral"
    DISPLAY = "display"
    SMS = "sms"
    OTHER = "other"
    OFFLINE = "offline"  # a shop visit or a call, which only who sends it can know


class DeviceType(StrEnum):
    DESKTOP = "desktop"
    MOBILE = "mobile"
    TABLET = "tablet"
    TV = "tv"
    BOT = "bot"
    OTHER = "other"


class Sender(NamedTuple):
    """As it was said, by a request's headers or by an event itself; looked at once and then forgotten.

    language: one tag (`de-AT`), or several as in the header Accept-Language. country: two letters.
    """

    user_agent: str | None = None
    language: str | None = None
    country: str | None = None


class Device(NamedTuple):
    """browser, os: names without versions. language: of ISO 639 (`de`). country: of ISO 3166 (`DE`)."""

    device_type: DeviceType | None = None
    browser: str | None = None
    os: str | None = None
    language: str | None = None
    country: str | None = None


class Campaign(NamedTuple):
    """Of the page that somebody landed on. click_id: which kind of it was in the address, such as `gclid`."""

    channel: Channel
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    click_id: str | None = None
