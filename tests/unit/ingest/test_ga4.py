"""GA4's words in ours, keys and consent in its own places, ids from content, and nothing lost of what was recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import ga4_words
from app.domain.context import Sender
from app.domain.event import Event, Trust, canonical_event_id
from app.errors import TooLarge, Unreadable
from app.ingest.formats import ga4_collect
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.ga4 import GA4, GA4_VALIDATION
from app.ingest.formats.ga4_collect import GA4_COLLECT
from tests.events import NOW
from tests.recordings import recorded

DOCUMENTED = Path(__file__).parents[3] / "docs" / "clients" / "ga4.md"
SERVER = RequestContext(1, Trust.SERVER, NOW, "application/json", max_events=1_000)
TIME_US = 1_772_452_740_000_000  # 2026-03-02T11:59:00Z


def decoded(*events: object, **envelope: object) -> list[Event]:
    sent = {"client_id": "1.2", **envelope, "events": events}
    return GA4.decode(json.dumps(sent).encode(), SERVER).events


def collected(body: str = "", **query: str) -> Decoded:
    page = {"v": "2", "tid": "G-1", "cid": "1.2", "_p": "77", "_s": "1", **query}
    return GA4_COLLECT.decode(body.encode(), RequestContext(1, Trust.BROWSER, NOW, "", max_events=1_000, query=page))


def documented_words() -> set[tuple[str, str]]:
    rows = [line.split("|") for line in DOCUMENTED.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {(theirs.strip(" `"), row[2].strip(" `")) for row in rows for theirs in row[1].split(",")}


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ({"api_secret": "ff_server_x", "measurement_id": "G-1"}, "ff_server_x"),
        ({"api_secret": "ff_write_x"}, "ff_write_x"),
        ({"api_secret": "of Google", "measurement_id": "G-1"}, "G-1"),
        ({"api_secret": "of Google", "firebase_app_id": "1:2:web:3"}, "1:2:web:3"),
        ({"api_secret": "chosen"}, "chosen"),
        ({"measurement_id": "G-1"}, "G-1"),
        ({}, None),
    ],
)
def test_the_secret_is_the_key_if_we_made_it_and_else_the_measurement_id(
    query: dict[str, str], key: str | None
) -> None:
    assert GA4.key(b"", query) == key
    assert GA4_VALIDATION.key(b"", query) == key


def test_the_measurement_id_of_a_browser_is_its_key() -> None:
    assert GA4_COLLECT.key(b"", {"tid": "G-1"}) == "G-1"


# -- words -----------------------------------------------------------------------------------------------------------


def test_the_documentation_shows_the_words() -> None:
    tables = (
        ga4_words.EVENT_NAMES,
        ga4_words.PARAMETER_NAMES,
        ga4_words.PRODUCT_NAMES,
    )
    ours_of = {**ga4_words.PARAMETER_NAMES, **ga4_words.PRODUCT_NAMES}
    short = [
        (theirs, ours_of.get(longer, longer))
        for table in (ga4_collect.PARAMETER_NAMES, ga4_collect.ITEM_NAMES)
        for theirs, longer in table.items()
    ]

    assert {*short, *(pair for table in tables for pair in table.items())} <= documented_words()


def test_names_that_are_not_known_are_kept_up_to_a_hundred_characters() -> None:
    [known, unknown] = decoded({"name": "tea_quiz", "params": {"step": 2}}, {"name": "x" * 101})

    assert (known.event_name, known.properties) == ("tea_quiz", {"step": 2})
    assert unknown.event_name == "x" * 100


def test_amounts_that_were_sent_as_text_are_numbers() -> None:
    [event] = decoded({"name": "purchase", "params": {"transaction_id": 7, "value": "13.30", "tax": "none"}})

    assert event.properties == {"order_id": "7", "value": 13.3, "tax": "none"}


def test_the_time_of_engagement_is_a_number_though_googles_examples_send_text() -> None:
    [event] = decoded({"name": "page_view", "params": {"engagement_time_msec": "100"}})

    assert event.properties == {"engaged_ms": 100}


def test_app_instances_are_visitors_too() -> None:
    [event] = decoded({"name": "page_view"}, client_id=None, app_instance_id="f" * 32)

    assert event.visitor_key == "f" * 32


def test_what_the_envelope_says_of_the_person_is_said_of_each_event() -> None:
    first, second = decoded(
        {"name": "page_view"},
        {"name": "page_view"},
        user_properties={"level": {"value": "gold"}, "plain": 1},
        user_location={"country_id": "DE", "city": "Kiel"},
        device={"language": "de"},
        user_agent="Till/1",
    )

    said: dict[str, object] = {
        "device": {"language": "de"},
        "user_location": {"country_id": "DE", "city": "Kiel"},
        "user_properties": {"level": "gold", "plain": 1},
    }
    assert first.properties == second.properties == said
    assert first.sender == Sender("Till/1", "de", "DE")


# -- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("envelope", [{"timestamp_micros": TIME_US}, {"timestamp_micros": str(TIME_US)}])
def test_an_event_with_a_time_has_the_same_id_when_it_is_sent_again(envelope: dict[str, object]) -> None:
    [first], [again] = (decoded({"name": "view_item", "params": {"value": 1}}, **envelope) for _ in range(2))
    [other] = decoded({"name": "view_item", "params": {"value": 2}}, **envelope)

    assert first.event_id == again.event_id != other.event_id


def test_equal_events_of_one_request_are_told_apart() -> None:
    events = decoded(*[{"name": "add_to_cart"}] * 3, timestamp_micros=TIME_US)

    assert len({event.event_id for event in events}) == 3


def test_an_event_without_a_time_is_never_the_same_as_another_one() -> None:
    [first], [second] = (decoded({"name": "add_to_cart"}) for _ in range(2))

    assert first.event_id != second.event_id


def test_an_order_is_the_same_however_often_it_is_sent_and_a_refund_is_not() -> None:
    params = {"transaction_id": "8012", "value": 13.3}
    [order], [order_again] = (decoded({"name": "purchase", "params": params}) for _ in range(2))
    [refund], [second_refund] = (decoded({"name": "refund", "params": params}) for _ in range(2))

    assert order.event_id == order_again.event_id
    assert refund.event_id != second_refund.event_id


def test_an_id_of_the_shop_s_own_is_taken() -> None:
    [event] = decoded({"name": "refund", "event_id": "refund 9"})

    assert event.event_id == canonical_event_id("refund 9")


# -- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": 1}', b"client_id=1", b"[" * 500 + b"]" * 500])
def test_a_body_without_events_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        GA4.decode(body, SERVER)


@pytest.mark.parametrize("depth", [90, 110, 450, 900])
def test_no_depth_is_too_much(depth: int) -> None:
    body = b'{"client_id": "1", "timestamp_micros": 1, "events": [{"name": "a", "params": {"b": %s}}]}'
    try:
        taken = GA4.decode(body % (b"[" * depth + b"]" * depth), SERVER)
    except Unreadable:
        assert depth > 90
    else:
        assert [rejection.reason for rejection in taken.rejections] == ["too_deep"]


# -- validation ------------------------------------------------------------------------------------------------------


def found_wrong(**envelope: object) -> list[dict[str, str]]:
    looked = GA4_VALIDATION.decode(json.dumps(envelope).encode(), SERVER)
    assert looked.received_count == 0
    return list(looked.for_reply)


def test_validation_says_what_is_wrong_and_receives_nothing() -> None:
    good: dict[str, object] = {"name": "page_view"}
    nameless: dict[str, object] = {"params": {}}
    future = {"name": "page_view", "timestamp_micros": TIME_US + 3 * 86_400_000_000}

    messages = found_wrong(client_id="1.2", events=[good, nameless, future])

    assert [(m["fieldPath"], m["validationCode"], m["reason"]) for m in messages] == [
        ("events.name", "VALUE_REQUIRED", "missing_field"),
        ("timestamp_micros", "VALUE_INVALID", "future_time"),
    ]
    assert messages[0]["description"] == "Event at index: [1]. Give the event a name."


def test_validation_finds_nothing_wrong_with_what_would_be_stored() -> None:
    assert found_wrong(client_id="1.2", events=[{"name": "page_view"}]) == []


def test_validation_answers_a_body_that_can_t_be_read() -> None:
    [message] = found_wrong(client_id="1.2")

    assert message["description"] == "Send an object with `client_id` and `events`, an array."


# -- browsers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gcs", "stored_count"),
    [("G111", 1), ("G101", 1), ("G110", 0), ("G100", 0), ("G1--", 1), ("G1", 1), ("", 1), ("nonsense", 1)],
)
def test_an_event_is_kept_unless_analytics_is_denied(gcs: str, stored_count: int) -> None:
    taken = collected(en="page_view", gcs=gcs)

    assert (len(taken.events), len(taken.no_consent)) == (stored_count, 1 - stored_count)


def test_lines_of_the_body_are_events_that_share_the_query() -> None:
    taken = collected("en=page_view&dt=Teas\r\nen=scroll&epn.percent_scrolled=90\r\n", dl="https://tea.example/")

    assert [(e.event_name, e.url, e.properties) for e in taken.events] == [
        ("page_viewed", "https://tea.example/", {"title": "Teas"}),
        ("scroll", "https://tea.example/", {"percent_scrolled": 90}),
    ]


def test_a_product_is_written_in_short_names_with_tildes_between() -> None:
    [event] = collected("en=view_item&pr1=idA-1~nmHalf~~full~pr4.2~qt2~lp0~vaBlue~k0size~v0XL~xxnew&pr2=idB-2").events

    assert event.properties["products"] == [
        {
            "size": "XL",
            "product_id": "A-1",
            "name": "Half~full",
            "price": 4.2,
            "quantity": 2,
            "position": 0,
            "variant": "Blue",
            "xx": "new",
        },
        {"product_id": "B-2"},
    ]


def test_the_script_s_bookkeeping_is_left_out_and_what_is_unknown_is_kept() -> None:
    [event] = collected(
        en="page_view", gtm="45je", seg="1", _fv="1", uap="Linux", em="tv.1~em.h", **{"sst.rnd": "1"}, xp="kept"
    ).events

    assert event.properties == {"xp": "kept"}


def test_a_hit_has_the_same_id_when_it_is_sent_again_and_none_without_its_number() -> None:
    [first], [again] = (collected(en="page_view").events for _ in range(2))
    [later] = collected(en="page_view", _s="2").events
    [loose], [loose_again] = (collected(en="page_view", _s="").events for _ in range(2))

    assert first.event_id == again.event_id != later.event_id
    assert loose.event_id != loose_again.event_id


def test_a_browser_without_an_id_gets_a_key_for_the_day_that_quarantine_keeps() -> None:
    query = {"tid": "G-1", "en": "page_view"}
    context = RequestContext(1, Trust.BROWSER, NOW, "", max_events=1, query=query, cookieless_key=lambda: "day-1")
    taken = GA4_COLLECT.decode(b"", context)
    [again] = GA4_COLLECT.decode(taken.raws()[0], SERVER).events

    assert taken.events[0].visitor_key == again.visitor_key == "day-1"


def test_a_request_without_any_parameter_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        GA4_COLLECT.decode(b"", RequestContext(1, Trust.BROWSER, NOW, "", max_events=1))


def test_a_query_that_every_line_would_repeat_is_bounded() -> None:
    with pytest.raises(Unreadable, match="send at most 500"):
        collected("en=a", **{f"ep.{number}": "1" for number in range(500)})


def test_a_line_of_more_parameters_than_the_script_sends_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="more than 500 parameters"):
        collected("&".join(f"ep.{number}=1" for number in range(501)))


def test_what_all_events_repeat_may_not_make_gigabytes_of_a_request() -> None:
    with pytest.raises(TooLarge, match="4194 bytes at most"):
        decoded(*[{"name": "a"}] * 1_000, user_properties={"long": "x" * 4_200})
    with pytest.raises(TooLarge, match="4194 bytes at most"):
        collected("en=a\n" * 1_000, **{"ep.long": "x" * 4_200})
    assert len(decoded(*[{"name": "a"}] * 1_000, user_properties={"long": "x" * 4_000})) == 1_000


def test_more_lines_than_allowed_are_refused_before_they_are_taken_apart() -> None:
    with pytest.raises(TooLarge):
        collected("en=a\n" * 1_001)


# -- what a real client sent -----------------------------------------------------------------------------------------


def leaves(value: Any) -> list[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if children is None else [leaf for child in children for leaf in leaves(child)]


def test_nothing_is_lost_of_what_was_recorded() -> None:
    for request in recorded("ga4-measurement-protocol.jsonl"):
        sent = json.loads(request.body)
        events = GA4.decode(request.body, request.context).events

        assert len(events) == len(sent["events"])
        for event, theirs in zip(events, sent["events"], strict=True):
            kept = [*leaves(event.properties), event.url]
            assert event.visitor_key == sent["client_id"]
            assert [leaf for leaf in leaves(theirs["params"]) if leaf not in kept] == []


def test_the_recorded_journey_has_its_stages_and_its_order() -> None:
    events = [e for r in recorded("ga4-measurement-protocol.jsonl") for e in GA4.decode(r.body, r.context).events]

    assert [event.event_name for event in events] == [
        "page_viewed",
        "product_viewed",
        "product_added",
        "checkout_started",
        "order_completed",
        "order_completed",
    ]
    assert [(e.properties["order_id"], e.properties["value"]) for e in events[-2:]] == [
        ("ORD-2026-000123", 133.72),
        ("ORD-2026-000122", 10.0),
    ]
