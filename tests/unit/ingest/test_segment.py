"""Segment's words in ours, keys in the body, and nothing lost of what its clients were recorded to send."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.event import Event, Trust, canonical_event_id
from app.domain.stages import DEFAULT_STAGES
from app.errors import TooLarge
from app.ingest.formats.base import RequestContext
from app.ingest.formats.personal import PERSONAL, PERSONAL_TRAITS
from app.ingest.formats.segment import SEGMENT
from app.ingest.formats.segment_event import EVENT_NAME_OF_TYPE
from app.ingest.formats.segment_words import EVENT_NAMES, PROPERTY_NAMES, native_name, native_properties
from tests.events import NOW
from tests.recordings import recorded

DOCS = Path(__file__).parents[3] / "docs"
DOCUMENTED, OUR_WORDS = DOCS / "clients" / "segment.md", DOCS / "events.md"
BATCH = RequestContext(1, Trust.BROWSER, NOW, "application/json", 1_000, path="/v1/batch")


def decoded(*items: object, context: RequestContext = BATCH) -> list[Event]:
    return SEGMENT.decode(json.dumps({"batch": items}).encode(), context).events


def track(**fields: object) -> dict[str, object]:
    return {"type": "track", "event": "Product Viewed", "anonymousId": "ana", **fields}


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "ours"),
    [
        ("Product Added", "product_added"),
        ("product added", "product_added"),
        ("Added Product", "product_added"),
        ("product-added", "product_added"),
        ("product_added", "product_added"),
        ("Coupon Denied", "Coupon Denied"),
        ("x" * 101, "x" * 100),
    ],
)
def test_a_name_is_known_in_any_spelling_and_kept_where_it_is_not_known(sent: str, ours: str) -> None:
    assert native_name(sent) == ours


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ({"total": 84.7, "revenue": 79.8, "value": 79.8}, 84.7),
        ({"revenue": "79.80", "value": 70}, 79.8),
        ({"value": 70}, 70),
        ({"total": "much", "revenue": 79.8}, 79.8),
    ],
)
def test_the_value_of_an_order_is_what_the_customer_pays_in_all(sent: dict[str, object], value: float) -> None:
    assert native_properties("order_completed", sent)["value"] == value


def test_a_value_that_says_something_else_is_kept_beside() -> None:
    assert native_properties("order_completed", {"total": 84.7, "value": 79.8}) == {
        "value": 84.7,
        "value_as_sent": 79.8,
    }


def test_elsewhere_a_total_counts_what_it_likes() -> None:
    assert native_properties("product_searched", {"query": "bag", "total": 37}) == {"query": "bag", "total": 37}


def test_a_refund_is_positive_whatever_sign_it_was_sent_with() -> None:
    assert native_properties("order_refunded", {"order_id": "A-7", "total": -20.5}) == {
        "order_id": "A-7",
        "value": 20.5,
    }


def test_a_name_of_ours_goes_before_one_that_means_it() -> None:
    assert native_properties("product_viewed", {"productId": "old", "product_id": "new"}) == {
        "productId": "old",
        "product_id": "new",
    }


def test_the_documentation_shows_the_words() -> None:
    lines = DOCUMENTED.read_text(encoding="utf-8").splitlines()
    rows = [line.split("|")[1:3] for line in lines if line.startswith("| `")]
    documented = {theirs.strip(" `"): ours.strip(" `") for names, ours in rows for theirs in names.split(",")}

    assert documented == {**EVENT_NAMES, **PROPERTY_NAMES}


def test_the_documentation_of_our_words_has_all_that_segment_s_become() -> None:
    documented = set(re.findall(r"`(\w+)`", OUR_WORDS.read_text(encoding="utf-8")))

    assert {*EVENT_NAMES.values(), *EVENT_NAME_OF_TYPE.values(), *PROPERTY_NAMES.values()} <= documented
    assert {rule.event_name for stage in DEFAULT_STAGES for rule in stage.rules} <= documented


# -- events ----------------------------------------------------------------------------------------------------------


def test_an_event_without_an_id_gets_one_from_its_content_that_a_retry_has_too() -> None:
    at = {"timestamp": "2026-03-02T11:59:00Z"}

    [first] = decoded(track(**at, sentAt="2026-03-02T11:59:01Z"))
    [again] = decoded(track(**at, sentAt="2026-03-02T11:59:09Z", _metadata={"retryCount": 1}))
    [other] = decoded(track(**at, properties={"product_id": "bag-1"}))

    assert first.event_id == again.event_id
    assert other.event_id != first.event_id


def test_equal_events_of_a_batch_without_ids_are_two() -> None:
    at = {"timestamp": "2026-03-02T11:59:00Z"}

    first, second = decoded(track(**at), track(**at))

    assert first.event_id != second.event_id


def test_events_without_id_and_time_are_never_the_same() -> None:
    [first], [again] = decoded(track()), decoded(track())

    assert first.event_id != again.event_id


def test_what_names_a_customer_is_not_kept_in_any_spelling() -> None:
    traits = {"firstName": "Ana", "last_name": "Lund", "Date of birth": "1990-01-01", "address": {"city": "Kiel"}}

    [event] = decoded({"type": "identify", "userId": "c-1", "traits": traits})

    assert event.properties == {
        "firstName": PERSONAL,
        "last_name": PERSONAL,
        "Date of birth": PERSONAL,
        "address": PERSONAL,
    }


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/api/s/track", "/api/s/s2s/track"])
def test_the_address_says_what_an_event_is_that_does_not_say_it_itself(path: str) -> None:
    context = RequestContext(1, Trust.BROWSER, NOW, "", 1_000, path=path)

    [event] = SEGMENT.decode(b'{"event": "Cart Viewed", "anonymousId": "ana"}', context).events

    assert event.event_name == "cart_viewed"


def test_the_account_of_an_event_stands_beside_its_type_or_in_its_context() -> None:
    events = decoded(track(groupId="acme"), track(context={"groupId": "acme"}), track(context={"groupId": None}))

    assert [event.account_key for event in events] == ["acme", "acme", None]


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        ("2026-03-02T12:59:00.5+01:00", "2026-03-02T11:59:00.500000+00:00"),
        ("2026-03-02T11:59:00+0000", "2026-03-02T11:59:00+00:00"),
        ("2026-03-02 11:59:00", "2026-03-02T11:59:00+00:00"),
        ("2026-03-02T11:59", "2026-03-02T11:59:00+00:00"),
        ("2026-03-02", "2026-03-02T00:00:00+00:00"),
    ],
)
def test_a_time_is_what_iso_8601_has_for_one(timestamp: str, time: str) -> None:
    [event] = decoded(track(timestamp=timestamp))

    assert event.client_time is not None
    assert event.client_time.isoformat() == time


@pytest.mark.parametrize("timestamp", ["1772452740", "1601011200123", "Mon, 02 Mar 2026 11:59:00 GMT", "2026-02-30"])
def test_a_time_that_has_to_be_guessed_is_refused(timestamp: str) -> None:
    body = json.dumps({"batch": [track(timestamp=timestamp)]}).encode()

    assert [rejection.reason for rejection in SEGMENT.decode(body, BATCH).rejections] == ["bad_time"]


def test_an_alias_of_a_customer_with_itself_stays_with_the_browser() -> None:
    [event] = decoded({"type": "alias", "userId": "c-1", "previousId": "c-1", "anonymousId": "ana"})

    assert (event.visitor_key, event.customer_key) == ("ana", "c-1")


def test_what_all_events_repeat_may_not_make_gigabytes_of_a_request() -> None:
    body = {"context": {"long": "x" * 4_200}, "batch": [{}] * 1_000}

    with pytest.raises(TooLarge, match="4194 bytes at most"):
        SEGMENT.decode(json.dumps(body).encode(), BATCH)


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"writeKey": "ff_write_1", "batch": []}', "ff_write_1"),
        (b'{"writeKey": "shop:***"}', None),
        (b'{"writeKey": 7}', None),
        (b"[]", None),
        (b"nonsense", None),
    ],
)
def test_the_key_of_a_body_is_taken_unless_it_is_masked(body: bytes, key: str | None) -> None:
    assert SEGMENT.key(body, {}) == key


# -- what real clients sent ------------------------------------------------------------------------------------------


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from leaves(child)
    elif value not in (None, ""):
        yield value


def sent_items(body: bytes) -> list[dict[str, Any]]:
    sent = json.loads(body)
    return list(sent["batch"]) if "batch" in sent else [sent]


def lost_of(item: dict[str, Any], event: Event) -> list[object]:
    """Values of properties and traits that are nowhere in the event; texts of its addresses count too."""
    traits = {name: value for name, value in item.get("traits", {}).items() if name.lower() not in PERSONAL_TRAITS}
    kept = set(leaves(event.properties))
    addresses = f"{event.url} {event.referrer}"
    return [
        value
        for value in leaves([item.get("properties"), traits, item.get("name")])
        if value not in kept and str(value) not in addresses
    ]


@pytest.mark.parametrize("file_name", ["segment-browser.jsonl", "segment-node.jsonl"])
def test_nothing_is_lost_of_what_was_recorded(file_name: str) -> None:
    for request in recorded(file_name):
        events = SEGMENT.decode(request.body, request.context).events
        for item, event in zip(sent_items(request.body), events, strict=True):
            assert event.event_id == canonical_event_id(item["messageId"])
            assert event.visitor_key == (item.get("previousId") or item.get("anonymousId"))
            assert event.customer_key == item.get("userId")
            assert event.account_key == item.get("groupId")
            assert event.client_time is not None
            assert event.client_time.isoformat(timespec="milliseconds") == item["timestamp"].replace("Z", "+00:00")
            assert lost_of(item, event) == []


def test_the_recorded_journey_of_a_browser_is_told_in_our_words() -> None:
    journey = [
        event.event_name
        for request in recorded("segment-browser.jsonl")
        if request.scenario == "default"
        for event in SEGMENT.decode(request.body, request.context).events
    ]

    assert journey == [
        "page_viewed",
        "page_viewed",
        "product_viewed",
        "product_added",
        "product_added",
        "page_viewed",
        "cart_viewed",
        "page_viewed",
        "customer_identified",
        "checkout_started",
        "page_viewed",
        "order_completed",
    ]
