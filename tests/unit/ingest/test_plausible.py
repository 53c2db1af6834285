"""Plausible's one-letter names, its keys, and that nothing is lost of what was recorded."""

import json
from typing import Any

import pytest

from app.domain.event import Event, Trust
from app.domain.outcome import RejectReason
from app.errors import Unreadable
from app.ingest.formats.base import IngestResult, RequestContext
from app.ingest.formats.plausible import EVENT_NAMES, PLAUSIBLE
from tests.documented import documented_words
from tests.events import NOW
from tests.recordings import recorded

CONTEXT = RequestContext(1, Trust.BROWSER, NOW, "text/plain", 1_000, cookieless_key=lambda: "day-ana")
PAGE = {"n": "pageview", "u": "https://shop.example/hats", "d": "shop.example"}


def decoded(**fields: object) -> Event:
    [event] = PLAUSIBLE.decode(json.dumps(PAGE | fields).encode(), CONTEXT).events
    return event


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"d": "shop.example"}, "shop.example"),
        ({"d": "www.shop.example"}, "shop.example"),
        ({"d": " shop.example , all.example"}, "shop.example"),
        ({"domain": "shop.example"}, "shop.example"),
        ({"u": "https://www.shop.example:8443/hats"}, "shop.example"),
        ({"u": "http://["}, None),
        ({"d": [], "u": 7}, None),
        ([], None),
    ],
)
def test_the_key_is_the_site(sent: object, key: str | None) -> None:
    assert PLAUSIBLE.key(json.dumps(sent).encode(), {}) == key


def test_nonsense_has_no_key_and_is_unreadable() -> None:
    assert PLAUSIBLE.key(b"nonsense", {}) is None
    with pytest.raises(Unreadable):
        PLAUSIBLE.decode(b"nonsense", CONTEXT)
    with pytest.raises(Unreadable):
        PLAUSIBLE.decode(b"[]", CONTEXT)


def test_the_visitor_is_that_of_the_request_also_out_of_quarantine() -> None:
    decoded = PLAUSIBLE.decode(json.dumps(PAGE).encode(), CONTEXT)

    [raw] = decoded.raws()

    [again] = PLAUSIBLE.decode(raw, RequestContext(1, Trust.BROWSER, NOW, "", 1_000)).events
    assert decoded.events[0].visitor_key == again.visitor_key == "day-ana"


def test_two_views_of_a_page_are_two_events() -> None:
    assert decoded().event_id != decoded().event_id


@pytest.mark.parametrize(
    ("percent", "ratio"), [(0, {"scroll_ratio": 0}), (80, {"scroll_ratio": 0.8}), (255, {}), ("deep", {})]
)
def test_depth_is_a_ratio_where_it_is_known(percent: object, ratio: dict[str, Any]) -> None:
    event = decoded(n="engagement", e=2_698, sd=percent)

    assert event.event_name == "page_engaged"
    assert event.properties == {"engaged_ms": 2_698, **ratio}


def test_revenue_is_the_value_of_the_event() -> None:
    event = decoded(n="Purchase", p={"order_id": "A-7"}, **{"$": {"amount": "49.90", "currency": "EUR"}})

    assert event.event_name == "order_completed"
    assert event.properties == {"order_id": "A-7", "value": 49.9, "currency": "EUR"}


def test_what_counts_for_no_visit_says_so() -> None:
    assert decoded(n="autoplay", i=False).properties == {"interactive": False}


@pytest.mark.parametrize("properties", ["nonsense", "7", 7, ["a"]])
def test_properties_that_are_no_object_are_refused(properties: object) -> None:
    [refused] = PLAUSIBLE.decode(json.dumps(PAGE | {"p": properties}).encode(), CONTEXT).rejections

    assert (refused.reason, refused.pointer) == (RejectReason.WRONG_TYPE, "/p")


def test_the_reply_is_what_plausible_says() -> None:
    reply = PLAUSIBLE.reply(IngestResult([], [], []), {})

    assert (reply.status, reply.content, reply.media_type) == (202, b"ok", "text/plain")


def test_the_documentation_shows_the_words() -> None:
    assert documented_words("plausible.md") == EVENT_NAMES


def test_nothing_is_lost_of_what_was_recorded() -> None:
    for request in recorded("plausible-browser.jsonl"):
        sent = json.loads(request.body)
        [event] = PLAUSIBLE.decode(request.body, request.context).events
        assert (event.url, event.referrer) == (sent["u"], sent.get("r"))
        revenue = sent.get("$", {})
        wanted = dict(sent.get("p", {}))
        wanted |= {"value": revenue["amount"], "currency": revenue["currency"]} if revenue else {}
        wanted |= {"engaged_ms": sent["e"], "scroll_ratio": sent["sd"] / 100} if "e" in sent else {}
        assert {name: str(value) for name, value in event.properties.items()} == {
            name: str(value) for name, value in wanted.items()
        }
