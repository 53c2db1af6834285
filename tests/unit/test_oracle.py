"""The oracle on journeys written by hand, sentence by sentence of semantics section 3, and its invariants."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.funnel import Alternative, Condition, FunnelDefinition, Operator, Scalar
from tests.journeys import DAY, HOUR, MICROSECOND, MINUTE, JourneyEvent, at_us, funnel, journey
from tests.oracle import PersonResult, funnel_oracle, reached_counts
from tests.strategies import as_of_times, definitions, journeys

LONG_AFTER_US = at_us(1000 * DAY)  # every window has closed

VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"
RETENTION = Alternative(ORDERED, after=(Alternative(ORDERED),))


def result(definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int = LONG_AFTER_US) -> PersonResult:
    """The result of the only person."""
    (only,) = funnel_oracle(definition, events, as_of_us).values()
    return only


def times(*seconds: float) -> tuple[int, ...]:
    return tuple(at_us(each) for each in seconds)


def reached(definition: FunnelDefinition, events: Sequence[JourneyEvent], as_of_us: int = LONG_AFTER_US) -> list[int]:
    return reached_counts(definition, funnel_oracle(definition, events, as_of_us))


# Rule 1: entry


def test_an_entry_may_happen_at_the_start_of_the_range_but_not_at_its_end() -> None:
    one_hour = funnel(VIEWED, start=0, end=HOUR)
    events = [
        *journey("too early", (-MICROSECOND, VIEWED)),
        *journey("first", (0, VIEWED)),
        *journey("last", (HOUR - MICROSECOND, VIEWED)),
        *journey("too late", (HOUR, VIEWED)),
    ]
    assert set(funnel_oracle(one_hour, events, LONG_AFTER_US)) == {"first", "last"}


def test_later_steps_may_happen_after_the_end_of_the_range() -> None:
    events = journey("ana", (59 * MINUTE, VIEWED), (2 * HOUR, ADDED), (2 * DAY, ORDERED))
    assert result(funnel(VIEWED, ADDED, ORDERED, end=HOUR), events).depth == 3


def test_who_never_did_the_first_step_did_not_enter() -> None:
    events = journey("ana", (0, ADDED), (MINUTE, ORDERED))
    assert funnel_oracle(funnel(VIEWED, ADDED, ORDERED), events, LONG_AFTER_US) == {}


# Rule 2: in_order


def test_steps_count_in_their_order_only() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED)
    assert result(definition, journey("ana", (0, VIEWED), (1, ADDED), (2, ORDERED))).depth == 3
    assert result(definition, journey("ana", (0, VIEWED), (1, ORDERED), (2, ADDED))).depth == 2
    assert result(definition, journey("ana", (0, ORDERED), (1, ADDED), (2, VIEWED))).depth == 1


def test_events_in_between_do_not_matter() -> None:
    events = journey("ana", (0, VIEWED), (1, "page_viewed"), (2, ORDERED), (3, VIEWED), (4, ADDED))
    assert result(funnel(VIEWED, ADDED), events).depth == 2


def test_the_conversion_window_includes_its_bound() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR)
    assert result(definition, journey("ana", (0, VIEWED), (HOUR, ADDED))).depth == 2
    assert result(definition, journey("ana", (0, VIEWED), (HOUR + MICROSECOND, ADDED))).depth == 1


def test_the_window_runs_from_the_entry_and_not_from_the_step_before() -> None:
    events = journey("ana", (0, VIEWED), (50 * MINUTE, ADDED), (70 * MINUTE, ORDERED))
    assert result(funnel(VIEWED, ADDED, ORDERED, window=HOUR), events).depth == 2


def test_any_chain_counts_not_only_the_one_from_the_first_entry() -> None:
    events = journey("ana", (0, VIEWED), (2 * HOUR, VIEWED), (2 * HOUR + MINUTE, ADDED))
    assert result(funnel(VIEWED, ADDED, window=HOUR), events).times_us == times(2 * HOUR, 2 * HOUR + MINUTE)


def test_a_later_entry_does_not_spoil_the_chain_of_an_earlier_one() -> None:
    events = journey("ana", (0, VIEWED), (10, ADDED), (20, VIEWED), (30, ORDERED))
    assert result(funnel(VIEWED, ADDED, ORDERED, window=30), events).times_us == times(0, 10, 30)
    assert result(funnel(VIEWED, ADDED, ORDERED, window=29), events).times_us == times(0, 10)


def test_one_event_is_used_for_one_step_only() -> None:
    twice = funnel(VIEWED, VIEWED)
    assert result(twice, journey("ana", (0, VIEWED))).depth == 1
    assert result(twice, journey("ana", (0, VIEWED), (1, VIEWED))).depth == 2

    sale = Alternative(VIEWED, where=(Condition("on_sale", Operator.EQUAL, True),))
    both = funnel(VIEWED, sale, ORDERED)
    assert result(both, journey("ana", (0, VIEWED, {"on_sale": True}), (1, ORDERED))).depth == 1


def test_a_step_matches_when_any_of_its_alternatives_does() -> None:
    definition = funnel(VIEWED, (Alternative(ADDED), Alternative("product_added_to_wishlist")))
    assert result(definition, journey("ana", (0, VIEWED), (1, ADDED))).depth == 2
    assert result(definition, journey("ana", (0, VIEWED), (1, "product_added_to_wishlist"))).depth == 2


# The order of one person's events, section 1


def test_two_events_of_the_same_microsecond_are_consecutive_steps_however_they_arrive() -> None:
    events = journey("ana", (5, ADDED), (5, VIEWED))
    assert result(funnel(VIEWED, ADDED), events).times_us == times(5, 5)


def test_the_sequence_number_decides_before_the_step_does() -> None:
    added, viewed = journey("ana", (5, ADDED), (5, VIEWED))
    assert result(funnel(VIEWED, ADDED), [added, replace(viewed, seq=1)]).depth == 1
    assert result(funnel(VIEWED, ADDED), [replace(added, seq=1), replace(viewed, seq=1)]).depth == 2


def test_of_events_with_the_same_lowest_step_the_one_with_the_lower_highest_step_comes_first() -> None:
    sale = Alternative(VIEWED, where=(Condition("on_sale", Operator.EXISTS),))
    events = journey("ana", (5, VIEWED, {"on_sale": True}), (5, VIEWED))
    assert result(funnel(VIEWED, sale), events).depth == 2


def test_of_events_that_match_no_step_the_first_stored_is_the_first() -> None:
    definition = funnel(Alternative(VIEWED, after=(Alternative("ad_clicked", after=(Alternative("email_opened"),)),)))
    opened, clicked, viewed = journey("ana", (5, "email_opened"), (5, "ad_clicked"), (6, VIEWED))
    assert result(definition, [opened, clicked, viewed]).depth == 1
    assert reached(definition, [replace(opened, stored=9), clicked, viewed]) == [0]


def test_events_that_match_no_step_come_last() -> None:
    definition = funnel(Alternative(VIEWED, after=(Alternative("ad_clicked"),)))
    assert reached(definition, journey("ana", (5, "ad_clicked"), (5, VIEWED))) == [0]
    assert reached(definition, journey("ana", (5 - MICROSECOND, "ad_clicked"), (5, VIEWED))) == [1]


def test_an_unfulfilled_after_still_places_an_event_among_ties() -> None:
    """The order fits step 1 but for the missing click, so it comes before the add-to-cart it ties with."""
    events = journey("ana", (0, VIEWED), (5, ADDED), (5, ORDERED))
    after_click = Alternative(ORDERED, after=(Alternative("ad_clicked"),))
    assert result(funnel(VIEWED, ADDED, ORDERED), events).depth == 3
    assert result(funnel((Alternative(VIEWED), after_click), ADDED, ORDERED), events).depth == 2


# Rules of stages with `after`, section 2


def test_retention_needs_an_earlier_purchase() -> None:
    definition = funnel(VIEWED, RETENTION)
    assert result(definition, journey("ana", (0, VIEWED), (1, ORDERED))).depth == 1
    assert result(definition, journey("ana", (0, VIEWED), (1, ORDERED), (2, ORDERED))).times_us == times(0, 2)


def test_the_event_an_after_asks_for_may_also_be_a_step_of_the_chain() -> None:
    definition = funnel(ORDERED, RETENTION)
    assert result(definition, journey("ana", (0, ORDERED))).depth == 1
    assert result(definition, journey("ana", (0, ORDERED), (0, ORDERED))).depth == 2


def test_an_after_is_fulfilled_from_any_time_before_also_before_the_range_and_the_window() -> None:
    events = journey("ana", (-300 * DAY, ORDERED), (0, VIEWED), (1, ORDERED))
    assert result(funnel(VIEWED, RETENTION, window=HOUR), events).depth == 2


def test_an_after_asks_for_an_event_of_the_same_person() -> None:
    events = [*journey("ana", (0, VIEWED), (2, ORDERED)), *journey("ben", (1, ORDERED))]
    assert reached(funnel(VIEWED, RETENTION), events) == [1, 0]


def test_the_alternatives_of_an_after_have_conditions_and_an_after_of_their_own() -> None:
    big_order = Alternative(ORDERED, where=(Condition("value", Operator.GREATER, 100),), after=(RETENTION,))
    definition = funnel(Alternative("referral_sent", after=(big_order,)))
    big: dict[str, object] = {"value": 101}
    small: dict[str, object] = {"value": 100}
    first, second = (0, ORDERED), (1, ORDERED)
    assert reached(definition, journey("ana", first, second, (2, ORDERED, big), (3, "referral_sent"))) == [1]
    assert reached(definition, journey("ana", first, second, (2, ORDERED, small), (3, "referral_sent"))) == [0]
    assert reached(definition, journey("ana", first, (2, ORDERED, big), (3, "referral_sent"))) == [0]


# Rule 6: the reported chain


def test_the_chain_that_reaches_furthest_is_reported() -> None:
    events = journey("ana", (0, VIEWED), (1, ADDED), (2 * HOUR, VIEWED), (2 * HOUR + 1, ADDED), (3 * HOUR, ORDERED))
    assert result(funnel(VIEWED, ADDED, ORDERED, window=HOUR), events).times_us == times(
        2 * HOUR, 2 * HOUR + 1, 3 * HOUR
    )


def test_among_the_furthest_the_one_that_gets_there_first_is_reported() -> None:
    events = journey("ana", (0, VIEWED), (50, ADDED), (60, VIEWED), (61, ADDED))
    assert result(funnel(VIEWED, ADDED), events).times_us == times(0, 50)
    assert result(funnel(VIEWED), events).times_us == times(0)


def test_among_the_first_to_get_there_the_latest_entry_is_reported() -> None:
    events = journey("ana", (0, VIEWED), (10, VIEWED), (20, ADDED))
    assert result(funnel(VIEWED, ADDED), events).times_us == times(10, 20)


def test_with_entry_and_last_step_given_steps_between_are_the_earliest_possible() -> None:
    events = journey("ana", (0, ADDED), (1, VIEWED), (2, ADDED), (3, ADDED), (4, ORDERED))
    assert result(funnel(VIEWED, ADDED, ORDERED), events).times_us == times(1, 2, 4)


# Rules 7 to 9: counts, lost and in progress


def test_a_person_counts_once_at_each_step_reached_and_nobody_entered_is_zero() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED)
    events = [
        *journey("ana", (0, VIEWED), (1, ADDED), (2, ORDERED), (3, VIEWED), (4, ADDED), (5, ORDERED)),
        *journey("ben", (0, VIEWED), (1, VIEWED), (2, ADDED)),
        *journey("cleo", (0, VIEWED)),
        *journey("dan", (0, ORDERED)),
    ]
    assert reached(definition, events) == [3, 2, 1]
    assert reached(definition, []) == [0, 0, 0]


def test_a_person_is_in_progress_until_the_window_has_closed() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR)
    events = journey("ana", (0, VIEWED))
    assert result(definition, events, at_us(HOUR)).in_progress
    assert not result(definition, events, at_us(HOUR + MICROSECOND)).in_progress


def test_a_later_entry_keeps_a_person_in_progress_also_one_that_is_not_reported() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, window=HOUR)
    events = journey("ana", (0, VIEWED), (1, ADDED), (30 * MINUTE, VIEWED))
    assert result(definition, events, at_us(HOUR + 1)) == PersonResult("ana", 2, times(0, 1), in_progress=True)
    assert not result(definition, events, at_us(91 * MINUTE)).in_progress


def test_an_entry_outside_the_range_keeps_nobody_in_progress() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR, end=MINUTE)
    events = journey("ana", (0, VIEWED), (30 * MINUTE, VIEWED))
    assert not result(definition, events, at_us(HOUR + 1)).in_progress


def test_who_reached_the_last_step_is_not_in_progress() -> None:
    assert not result(funnel(VIEWED, ADDED), journey("ana", (0, VIEWED), (1, ADDED)), at_us(2)).in_progress


# Conditions on properties


@pytest.mark.parametrize(
    ("actual", "op", "value", "holds"),
    [
        ("SAVE10", "=", "SAVE10", True),
        ("save10", "=", "SAVE10", False),
        (10, "=", "10", True),
        (10.0, "=", "10", False),  # its text is 10.0
        (10.0, "=", 10, True),
        ("1e1", "=", 10, True),
        (" 10", "=", 10, False),
        ("\u0661\u0660", "=", 10, False),  # ten in Arabic digits
        ("10 pieces", "!=", 10, True),
        (None, "=", "null", False),
        (None, "!=", "SAVE10", True),
        (True, "=", True, True),
        ("true", "=", True, True),
        (True, "=", 1, False),
        (["a", 1], "=", '["a",1]', True),
        ({"a": {"b": None}}, "=", '{"a":{"b":null}}', True),
        (9, "in", (8, "9"), True),
        (9, "in", (8, "10"), False),
        (None, "in", (8, "10"), False),
        ("", "exists", None, True),
        (None, "exists", True, False),
        (None, "exists", False, True),
        (0, "exists", False, False),
        ("9", "<", 10, True),
        ("9", "<", "10", False),  # compared as texts
        (10, "<", 10, False),
        ("ten", "<", 11, False),
        ("ten", ">", 9, False),
        (-1.5, ">", -2, True),
        (None, "<", 10, False),
        ("\U0001f600", ">", "\uffff", True),  # by code point, not by UTF-16 unit
        ("summer sale", "contains", "sale", True),
        ("summer sale", "contains", "Sale", False),
        (2025, "contains", "02", True),
        (["sale"], "contains", "sale", True),
        (None, "contains", "", False),
    ],
)
def test_a_condition(actual: object, op: str, value: Scalar | tuple[Scalar, ...] | None, holds: bool) -> None:
    definition = funnel(Alternative(VIEWED, where=(Condition("property", Operator(op), value),)))
    assert reached(definition, journey("ana", (0, VIEWED, {"property": actual}))) == [int(holds)]


def test_an_absent_property_is_like_null_and_all_conditions_must_hold() -> None:
    absent = Condition("coupon", Operator.EXISTS, False)
    cheap = Condition("price", Operator.LESS, 10)
    definition = funnel(Alternative(VIEWED, where=(absent, cheap)))
    assert reached(definition, journey("ana", (0, VIEWED, {"price": 9}))) == [1]
    assert reached(definition, journey("ana", (0, VIEWED, {"price": 9, "coupon": "SAVE10"}))) == [0]
    assert reached(definition, journey("ana", (0, VIEWED))) == [0]


# Invariants

in_any_time = settings(deadline=None)  # a busy machine is no failure


def without_ties(events: list[JourneyEvent]) -> list[JourneyEvent]:
    return [replace(event, seq=number) for number, event in enumerate(events)]


@in_any_time
@given(definitions(), journeys(), as_of_times())
def test_no_step_is_reached_by_more_than_the_step_before(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    counts = reached(definition, events, as_of_us)
    assert counts == sorted(counts, reverse=True)


@in_any_time
@given(definitions(), journeys(), as_of_times(), st.randoms())
def test_the_order_of_arrival_does_not_matter_where_something_else_orders_the_events(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int, random: Random
) -> None:
    events = without_ties(events)
    arrived = [replace(event, stored=rank) for rank, event in enumerate(random.sample(events, len(events)))]
    assert funnel_oracle(definition, arrived, as_of_us) == funnel_oracle(definition, events, as_of_us)


@in_any_time
@given(definitions(), journeys(), as_of_times())
def test_persons_can_be_split_and_added_up(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    persons = {event.person for event in events}
    parts = [reached(definition, [e for e in events if e.person == person], as_of_us) for person in persons]
    zero = [0] * len(definition.steps)
    assert reached(definition, events, as_of_us) == [sum(column) for column in zip(zero, *parts, strict=True)]


@in_any_time
@given(definitions(), journeys(), st.integers(0, 5_000_000))
def test_a_longer_window_never_lowers_a_count(
    definition: FunnelDefinition, events: list[JourneyEvent], more_us: int
) -> None:
    longer = replace(definition, conversion_window_us=definition.conversion_window_us + more_us)
    pairs = zip(reached(longer, events), reached(definition, events), strict=True)
    assert all(with_longer >= count for with_longer, count in pairs)


@in_any_time
@given(definitions(), journeys(), st.integers(1, 5))
def test_fewer_steps_from_the_end_never_lower_a_count(
    definition: FunnelDefinition, events: list[JourneyEvent], kept: int
) -> None:
    events = without_ties(events)  # which steps an event matches decides ties, so there the order may change
    shorter = replace(definition, steps=definition.steps[:kept])
    assert reached(shorter, events) == reached(definition, events)[:kept]


@in_any_time
@given(definitions(), journeys())
def test_fewer_conditions_never_lower_a_count(definition: FunnelDefinition, events: list[JourneyEvent]) -> None:
    events = without_ties(events)
    steps = [
        replace(step, any_of=tuple(replace(each, where=(), after=()) for each in step.any_of))
        for step in definition.steps
    ]
    fewer = replace(definition, steps=tuple(steps))
    pairs = zip(reached(fewer, events), reached(definition, events), strict=True)
    assert all(with_fewer >= count for with_fewer, count in pairs)
