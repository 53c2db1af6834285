"""Whom a PostHog event names, its times, keys and replies, and that nothing is lost of what was recorded."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from app.domain.event import Event, Trust, canonical_event_id
from app.domain.outcome import Outcome, Rejection, RejectReason
from app.errors import Unreadable
from app.ingest.formats.base import IngestResult, RequestContext
from app.ingest.formats.posthog import POSTHOG
from app.ingest.formats.posthog_event import EVENT_NAMES
from app.ingest.formats.posthog_stubs import STUBS
from tests.documented import documented_words
from tests.events import NOW
from tests.recordings import recorded

DEVICE = "019caa10-1111-7000-8000-0000000000aa"  # what the browser SDK makes up: a UUIDv7
AFTER_RESET = "019caa10-1111-7000-8000-0000000000bb"


def context(**query: str) -> RequestContext:
    return RequestContext(1, Trust.SERVER, NOW, "", 1_000, path="/batch/", query=query)


def event(name: str, distinct_id: object, /, **properties: object) -> dict[str, Any]:
    return {"event": name, "distinct_id": distinct_id, "properties": properties}


def view(distinct_id: object = "c-7", /, **properties: object) -> dict[str, Any]:
    return event("Product Viewed", distinct_id, **properties)


def decoded(*items: object, **query: str) -> list[Event]:
    return POSTHOG.decode(json.dumps({"api_key": "k", "batch": items}).encode(), context(**query)).events


def people(*items: object) -> list[tuple[str | None, str | None]]:
    """Visitor and customer of each event."""
    return [(each.visitor_key, each.customer_key) for each in decoded(*items)]


# -- browsers --------------------------------------------------------------------------------------------------------


def test_before_login_the_id_is_a_visitor() -> None:
    assert people(view(DEVICE, **{"$device_id": DEVICE})) == [(DEVICE, None)]


def test_after_login_the_id_is_a_customer_on_the_same_device() -> None:
    assert people(view(**{"$device_id": DEVICE, "$is_identified": True})) == [(DEVICE, "c-7")]
    assert people(view(**{"$device_id": DEVICE})) == [(DEVICE, "c-7")]


def test_login_links_the_visitor_with_the_customer() -> None:
    login = event(
        "$identify", "c-7", **{"$anon_distinct_id": AFTER_RESET, "$device_id": DEVICE, "$is_identified": True}
    )

    assert people(login) == [(AFTER_RESET, "c-7")]
    assert [each.event_name for each in decoded(login)] == ["customer_identified"]


def test_after_logout_the_device_has_another_visitor() -> None:
    logged_out = view(AFTER_RESET, **{"$device_id": DEVICE, "$is_identified": False})

    assert people(logged_out) == [(AFTER_RESET, None)]


def test_a_browser_that_keeps_no_id_gets_the_visitor_of_its_request() -> None:
    body = json.dumps(view("$posthog_cookieless", **{"$cookieless_mode": True})).encode()
    of_browser = RequestContext(1, Trust.BROWSER, NOW, "", 1_000, cookieless_key=lambda: "day-ana")

    [found] = POSTHOG.decode(body, of_browser).events
    [refused] = POSTHOG.decode(body, context()).rejections

    assert (found.visitor_key, found.customer_key) == ("day-ana", None)
    assert refused.reason is RejectReason.NO_PERSON


# -- servers ---------------------------------------------------------------------------------------------------------


def test_what_a_server_names_is_a_customer() -> None:
    assert people(view("c-7"), view(12)) == [(None, "c-7"), (None, "12")]


@pytest.mark.parametrize(
    "made_up",
    [DEVICE, "17d3a1b2c3d4e5-0123456789abc-1a2b3c4d-13c680-17d3a1b2c3d4f6", "anon-1f0c", "guest:4", "Visitor_12"],
)
def test_an_id_that_somebody_made_up_is_a_visitor(made_up: str) -> None:
    assert people(view(made_up)) == [(made_up, None)]


def test_a_server_can_say_which_it_is() -> None:
    assert people(view(DEVICE, **{"$is_identified": True})) == [(None, DEVICE)]
    assert people(view("c-7", **{"$process_person_profile": False})) == [("c-7", None)]
    assert people(view("c-7") | {"options": {"process_person_profile": False}}) == [("c-7", None)]


def test_what_a_body_links_with_a_customer_is_a_visitor_in_all_of_it() -> None:
    login = event("$identify", "c-7", **{"$anon_distinct_id": "basket-9"})

    assert people(view("basket-9"), login, view("c-7")) == [
        ("basket-9", None),
        ("basket-9", "c-7"),
        (None, "c-7"),
    ]


def test_what_only_the_rest_of_the_body_tells_is_kept_with_a_refused_view() -> None:
    login = event("$identify", "c-7", **{"$anon_distinct_id": "basket-9"})
    body = json.dumps([view("basket-9"), login]).encode()

    raw, _ = POSTHOG.decode(body, context()).raws()

    [alone] = POSTHOG.decode(raw, context()).events
    assert (alone.visitor_key, alone.customer_key) == ("basket-9", None)


@pytest.mark.parametrize(("distinct_id", "alias"), [("c-7", "guest-4"), ("guest-4", "c-7")])
def test_an_alias_links_the_same_two_whichever_way_it_is_told(distinct_id: str, alias: str) -> None:
    assert people(event("$create_alias", distinct_id, alias=alias)) == [("guest-4", "c-7")]


def test_where_no_id_of_an_alias_looks_made_up_the_library_tells_which_is_the_old_one() -> None:
    python, node = (
        event("$create_alias", "a1", alias="b2", **{"$lib": lib}) for lib in ("posthog-python", "posthog-node")
    )

    assert people(python) == [("a1", "b2")]
    assert people(node) == [("b2", "a1")]


def test_a_company_is_the_account() -> None:
    [found] = decoded(view(**{"$groups": {"team": "blue", "company": "hats-ltd"}}))
    [other] = decoded(view(**{"$groups": {"team": "blue"}}))

    assert (found.account_key, other.account_key) == ("hats-ltd", "blue")


def test_describing_a_group_makes_no_customer() -> None:
    group = event("$groupidentify", "$company_hats-ltd", **{"$group_type": "company", "$group_key": "hats-ltd"})

    [found] = decoded(group)

    assert (found.event_name, found.account_key, found.customer_key) == ("account_joined", "hats-ltd", None)


# -- ids and times ---------------------------------------------------------------------------------------------------


def test_the_id_is_the_uuid_else_the_insert_id() -> None:
    first, second = decoded(view(**{"$insert_id": "k8"}) | {"uuid": DEVICE}, view(**{"$insert_id": "k8"}))

    assert (first.event_id, second.event_id) == (DEVICE, canonical_event_id("k8"))


def test_without_both_it_follows_from_the_content_if_that_has_a_time() -> None:
    timed, timeless = view() | {"timestamp": "2026-03-02T11:59:00Z"}, view()

    [first], [again] = decoded(timed), decoded(timed | {"sent_at": "2026-03-02T11:59:30Z"})
    [some], [other] = decoded(timeless), decoded(timeless)

    assert first.event_id == again.event_id
    assert some.event_id != other.event_id


def test_a_time_without_an_offset_is_utc() -> None:
    [found] = decoded(view() | {"timestamp": "2026-03-02T11:59:00.5"})

    assert found.client_time == datetime(2026, 3, 2, 11, 59, 0, 500_000, tzinfo=UTC)


def test_an_offset_counts_back_from_when_the_request_was_sent() -> None:
    sent_at = NOW - timedelta(seconds=10)

    [found] = decoded(view() | {"offset": 1_500}, _=str(int(sent_at.timestamp() * 1_000)))

    assert found.client_time == sent_at - timedelta(seconds=1.5)


@pytest.mark.parametrize("name", ["sent_at", "sentAt"])
def test_servers_say_when_they_sent_in_either_spelling(name: str) -> None:
    body = json.dumps({"batch": [view()], name: "2026-03-02T11:00:00Z"}).encode()

    assert POSTHOG.decode(body, context()).sent_at == NOW - timedelta(hours=1)


@pytest.mark.parametrize("sent_at", ["soon", 7, "", None, "9999-12-31T23:59:59-23:00"])
def test_a_time_of_sending_that_is_none_is_as_good_as_none(sent_at: object) -> None:
    body = json.dumps({"batch": [view()], "sent_at": sent_at}).encode()

    assert POSTHOG.decode(body, context()).sent_at is None


# -- bodies and keys -------------------------------------------------------------------------------------------------

ONE = json.dumps({"api_key": "phc_hats", "batch": [view()]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        ONE,
        b"data=" + quote(b64encode(ONE)).encode(),
        b"data=" + b64encode(ONE) + b"&compression=base64",
        b"data=" + quote(ONE).encode(),
        json.dumps([view(token="phc_hats")]).encode(),
        json.dumps(view() | {"api_key": "phc_hats"}).encode(),
        json.dumps(view() | {"token": "phc_hats"}).encode(),
    ],
)
def test_every_way_to_send_is_understood_and_has_the_key_in_it(body: bytes) -> None:
    assert POSTHOG.key(body, {}) == "phc_hats"
    [found] = POSTHOG.decode(body, context()).events
    assert (found.event_name, found.properties) == ("product_viewed", {})


@pytest.mark.parametrize("body", [b"", b"7", b"data", b"data=", b"data=%ff", b"data=7&data=8", b"data=" + b"a=1&" * 20])
def test_what_holds_no_events_is_unreadable_and_has_no_key(body: bytes) -> None:
    assert POSTHOG.key(body, {}) is None
    with pytest.raises(Unreadable):
        POSTHOG.decode(body, context())


# -- words -----------------------------------------------------------------------------------------------------------


def test_time_and_depth_of_a_page_are_ours() -> None:
    left = {"$prev_pageview_duration": 7.5, "$prev_pageview_max_content_percentage": 0.25}

    [found] = decoded(event("$pageleave", DEVICE, **left))

    assert found.event_name == "page_engaged"
    assert found.properties == {**left, "engaged_ms": 7_500, "scroll_ratio": 0.25}


def test_what_names_a_customer_is_not_kept() -> None:
    [found] = decoded(event("$identify", "c-7", **{"$set": {"Last Name": "Lund", "tier": "gold"}}))

    assert found.properties == {"$set": {"Last Name": "[personal]", "tier": "gold"}}


def test_device_and_language_are_looked_at_and_the_user_agent_is_not_kept() -> None:
    [found] = decoded(
        view(**{"$raw_user_agent": "Mozilla/5.0", "$browser_language": "de-AT", "$geoip_country_code": "AT"})
    )

    assert found.sender == ("Mozilla/5.0", "de-AT", "AT")
    assert found.properties == {"$browser_language": "de-AT", "$geoip_country_code": "AT"}


def test_addresses_of_other_pages_lose_their_queries() -> None:
    private, bare = "https://shop.example/reset?token=7#top", "https://shop.example/reset"
    sent = {"$session_entry_url": private, "$set_once": {"$initial_current_url": private}, "my_url": private}

    [found] = decoded(view(**sent, **{"$current_url": private}))

    assert found.url == private  # that of the page itself is a step's to strip, as every format's
    assert found.properties == {
        "$session_entry_url": bare,
        "$set_once": {"$initial_current_url": bare},
        "my_url": private,
    }


def test_a_recording_is_refused_and_its_data_not_kept() -> None:
    body = json.dumps(event("$snapshot", DEVICE, **{"$snapshot_data": ["x"] * 1_000})).encode()

    [refused] = POSTHOG.decode(body, context()).rejections

    assert "turn session recording off" in refused.detail
    assert len(refused.raw) < 100


def test_the_documentation_shows_the_words() -> None:
    assert documented_words("posthog.md") == EVENT_NAMES


# -- replies and stubs -----------------------------------------------------------------------------------------------


def test_the_reply_says_what_became_of_each_view() -> None:
    refused = Rejection(1, RejectReason.BAD_TIME, "/timestamp", "", b"")
    outcomes = [
        Outcome.STORED,
        Outcome.REJECTED,
        Outcome.DUPLICATE,
        Outcome.SPOOLED,
        Outcome.NO_CONSENT,
        Outcome.STORED,
    ]
    result = IngestResult(outcomes, [None] * 6, [refused], ["a", "b", "c", "d", "e", None])

    reply = POSTHOG.reply(result, {})

    assert (reply.status, reply.content["status"]) == (200, "Ok")
    assert reply.content["results"] == {
        "a": {"result": "ok"},
        "b": {"result": "drop", "details": "bad_time"},
        "c": {"result": "ok"},
        "d": {"result": "ok"},
        "e": {"result": "ok"},
    }


def test_the_config_as_a_script_can_not_be_made_code_by_a_key() -> None:
    [script] = [stub for stub in STUBS if stub.path.endswith("config.js")]

    reply = script.answer({"key": '"});alert(1)//</script><script>'})

    assert b'"\\"});alert(1)//\\u003c/script>' in reply.content
    assert b"<" not in reply.content


# -- what real clients sent ------------------------------------------------------------------------------------------


def values(sent: object) -> set[object]:
    """Of all properties, those that say something."""
    if isinstance(sent, dict | list):
        return set().union(*map(values, sent.values() if isinstance(sent, dict) else sent))
    return set() if sent in (None, "") else {sent}


def test_nothing_is_lost_of_what_was_recorded() -> None:
    for request in recorded("posthog-node.jsonl"):
        items = json.loads(request.body)["batch"]
        events = POSTHOG.decode(request.body, request.context).events
        for item, found in zip(items, events, strict=True):
            assert found.event_id == item["uuid"]
            assert found.client_time is not None
            assert found.client_time.isoformat(timespec="milliseconds") == item["timestamp"].replace("Z", "+00:00")
            assert item["distinct_id"] in (found.visitor_key, found.customer_key)
            personal = {"ada@example.com"}
            kept = values(found.properties) | {found.url, found.visitor_key, found.customer_key} | personal
            assert values(item["properties"]) - kept == set()


def test_the_recorded_journey_is_one_persons() -> None:
    for request in recorded("posthog-node.jsonl"):
        found = [(each.visitor_key, each.customer_key) for each in POSTHOG.decode(request.body, request.context).events]
        assert found == [("anon-1f0c", None)] * 3 + [("anon-1f0c", "user-4711")] * 2 + [(None, "user-4711")] * 2
