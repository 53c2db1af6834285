"""Which device an event came from, by the user agent and what goes with it.

Browser and system are known by the rules of ua-parser, which follow new browsers; its engine of regular expressions
takes 10 µs for whatever somebody makes up. What kind of device it is, the user agents of browsers say in few words.
"""

import re
from functools import lru_cache

from ua_parser import Parser
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

from app.domain.context import Device, DeviceType, Sender
from app.ingest.context.country import country_code
from app.ingest.context.language import language_of

USER_AGENT_MAX = 500  # characters that are looked at
CACHE_MAX_ENTRIES = 10_000  # about 1 kB each

# The first that is found decides. Android says `Mobile` on phones and not on tablets; an iPad that asks for pages of
# desktops can't be told from a Mac.
_TYPES = tuple(
    (device_type, re.compile(pattern).search)
    for device_type, pattern in (
        (DeviceType.BOT, "(?i:(?<!cu)bot|crawler|spider)"),
        (DeviceType.TV, r"\bTV\b|SmartTV|AppleTV|GoogleTV|AndroidTV|HbbTV|Web0S|NetCast|CrKey|BRAVIA|Roku|\bAFT[A-Z]"),
        (DeviceType.DESKTOP, "Windows NT|Macintosh|CrOS|X11"),
        (DeviceType.TABLET, r"iPad|Tablet|Kindle|PlayBook|\bKF[A-Z]{2}|\bSM-[TX]\d|^Mozilla.*Android(?!.*Mobile)"),
        (DeviceType.MOBILE, "Mobi|iPhone|iPod|Android|Windows Phone|BlackBerry|Opera Mini"),
    )
)

# Names that the rules give the same browser on another device, and names that nobody would look for.
_VARIANT = re.compile(r"\b(?:Mobile|iOS|WebView|UI/WKWebView)\b")
_SYSTEMS = {"Mac OS X": "macOS", "Mac OS": "macOS", "ATV OS X": "tvOS", "Web0S": "webOS"}
# Some rules take a name from the user agent, in which anything can stand.
_is_name = re.compile(r"\w[\w .+!-]{0,39}").fullmatch

# Without the rules for models of devices, which are most of all and of no use here.
_browsers, _systems, _ = load_builtins()
_parser = Parser(Resolver((_browsers, _systems, [])))


@lru_cache(maxsize=CACHE_MAX_ENTRIES)
def device_of(sender: Sender) -> Device | None:
    """None when nothing can be told."""
    device_type = browser = system = None
    if sender.user_agent:
        user_agent = sender.user_agent[:USER_AGENT_MAX].encode(errors="replace").decode()
        found = _parser.parse(user_agent)
        device_type = _type_of(user_agent)
        browser = _browser_name(found.user_agent.family) if found.user_agent else None
        system = _name(_SYSTEMS.get(found.os.family, found.os.family)) if found.os else None
    language = language_of(sender.language) if sender.language else None
    device = Device(device_type, browser, system, language, country_code(sender.country))
    return device if any(device) else None


def _type_of(user_agent: str) -> DeviceType:
    return next((device_type for device_type, is_in in _TYPES if is_in(user_agent)), DeviceType.OTHER)


def _browser_name(family: str) -> str | None:
    return _name(" ".join(_VARIANT.sub("", family).split()))


def _name(text: str) -> str | None:
    return text if _is_name(text) else None
