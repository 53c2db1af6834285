"""Marks what bots send: stored and kept apart, so that nothing is lost if the recognition errs."""

import functools
import re
from collections.abc import Iterable

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from app.domain.event import Event

USER_AGENT_MAX_BYTES = 500  # of what is looked at
CACHE_MAX_ENTRIES = 10_000  # different user agents, about 300 bytes each; looking one up anew takes half a millisecond

# Software without a person before it that the list has no pattern for: browsers steered by tests and audits.
_AUTOMATION = ("[Pp]uppeteer", "[Pp]laywright", "Cypress", "[Ll]ighthouse", "PTST", "jsdom", "HappyDOM")
# Apps and servers send through HTTP libraries on behalf of people.
_LIBRARY = "http-library"

_is_bot = re.compile(
    "|".join(
        [entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA if _LIBRARY not in entry.get("tags", ())]
        + list(_AUTOMATION)
    )
).search


@functools.lru_cache(maxsize=CACHE_MAX_ENTRIES)
def is_bot(user_agent: bytes) -> bool:
    """By the header User-Agent, itself not kept: crawlers, monitors, previews, headless and automated browsers."""
    return _is_bot(user_agent[:USER_AGENT_MAX_BYTES].decode("latin-1")) is not None


def mark_bot(events: Iterable[Event]) -> None:
    for event in events:
        event.is_bot = True
