"""What Umami's tracker sends in our words, its keys and replies, and that nothing is lost of what was recorded."""

import json

import pytest

from app.domain.event import Event, Trust
from app.domain.outcome import Outcome, Rejection, RejectReason
from app.errors import Unreadable
from app.ingest.formats.base import IngestResult, RequestContext
from app.ingest.formats.umami import EVENT_NAMES, UMAMI
from tests.documented import documented_words
from tests.events import NOW
from tests.recordings import recorded

CONTEXT = RequestContext(1, Trust.BROWSER, NOW, "application/json", 1_000, cookieless_key=lambda: "day-ana")


def item(kind: str = "event", **payload: object) -> dict[str, object]:
    return {"type": kind, "payload": {"website": "hats", "hostname": "shop.example", "url": "/hats", **payload}}


def decoded(*items: object) -> list[Event]:
    return UMAMI.decode(json.dumps(items).encode(), CONTEXT).events


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (item(), "hats"),
        ([item(), item(website="others")], "hats"),
        ({"payload": []}, None),
        ([], None),
        (7, None),
    ],
)
def test_the_key_is_the_website(sent: object, key: str | None) -> None:
    assert UMAMI.key(json.dumps(sent).encode(), {}) == key


def test_nonsense_has_no_key_and_is_unreadable() -> None:
    assert UMAMI.key(b"nonsense", {}) is None
    with pytest.raises(Unreadable):
        UMAMI.decode(b"7", CONTEXT)


def test_an_event_without_a_name_is_a_page_view_and_one_of_another_kind_is_called_like_that() -> None:
    sent = [
        item(),
        item(name="add_to_cart"),
        item(name="menu opened"),
        item("performance"),
        {"payload": {"website": "w"}},
    ]

    assert [event.event_name for event in decoded(*sent)] == [
        "page_viewed",
        "product_added",
        "menu opened",
        "performance",
        "page_viewed",
    ]


def test_the_visitor_is_that_of_the_request_and_the_customer_the_one_who_is_named() -> None:
    before, login, after = decoded(item(), item("identify", id="c-7"), item(id="c-7"))

    people = [(event.visitor_key, event.customer_key) for event in (before, login, after)]
    assert people == [("day-ana", None), ("day-ana", "c-7"), ("day-ana", "c-7")]


def test_an_id_among_the_data_of_an_identify_names_the_customer_too() -> None:
    [event] = decoded(item("identify", data={"id": "c-7", "email": "ana@shop.example"}))

    assert event.customer_key == "c-7"
    assert event.properties == {"id": "c-7", "email": "[personal]"}


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("/hats?utm_source=news", "https://shop.example/hats?utm_source=news"),
        ("http://shop.example:8080/", "http://shop.example:8080/"),
        ("http://[", "http://["),
        ("", None),
    ],
)
def test_an_address_is_made_whole_with_the_host(url: str, whole: str | None) -> None:
    [event] = decoded(item(url=url, referrer=url))

    assert (event.url, event.referrer) == (whole, whole)


def test_a_server_may_say_when_it_was_and_from_which_device() -> None:
    [event] = decoded(item(timestamp=1_772_452_795, userAgent="Mozilla/5.0", language="de-AT", ip="192.0.2.1"))

    assert event.client_time is not None
    assert event.client_time.isoformat() == "2026-03-02T11:59:55+00:00"
    assert event.sender == ("Mozilla/5.0", "de-AT", None)
    assert event.properties == {}


def test_umami_s_own_form_of_an_order_is_ours() -> None:
    goods = [{"productId": "bag-1", "price": 20, "quantity": 2}, {"productId": "hat-2", "price": "4.90", "quantity": 1}]
    order = {"orderId": "A-7", "currency": "EUR", "shipping": 5, "tax": 0.1, "items": goods}

    [event] = decoded(item(name="purchase", data={"commerce": order, "gift": True}))

    assert event.event_name == "order_completed"
    assert event.properties == {
        "order_id": "A-7",
        "value": 50.0,
        "currency": "EUR",
        "shipping": 5,
        "tax": 0.1,
        "products": [
            {"product_id": "bag-1", "price": 20, "quantity": 2},
            {"product_id": "hat-2", "price": 4.9, "quantity": 1},
        ],
        "gift": True,
    }


@pytest.mark.parametrize("price", [10**400, 1e299, "1e299", "much", None, True])
def test_a_price_that_is_none_makes_no_value_of_an_order(price: object) -> None:
    order = {"tax": 0.5, "items": [{"price": price, "quantity": 2}, "odd"]}

    [event] = decoded(item(name="purchase", data={"commerce": order}))

    assert event.properties["value"] == 0.5


def test_the_reply_has_what_the_tracker_reads_and_what_is_read_of_a_batch() -> None:
    refused = Rejection(1, RejectReason.BAD_TIME, "/payload/timestamp", "", b"")

    reply = UMAMI.reply(IngestResult([Outcome.STORED, Outcome.REJECTED], [None, None], [refused]), {})

    assert reply.status == 200
    assert reply.content == {
        "cache": "footfall",
        "sessionId": "footfall",
        "visitId": "footfall",
        "size": 2,
        "processed": 1,
        "errors": 1,
        "details": [{"index": 1, "response": {"error": "bad_time"}}],
    }


def test_the_documentation_shows_the_words() -> None:
    assert documented_words("umami.md") == EVENT_NAMES


def test_nothing_is_lost_of_what_was_recorded() -> None:
    for request in recorded("umami-browser.jsonl"):
        sent = json.loads(request.body)
        payload = sent["payload"]
        [event] = UMAMI.decode(request.body, request.context).events
        assert (event.url, event.referrer or "") == (payload["url"], payload["referrer"])
        assert event.customer_key == payload.get("id")
        assert event.sender == (None, payload["language"], None)
        elsewhere = {"website", "hostname", "url", "referrer", "language", "id", "name", "data"}
        wanted = {name: value for name, value in payload.items() if name not in elsewhere} | payload.get("data", {})
        kept = event.properties | ({"email": "ada@example.com"} if sent["type"] == "identify" else {})
        assert wanted.items() <= kept.items()
