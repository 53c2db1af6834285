"""A guest's order names nobody, and is kept: as a visitor of its own, unless there is a browser to tell apart."""

import json
from dataclasses import replace

import pytest

from app.domain.event import Trust
from app.domain.outcome import RejectReason
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.native import NATIVE
from tests.events import NOW, sent

SERVERS = [Trust.SERVER, Trust.SIGNED, Trust.IMPORT]
SERVER = RequestContext(1, Trust.SERVER, NOW, "application/json", max_events=10)


def decoded(context: RequestContext, event: str, properties: object) -> Decoded:
    body = json.dumps(sent(event, visitor_id=None, properties=properties)).encode()
    return NATIVE.decode(body, context)


@pytest.mark.parametrize("trust", SERVERS)
@pytest.mark.parametrize("event", ["order_completed", "order_refunded"])
def test_a_servers_order_of_nobody_is_its_own_visitors(trust: Trust, event: str) -> None:
    [kept] = decoded(replace(SERVER, trust=trust), event, {"order_id": "A-17", "value": 50}).events
    assert (kept.visitor_key, kept.customer_key) == ("order:A-17", None)


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ("order_completed", {}),
        ("order_completed", None),
        ("order_completed", {"order_id": ""}),
        ("order_completed", {"order_id": ["A-17"]}),
        ("product_viewed", {"order_id": "A-17"}),
    ],
)
def test_what_is_no_order_or_has_no_id_is_nobodys(event: str, properties: object) -> None:
    [refused] = decoded(SERVER, event, properties).rejections
    assert (refused.reason, refused.pointer) == (RejectReason.NO_PERSON, "/visitor_id")


def test_a_pages_order_is_the_visitors_of_that_day() -> None:
    browser = replace(SERVER, trust=Trust.BROWSER, cookieless_key=lambda: "of the day")
    [kept] = decoded(browser, "order_completed", {"order_id": "A-17"}).events
    assert kept.visitor_key == "of the day"


def test_a_pages_order_is_refused_where_visitors_of_the_day_are_not_known() -> None:
    [refused] = decoded(replace(SERVER, trust=Trust.BROWSER), "order_completed", {"order_id": "A-17"}).rejections
    assert refused.reason is RejectReason.NO_PERSON


def test_an_order_id_that_cannot_be_stored_is_told_by_its_place() -> None:
    [refused] = decoded(SERVER, "order_completed", {"order_id": "\0"}).rejections
    assert (refused.reason, refused.pointer) == (RejectReason.NUL_CHARACTER, "/properties")
