"""Breakdowns: what the groups are, what they add up to, and which of them convert unlike the others."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.funnel import FunnelDefinition
from app.reports.funnel.breakdown import groups_of
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.questions import BreakdownParams
from app.reports.funnel.result import FunnelResult
from tests.journeys import DAY, HOUR, MINUTE, JourneyEvent, at_us, journey
from tests.oracle import funnel_oracle
from tests.strategies import SESSION_TIMEOUT_US, definitions, journeys
from tests.unit.reports.asking import ADDED, ORDERED, VIEWED, ask, step
from tests.unit.reports.journey_mirror import Identity, JourneyMirror, Link


def groups(result: FunnelResult) -> list[tuple[str, list[int]]]:
    assert result.groups is not None
    return [(group.value, [step.reached_count for step in group.steps]) for group in result.groups]


def viewers(device: object, *names: str, converts: bool = False) -> list[JourneyEvent]:
    """Each views a product on the device, and adds it 10 s later if they convert."""
    properties = {} if device is None else {"device": device}
    added = [(10.0, ADDED)] if converts else []
    return [event for name in names for event in journey(name, (0, VIEWED, properties), *added)]


SHOPPERS = [
    *viewers("phone", "ana", "ben", "cleo"),
    *viewers("phone", "dan", converts=True),
    *viewers("desktop", "eve", "finn", converts=True),
    *viewers("tablet", "gus"),
    *viewers("watch", "hana"),
    *viewers(None, "ines", converts=True),
]


# What the groups are


def test_each_value_has_a_funnel_of_its_own_the_largest_first_and_ties_by_text(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, breakdown={"property": "device"})
    assert groups(result) == [
        ("phone", [4, 1]),
        ("desktop", [2, 2]),
        ("tablet", [1, 0]),
        ("watch", [1, 0]),
        ("(not set)", [1, 1]),
    ]
    assert result.groups is not None
    assert [group.conversion_ratio for group in result.groups] == [0.25, 1.0, 0.0, 0.0, 1.0]
    assert [group.kind for group in result.groups] == ["value", "value", "value", "value", "not_set"]


def test_what_is_beyond_the_limit_is_other(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, breakdown={"property": "device", "limit": 1})
    assert groups(result) == [("phone", [4, 1]), ("(other)", [4, 2]), ("(not set)", [1, 1])]


def test_among_values_as_frequent_as_the_last_place_the_text_decides(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, breakdown={"property": "device", "limit": 3})
    assert [value for value, _ in groups(result)] == ["phone", "desktop", "tablet", "(other)", "(not set)"]


def test_a_value_that_reads_like_the_others_is_told_apart_by_its_kind(mirror: JourneyMirror) -> None:
    events = [*viewers("(other)", "ana", "ben"), *viewers("b", "cleo"), *viewers("(not set)", "dan", "eve", "finn")]
    found = ask(mirror, events, VIEWED, breakdown={"property": "device", "limit": 2}).groups
    assert found is not None
    assert [(group.value, group.kind) for group in found] == [
        ("(not set)", "value"),
        ("(other)", "value"),
        ("(other)", "other"),
    ]


def test_values_are_compared_by_their_text(mirror: JourneyMirror) -> None:
    events = [*viewers(10, "ana"), *viewers("10", "ben"), *viewers(True, "cleo"), *viewers(["x"], "dan")]
    result = ask(mirror, events, VIEWED, breakdown={"property": "device"})
    assert groups(result) == [("10", [2]), ('["x"]', [1]), ("true", [1])]


def test_a_null_is_not_set(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED, {"device": None}))
    assert groups(ask(mirror, events, VIEWED, breakdown={"property": "device"})) == [("(not set)", [1])]


def test_a_property_that_nobody_ever_sent_is_not_set_for_all(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, breakdown={"property": "never sent"})
    assert groups(result) == [("(not set)", [9, 4])]
    assert result.groups is not None
    assert result.groups[0].significance is None  # there is nobody to compare them with


def test_where_nobody_entered_there_are_no_groups(mirror: JourneyMirror) -> None:
    for of in ("entry", "first_touch"):
        assert ask(mirror, SHOPPERS, "never", ADDED, breakdown={"property": "device", "of": of}).groups == []


def test_a_group_has_times_and_drop_off_as_the_whole_has(mirror: JourneyMirror) -> None:
    events = [
        *journey("ana", (0, VIEWED, {"device": "phone"}), (10, ADDED)),
        *journey("ben", (0, VIEWED, {"device": "phone"}), (30, ADDED)),
        *journey("cleo", (0, VIEWED, {"device": "phone"})),
        *journey("dan", (5 * DAY, VIEWED, {"device": "phone"})),
        *journey("eve", (0, VIEWED, {"device": "desktop"}), (500, ADDED)),
    ]
    result = ask(mirror, events, VIEWED, ADDED, breakdown={"property": "device"}, at=8 * DAY)
    assert result.groups is not None
    viewed, added = result.groups[0].steps
    assert (viewed.drop_off_count, viewed.lost_count, viewed.in_progress_count) == (2, 1, 1)
    assert added.seconds_from_entry is not None
    assert (added.seconds_from_entry.min, added.seconds_from_entry.mean, added.seconds_from_entry.max) == (10, 20, 30)


def test_a_dimension_can_be_asked_for(mirror: JourneyMirror) -> None:
    ana = JourneyEvent("ana", 1_740_787_200_000_000, VIEWED, {}, dimensions={"url": "https://shop.example/bags?x=1"})
    assert groups(ask(mirror, [ana], VIEWED, breakdown={"dimension": "page_path"})) == [("/bags", [1])]


def test_a_dimension_that_there_is_not_is_refused(mirror: JourneyMirror) -> None:
    with pytest.raises(ValidationError, match="page_path"):
        ask(mirror, SHOPPERS, VIEWED, breakdown={"dimension": "nothing"})


# Of which event


def test_of_entry_is_the_entry_of_the_chain_that_is_reported(mirror: JourneyMirror) -> None:
    """The entry on the phone leads nowhere: the chain from the desktop got further."""
    events = journey(
        "ana",
        (0, VIEWED, {"device": "phone"}),
        (8 * DAY, VIEWED, {"device": "desktop"}),
        (8 * DAY + MINUTE, ADDED, {"device": "watch"}),
    )
    assert groups(ask(mirror, events, VIEWED, ADDED, breakdown={"property": "device"})) == [("desktop", [1, 1])]


def test_of_step_groups_those_who_have_an_event_for_it_by_its_value(mirror: JourneyMirror) -> None:
    events = [
        *journey("ana", (0, VIEWED, {"category": "bags"}), (1, ADDED, {"category": "hats"}), (2, ORDERED)),
        *journey("ben", (0, VIEWED, {"category": "bags"}), (1, ADDED, {"category": "hats"})),
        *journey("cleo", (0, VIEWED, {"category": "bags"}), (1, ADDED)),
        *journey("dan", (0, VIEWED, {"category": "bags"})),
        *journey("eve", (0, VIEWED, {"category": "bags"}), (1, ORDERED)),
    ]
    steps = (step(VIEWED), step(ADDED, optional=True), step(ORDERED))
    result = ask(mirror, events, *steps, breakdown={"property": "category", "of": "step", "step": 2})
    assert groups(result) == [("hats", [2, 2, 1]), ("(not set)", [1, 1, 0])]


def test_of_first_touch_is_the_first_event_of_the_person_long_before_the_range(mirror: JourneyMirror) -> None:
    events = [
        *journey("ana", (-400 * DAY, "ad_clicked", {"source": "search"}), (0, VIEWED, {"source": "mail"}), (1, ADDED)),
        *journey("ben", (-HOUR, "ad_clicked", {"source": "search"}), (0, VIEWED, {"source": "mail"})),
        *journey("cleo", (0, VIEWED, {"source": "mail"}), (1, "ad_clicked", {"source": "search"})),
        *journey("dan", (-HOUR, "page_viewed"), (0, VIEWED, {"source": "mail"})),
    ]
    result = ask(mirror, events, VIEWED, ADDED, breakdown={"property": "source", "of": "first_touch"})
    assert groups(result) == [("search", [2, 1]), ("mail", [1, 0]), ("(not set)", [1, 0])]


def test_the_first_of_two_events_at_one_time_is_that_with_the_lower_number_then_the_one_stored_first(
    mirror: JourneyMirror,
) -> None:
    events = [
        JourneyEvent("ana", 1_740_787_200_000_000, VIEWED, {"source": "third"}, seq=2, stored=0),
        JourneyEvent("ana", 1_740_787_200_000_000, "a", {"source": "second"}, seq=1, stored=2),
        JourneyEvent("ana", 1_740_787_200_000_000, "b", {"source": "first"}, seq=1, stored=1),
    ]
    result = ask(mirror, events, VIEWED, breakdown={"property": "source", "of": "first_touch"})
    assert groups(result) == [("first", [1])]


def test_the_first_touch_of_a_customer_may_be_on_another_device_before_they_were_known(mirror: JourneyMirror) -> None:
    """Ana (customer 1) came by search on visitor 11, and later entered on visitor 12. Visitor 13 was hers until Ben
    (customer 2) took it over: what was done there after that is his."""
    who = {
        "11": Identity(11),
        "12": Identity(12),
        "13": Identity(13),
        "customer 2": Identity(None, 2),
    }
    events = [
        *journey("11", (-3 * DAY, "ad_clicked", {"source": "search"})),
        *journey("12", (0, VIEWED, {"source": "mail"})),
        *journey("13", (-2 * DAY, "ad_clicked", {"source": "social"}), (-HOUR, "ad_clicked", {"source": "radio"})),
        *journey("customer 2", (0, VIEWED, {"source": "mail"})),
    ]
    day_before_us = events[1].occurred_at_us - DAY * 1_000_000
    links = [Link(11, 1, 2), Link(12, 1, 2), Link(13, 1, 2), Link(13, 2, day_before_us)]
    result = ask(
        mirror,
        events,
        VIEWED,
        breakdown={"property": "source", "of": "first_touch"},
        identity=lambda event: who[event.person],
        links=links,
    )
    assert groups(result) == [("radio", [1]), ("search", [1])]


def test_the_first_touch_of_a_session_is_that_of_its_person(mirror: JourneyMirror) -> None:
    events = journey(
        "ana", (-DAY, "ad_clicked", {"source": "search"}), (0, VIEWED), (2 * HOUR, VIEWED), (2 * HOUR + 1, ADDED)
    )
    asked = {"property": "source", "of": "first_touch"}
    assert groups(ask(mirror, events, VIEWED, ADDED, breakdown=asked, actor="session")) == [("search", [2, 1])]


def test_a_first_touch_that_came_in_later_than_asked_is_none(mirror: JourneyMirror) -> None:
    late, *_ = journey("ana", (-DAY, "ad_clicked", {"source": "search"}))
    late = JourneyEvent(late.person, late.occurred_at_us, late.event_name, late.properties, received_at_us=2**51)
    events = [late, *journey("ana", (0, VIEWED, {"source": "mail"}))]
    asked = {"property": "source", "of": "first_touch"}
    assert groups(ask(mirror, events, VIEWED, breakdown=asked, as_of="2025-05-01T00:00:00Z")) == [("mail", [1])]
    assert groups(ask(mirror, events, VIEWED, breakdown=asked)) == [("search", [1])]


# How sure it is


def test_each_group_is_compared_with_all_the_others_and_the_p_values_adjusted(mirror: JourneyMirror) -> None:
    """Of 4 on a phone none converts, of 4 on a desktop all do, 2 of the 4 on a tablet. Fisher's exact test, by hand:
    phone and desktop, of 12 persons of whom 6 convert: none (all) of the 4 convert in 15 of the 495 ways, as do all
    (none), so p = 30/495. Tablet: 2 of 4 is the likeliest, p = 1. Adjusted: 30/495 * 3/2 for both of the first two."""
    events = [
        *viewers("phone", "a1", "a2", "a3", "a4"),
        *viewers("desktop", "b1", "b2", "b3", "b4", converts=True),
        *viewers("tablet", "c1", "c2"),
        *viewers("tablet", "c3", "c4", converts=True),
    ]
    found = ask(mirror, events, VIEWED, ADDED, breakdown={"property": "device"}).groups
    assert found is not None
    significance = {group.value: group.significance for group in found}
    for value, p_value, adjusted in (("phone", 30 / 495, 1 / 11), ("desktop", 30 / 495, 1 / 11), ("tablet", 1, 1)):
        found_there = significance[value]
        assert found_there is not None
        assert (found_there.p_value, found_there.p_value_adjusted) == pytest.approx((p_value, adjusted))
        assert not found_there.is_significant


def test_a_clear_difference_is_significant(mirror: JourneyMirror) -> None:
    events = [
        *viewers("phone", *(f"p{number}" for number in range(20))),
        *viewers("desktop", *(f"d{number}" for number in range(20)), converts=True),
    ]
    found = ask(mirror, events, VIEWED, ADDED, breakdown={"property": "device"}).groups
    assert found is not None
    assert [group.significance and group.significance.is_significant for group in found] == [True, True]


# The same as the oracle, and groups add up


def value_of(event: JourneyEvent, name: str) -> str | None:
    """As text, which is the JSON of what is none."""
    value = event.properties.get(name)
    return value if value is None or isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def touched_first(events: list[JourneyEvent], person: str) -> JourneyEvent:
    own = [event for event in events if event.person == person]
    return min(own, key=lambda event: (event.occurred_at_us, event.seq, event.stored))


@settings(max_examples=50)
@given(definitions(), journeys(), st.sampled_from(["cart_id", "coupon", "tags"]), st.data())
def test_groups_are_those_of_the_oracles_chains(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], name: str, data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(definition.steps)))
    definition = replace(definition, session_timeout_us=SESSION_TIMEOUT_US)
    found = funnel_oracle(definition, events, at_us(10_000 * DAY), SESSION_TIMEOUT_US).values()
    expected: dict[str, Counter[tuple[str | None, int]]] = {
        "entry": Counter((value_of(each.entry, name), each.depth) for each in found),
        "step": Counter(
            (value_of(event, name), each.depth)
            for each in found
            for event in each.chain[number - 1 : number]
            if event is not None
        ),
        "first_touch": Counter((value_of(touched_first(events, each.person), name), each.depth) for each in found),
    }
    with mirror.scan(events, at_us(10_000 * DAY)) as scan:
        attempts = match_funnel(definition, scan)
        for of, counts in expected.items():
            step_number = {"step": number} if of == "step" else {}
            asked = BreakdownParams.model_validate({"property": name, "of": of, **step_number})
            stopped: Counter[tuple[str | None, int]] = Counter()
            for group in groups_of(attempts, asked, scan, None, include_bots=False):
                value = None if group.kind == "not_set" else group.value
                for step in group.steps:
                    count = step.reached_count if step.drop_off_count is None else step.drop_off_count
                    stopped[value, step.step_number] += count
            assert +stopped == counts


@settings(max_examples=60)
@given(
    journeys(),
    st.sampled_from(["entry", "first_touch"]),
    st.integers(1, 3),
    st.sampled_from([{"order": "in_order"}, {"order": "any_order"}, {"count": "entries"}, {"actor": "session"}]),
)
def test_groups_add_up_to_the_whole(
    mirror: JourneyMirror, events: list[JourneyEvent], of: str, limit: int, options: dict[str, Any]
) -> None:
    asked = {"property": "cart_id", "of": of, "limit": limit}
    result = ask(mirror, events, VIEWED, ADDED, ORDERED, breakdown=asked, at=3, **options)
    assert result.groups is not None
    assert len({(group.value, group.kind) for group in result.groups}) == len(result.groups)
    for index, whole in enumerate(result.steps):
        parts = [group.steps[index] for group in result.groups]
        assert sum(part.reached_count for part in parts) == whole.reached_count
        assert sum(part.in_progress_count or 0 for part in parts) == (whole.in_progress_count or 0)
        assert sum(part.lost_count or 0 for part in parts) == (whole.lost_count or 0)
