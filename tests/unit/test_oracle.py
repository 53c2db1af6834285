"""The oracle on journeys written by hand, sentence by sentence of semantics section 3, and its invariants."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.funnel import Actor, Alternative, Condition, Count, FunnelDefinition, Operator, Order, Scalar
from tests.journeys import (
    DAY,
    HOUR,
    MICROSECOND,
    MINUTE,
    JourneyEvent,
    at_us,
    excluded,
    funnel,
    journey,
    step,
    who_did,
    who_did_not,
)
from tests.oracle import ActorResult, attempts_oracle, done_counts, funnel_oracle, is_chain, reached_counts
from tests.strategies import (
    PERSONS,
    SESSION_TIMEOUT_US,
    as_of_times,
    definitions,
    journeys,
    plain_definitions,
    unique_definitions,
)

LONG_AFTER_US = at_us(1000 * DAY)  # every window has closed

VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"
REMOVED, CLICKED = "product_removed", "ad_clicked"
RETENTION = Alternative(ORDERED, after=(Alternative(ORDERED),))
SALE = Alternative(VIEWED, where=(Condition("on_sale", Operator.EXISTS),))


def result(definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int = LONG_AFTER_US) -> ActorResult:
    """The result of the only actor."""
    (only,) = funnel_oracle(definition, events, as_of_us, SESSION_TIMEOUT_US).values()
    return only


def times(*seconds: float | None) -> tuple[int | None, ...]:
    return tuple(None if each is None else at_us(each) for each in seconds)


def chain(definition: FunnelDefinition, *happenings: tuple[float, str]) -> tuple[int | None, ...]:
    """Times of the reported chain of one person who did these things."""
    return result(definition, journey("ana", *happenings)).times_us


def attempts(definition: FunnelDefinition, *happenings: tuple[float, str]) -> list[tuple[int | None, ...]]:
    """Times of the reported chains of one person's attempts."""
    found = attempts_oracle(replace(definition, count=Count.ENTRIES), journey("ana", *happenings), LONG_AFTER_US)
    return [attempt.times_us for attempt in found.get("ana", ())]


def reached(definition: FunnelDefinition, events: Sequence[JourneyEvent], as_of_us: int = LONG_AFTER_US) -> list[int]:
    return reached_counts(definition, funnel_oracle(definition, events, as_of_us, SESSION_TIMEOUT_US))


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
    events = journey("ana", (5, VIEWED, {"on_sale": True}), (5, VIEWED))
    assert result(funnel(VIEWED, SALE), events).depth == 2


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


def test_another_report_of_the_order_that_was_the_first_is_not_after_it() -> None:
    """Texts and numbers are one id; without an id every order is another."""
    for again, depth in (({"order_id": 7}, 1), ({"order_id": "7"}, 1), ({"order_id": 8}, 2), ({}, 2)):
        events = journey("ana", (0, ORDERED, {"order_id": 7}), (5, ORDERED, again))
        assert result(funnel(ORDERED, RETENTION), events).depth == depth
    for nothing in (None, "", " null ", "(not set)"):
        events = journey("ana", (0, ORDERED, {"order_id": nothing}), (5, ORDERED, {"order_id": nothing}))
        assert result(funnel(ORDERED, RETENTION), events).depth == 2


def test_another_report_of_a_later_order_is_not_after_either() -> None:
    events = journey(
        "ana", (-9, ORDERED, {"order_id": 7}), (0, ORDERED, {"order_id": 8}), (5, ORDERED, {"order_id": 8})
    )
    assert result(funnel(ORDERED, RETENTION), events).depth == 1


def test_an_earlier_report_that_does_not_fit_takes_nothing_from_one_that_does() -> None:
    told_by_the_shop = Condition("trust", Operator.EQUAL, "signed", is_dimension=True)
    signed = Alternative(ORDERED, where=(told_by_the_shop,), after=RETENTION.after)
    orders = [(-9, 7, "browser"), (-8, 7, "signed"), (0, 8, "browser"), (5, 8, "signed")]
    events = [
        replace(event, dimensions={"trust": trust}, stored=stored)
        for stored, (at, order_id, trust) in enumerate(orders)
        for event in journey("ana", (at, ORDERED, {"order_id": order_id}))
    ]
    assert reached(funnel(signed, start=-100), events[:2]) == [0]
    assert result(funnel(signed, start=-100), events).entry_us == at_us(5)


def test_what_else_is_said_of_an_order_comes_after_it() -> None:
    refunded = Alternative("order_refunded", after=RETENTION.after)
    events = journey("ana", (0, ORDERED, {"order_id": 7}), (5, "order_refunded", {"order_id": 7}))
    assert result(funnel(ORDERED, refunded), events).depth == 2


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


# Rule 2, most and least time since the step before


def test_within_counts_from_the_step_before_and_includes_its_bound() -> None:
    definition = funnel(VIEWED, ADDED, step(ORDERED, within=10))
    assert chain(definition, (0, VIEWED), (100, ADDED), (110, ORDERED)) == times(0, 100, 110)
    assert chain(definition, (0, VIEWED), (100, ADDED), (110 + MICROSECOND, ORDERED)) == times(0, 100)


def test_a_later_event_of_the_step_before_keeps_the_next_step_within_its_time() -> None:
    definition = funnel(VIEWED, ADDED, step(ORDERED, within=10))
    assert chain(definition, (0, VIEWED), (1, ADDED), (50, ADDED), (55, ORDERED)) == times(0, 50, 55)


def test_within_no_time_at_all_leaves_the_events_of_the_same_microsecond() -> None:
    definition = funnel(VIEWED, step(ADDED, within=0))
    assert chain(definition, (0, VIEWED), (0, ADDED)) == times(0, 0)
    assert chain(definition, (0, VIEWED), (MICROSECOND, ADDED)) == times(0)


def test_within_may_be_longer_than_the_window_which_still_closes() -> None:
    definition = funnel(VIEWED, step(ADDED, within=2 * HOUR), window=HOUR)
    assert chain(definition, (0, VIEWED), (HOUR + 1, ADDED)) == times(0)


def test_not_before_counts_from_the_step_before_and_includes_its_bound() -> None:
    definition = funnel(VIEWED, ADDED, step(ORDERED, not_before=60))
    assert chain(definition, (0, VIEWED), (50, ADDED), (110, ORDERED)) == times(0, 50, 110)
    assert chain(definition, (0, VIEWED), (50, ADDED), (110 - MICROSECOND, ORDERED)) == times(0, 50)


def test_an_event_that_comes_too_early_does_not_keep_a_later_one_from_counting() -> None:
    definition = funnel(VIEWED, step(ADDED, not_before=60))
    assert chain(definition, (0, VIEWED), (1, ADDED), (70, ADDED)) == times(0, 70)


def test_after_a_skipped_step_times_count_from_the_last_step_that_was_not_skipped() -> None:
    at_most = funnel(VIEWED, step(ADDED, optional=True), step(ORDERED, within=10))
    assert chain(at_most, (0, VIEWED), (10, ORDERED)) == times(0, None, 10)
    assert chain(at_most, (0, VIEWED), (11, ORDERED)) == times(0)
    assert chain(at_most, (0, VIEWED), (5, ADDED), (11, ORDERED)) == times(0, 5, 11)
    at_least = funnel(VIEWED, step(ADDED, optional=True), step(ORDERED, not_before=10))
    assert chain(at_least, (0, VIEWED), (5, ADDED), (11, ORDERED)) == times(0, None, 11)


# Rule 2, exclude


def test_an_excluded_event_between_its_two_steps_breaks_the_chain() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(1, 2, REMOVED),))
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, REMOVED), (3, ORDERED)) == times(0, 1)
    assert chain(definition, (0, VIEWED), (1, REMOVED), (2, ADDED), (3, ORDERED)) == times(0, 2, 3)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED), (3, REMOVED)) == times(0, 1, 2)


def test_another_event_of_the_first_of_the_two_steps_makes_good_for_an_excluded_one() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(1, 2, REMOVED),))
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, REMOVED), (3, ADDED), (4, ORDERED)) == times(0, 3, 4)


def test_a_chain_that_has_not_come_to_the_second_of_the_two_steps_is_not_affected() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 2, REMOVED),))
    assert chain(definition, (0, VIEWED), (1, REMOVED), (2, ADDED), (3, ORDERED)) == times(0, 2)


def test_the_two_steps_of_an_exclusion_need_not_be_neighbours() -> None:
    definition = funnel(VIEWED, ADDED, "checkout_started", ORDERED, exclude=(excluded(0, 2, REMOVED),))
    steps = [(0, VIEWED), (10, ADDED), (20, "checkout_started"), (30, ORDERED)]
    assert chain(definition, *steps, (5, REMOVED)) == times(0, 10)
    assert chain(definition, *steps, (15, REMOVED)) == times(0, 10)
    assert chain(definition, *steps, (25, REMOVED)) == times(0, 10, 20, 30)


def test_the_two_events_themselves_are_not_excluded() -> None:
    definition = funnel(VIEWED, ADDED, exclude=(excluded(0, 1, VIEWED, ADDED),))
    assert chain(definition, (0, VIEWED), (1, ADDED)) == times(0, 1)
    assert chain(definition, (0, VIEWED), (1, VIEWED), (2, ADDED)) == times(1, 2)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ADDED)) == times(0, 1)


def test_another_step_of_the_chain_may_be_the_excluded_event() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 2, ADDED),))
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED)) == times(0, 1)


def test_between_is_meant_in_the_total_order_where_events_that_match_no_step_come_last() -> None:
    definition = funnel(VIEWED, ADDED, exclude=(excluded(0, 1, REMOVED),))
    assert chain(definition, (0, REMOVED), (0, ADDED), (0, VIEWED)) == times(0, 0)
    assert chain(definition, (0, VIEWED), (0, REMOVED), (1, ADDED)) == times(0)


def test_excluded_events_have_conditions_and_an_after() -> None:
    dear = Alternative(REMOVED, where=(Condition("price", Operator.GREATER, 100),), after=(Alternative(CLICKED),))
    definition = funnel(VIEWED, ADDED, exclude=(excluded(0, 1, dear),))
    removed = {"price": 101}
    assert result(definition, journey("ana", (1, VIEWED), (2, REMOVED, removed), (3, ADDED))).depth == 2
    assert result(definition, journey("ana", (0, CLICKED), (1, VIEWED), (2, REMOVED), (3, ADDED))).depth == 2
    assert result(definition, journey("ana", (0, CLICKED), (1, VIEWED), (2, REMOVED, removed), (3, ADDED))).depth == 1


def test_each_of_several_exclusions_must_be_respected() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 1, CLICKED), excluded(1, 2, REMOVED)))
    assert chain(definition, (0, VIEWED), (1, REMOVED), (2, ADDED), (3, CLICKED), (4, ORDERED)) == times(0, 2, 4)
    assert chain(definition, (0, VIEWED), (1, CLICKED), (2, ADDED), (3, ORDERED)) == times(0)
    assert chain(definition, (0, VIEWED), (2, ADDED), (3, REMOVED), (4, ORDERED)) == times(0, 2)


# Rule 2, same


def cart(cart_id: object) -> dict[str, object]:
    return {"cart_id": cart_id}


def test_same_properties_must_be_equal_in_all_steps_of_a_chain() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, same=("cart_id",))
    events = journey("ana", (0, VIEWED, cart("a")), (1, ADDED, cart("a")), (2, ORDERED, cart("b")))
    assert result(definition, events).times_us == times(0, 1)
    assert result(definition, [*events, *journey("ana", (3, ORDERED, cart("a")))]).times_us == times(0, 1, 3)


def test_chains_of_different_values_may_cross() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, same=("cart_id",))
    events = journey(
        "ana", (0, VIEWED, cart("a")), (1, VIEWED, cart("b")), (2, ADDED, cart("a")), (3, ADDED, cart("b")),
        (4, ORDERED, cart("b")), (5, ORDERED, cart("a")),
    )  # fmt: skip
    assert result(definition, events).times_us == times(1, 3, 4)


def test_same_with_several_properties_asks_for_all_of_them() -> None:
    definition = funnel(VIEWED, ADDED, same=("cart_id", "currency"))
    euro, dollar = {"cart_id": 1, "currency": "EUR"}, {"cart_id": 1, "currency": "USD"}
    assert result(definition, journey("ana", (0, VIEWED, euro), (1, ADDED, dollar))).depth == 1
    assert result(definition, journey("ana", (0, VIEWED, euro), (1, ADDED, dollar), (2, ADDED, euro))).depth == 2
    assert result(definition, journey("ana", (0, VIEWED, euro), (1, ADDED, cart(1)))).depth == 1


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (10, "10", True),
        (True, "true", True),
        (["a", 1], '["a",1]', True),
        ("", "", True),
        ("a", "A", False),
        (10, 10.0, False),  # its text is 10.0
        (None, None, False),
        (None, "null", False),
        ("", None, False),
    ],
)
def test_same_values_are_compared_as_texts(first: object, second: object, equal: bool) -> None:
    definition = funnel(VIEWED, ADDED, same=("cart_id",))
    events = journey("ana", (0, VIEWED, cart(first)), (1, ADDED, cart(second)))
    assert reached(definition, events) == [1, int(equal)]


def test_without_the_same_property_an_event_enters_and_goes_no_further() -> None:
    definition = funnel(VIEWED, ADDED, same=("cart_id",))
    assert result(definition, journey("ana", (0, VIEWED), (1, ADDED))).times_us == times(0)


def test_events_with_other_values_exclude_lie_between_and_open_an_after_all_the_same() -> None:
    other = journey("ana", (0, VIEWED, cart("a")), (1, REMOVED, cart("b")), (2, ADDED, cart("a")))
    assert result(funnel(VIEWED, ADDED, same=("cart_id",), exclude=(excluded(0, 1, REMOVED),)), other).depth == 1
    assert result(funnel(VIEWED, ADDED, same=("cart_id",), order=Order.STRICT), other).depth == 1
    after_removed = Alternative(ADDED, after=(Alternative(REMOVED),))
    assert result(funnel(VIEWED, after_removed, same=("cart_id",)), other).depth == 2


# Rule 3: strict


def test_strict_lets_no_other_event_lie_between_two_steps() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, order=Order.STRICT)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED)) == times(0, 1, 2)
    assert chain(definition, (0, VIEWED), (1, "page_viewed"), (2, ADDED), (3, ORDERED)) == times(0)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ADDED), (3, ORDERED)) == times(0, 1)


def test_in_strict_order_any_chain_counts_too() -> None:
    definition = funnel(VIEWED, ADDED, order=Order.STRICT)
    assert chain(definition, (0, VIEWED), (1, VIEWED), (2, CLICKED), (3, VIEWED), (4, ADDED)) == times(3, 4)


def test_what_happens_at_the_same_instant_may_lie_between() -> None:
    definition = funnel(VIEWED, ADDED, order=Order.STRICT)
    assert chain(definition, (0, "page_viewed"), (0, VIEWED), (0, ADDED)) == times(0, 0)
    assert chain(definition, (0, VIEWED), (0, "page_viewed"), (1, ADDED)) == times(0)


def test_events_of_other_persons_lie_between_nothing() -> None:
    definition = funnel(VIEWED, ADDED, order=Order.STRICT)
    assert reached(definition, [*journey("ana", (0, VIEWED), (2, ADDED)), *journey("ben", (1, VIEWED))]) == [2, 1]


def test_a_strict_chain_may_skip_an_optional_step_but_no_event() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED, order=Order.STRICT)
    assert chain(definition, (0, VIEWED), (1, ORDERED)) == times(0, None, 1)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED)) == times(0, 1, 2)
    assert chain(definition, (0, VIEWED), (1, REMOVED), (2, ORDERED)) == times(0)


# Rule 4: any_order


def test_in_any_order_it_counts_how_many_different_steps_happened() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, order=Order.ANY_ORDER)
    assert chain(definition, (0, ORDERED), (1, VIEWED), (2, ADDED)) == times(0, 1, 2)
    assert chain(definition, (0, ORDERED), (1, ADDED)) == times(0, 1)
    assert chain(definition, (0, ADDED), (1, ADDED)) == times(0)


def test_in_any_order_the_window_runs_from_the_earliest_of_the_steps() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, order=Order.ANY_ORDER, window=HOUR)
    assert chain(definition, (0, ORDERED), (1, VIEWED), (HOUR, ADDED)) == times(0, 1, HOUR)
    assert chain(definition, (0, ORDERED), (1, VIEWED), (HOUR + MICROSECOND, ADDED)) == times(0, 1)


def test_in_any_order_the_earliest_step_must_happen_in_the_range() -> None:
    definition = funnel(VIEWED, ADDED, order=Order.ANY_ORDER, start=0, end=HOUR)
    assert chain(definition, (-1, ADDED), (0, VIEWED)) == times(0)
    assert chain(definition, (HOUR - 1, ADDED), (HOUR, VIEWED)) == times(HOUR - 1, HOUR)
    assert reached(definition, journey("ana", (HOUR, ADDED), (HOUR, VIEWED))) == [0, 0]


def test_in_any_order_too_one_event_is_given_to_one_step_only() -> None:
    definition = funnel(VIEWED, SALE, order=Order.ANY_ORDER)
    on_sale: dict[str, object] = {"on_sale": True}
    assert result(definition, journey("ana", (0, VIEWED, on_sale))).depth == 1
    assert result(definition, journey("ana", (0, VIEWED), (1, VIEWED))).depth == 1
    assert result(definition, journey("ana", (0, VIEWED, on_sale), (1, VIEWED))).depth == 2


def test_in_any_order_events_are_given_away_so_that_as_many_steps_as_possible_get_one() -> None:
    """The first could take each of the three steps, the second two of them, the third one."""
    a, b, c = (Alternative(VIEWED, where=(Condition(name, Operator.EXISTS),)) for name in "abc")
    definition = funnel(a, b, c, order=Order.ANY_ORDER)
    all_three: dict[str, object] = {"a": 1, "b": 1, "c": 1}
    two: dict[str, object] = {"a": 1, "b": 1}
    one: dict[str, object] = {"a": 1}
    assert reached(definition, journey("ana", (0, VIEWED, all_three), (1, VIEWED, two), (2, VIEWED, one))) == [1, 1, 1]
    assert reached(definition, journey("ana", (0, VIEWED, two), (1, VIEWED, two), (2, VIEWED, one))) == [1, 1, 0]


def test_in_any_order_all_events_have_the_same_values() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, order=Order.ANY_ORDER, same=("cart_id",))
    events = journey("ana", (0, ORDERED, cart("a")), (1, VIEWED, cart("b")), (2, ADDED, cart("a")))
    assert result(definition, events).times_us == times(0, 2)


# Rule 5: optional


def test_a_chain_may_skip_an_optional_step() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED)
    assert chain(definition, (0, VIEWED), (2, ORDERED)) == times(0, None, 2)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED)) == times(0, 1, 2)
    assert chain(definition, (0, VIEWED), (1, ADDED)) == times(0, 1)
    assert chain(definition, (0, VIEWED), (2, ORDERED), (3, ADDED)) == times(0, None, 2)


def test_several_optional_steps_may_be_skipped_each_by_itself() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), step(CLICKED, optional=True), ORDERED)
    assert chain(definition, (0, VIEWED), (3, ORDERED)) == times(0, None, None, 3)
    assert chain(definition, (0, VIEWED), (1, CLICKED), (3, ORDERED)) == times(0, None, 1, 3)
    assert chain(definition, (0, VIEWED), (1, ADDED), (3, ORDERED)) == times(0, 1, None, 3)


def test_a_last_step_that_is_optional_counts_as_reached_only_when_done() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True))
    assert reached(definition, journey("ana", (0, VIEWED))) == [1, 0]
    assert reached(definition, journey("ana", (0, VIEWED), (1, ADDED))) == [1, 1]


def test_who_skipped_a_step_counts_among_those_who_reached_it_and_its_own_share_is_given_beside() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED, step("product_reviewed", optional=True))
    events = [
        *journey("ana", (0, VIEWED), (1, ADDED), (2, ORDERED), (3, "product_reviewed")),
        *journey("ben", (0, VIEWED), (2, ORDERED)),
        *journey("cleo", (0, VIEWED), (1, ADDED)),
        *journey("dan", (0, VIEWED)),
    ]
    found = funnel_oracle(definition, events, LONG_AFTER_US)
    assert reached_counts(definition, found) == [4, 3, 2, 1]
    assert done_counts(definition, found) == [None, (1, 2), None, (1, 1)]


def test_an_exclusion_spans_an_optional_step_done_or_skipped() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED, exclude=(excluded(0, 2, REMOVED),))
    assert chain(definition, (0, VIEWED), (1, REMOVED), (2, ORDERED)) == times(0)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, REMOVED), (3, ORDERED)) == times(0, 1)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED), (3, REMOVED)) == times(0, 1, 2)


# Actors


def test_a_session_ends_with_a_gap_longer_than_the_timeout_and_each_one_counts() -> None:
    definition = funnel(VIEWED, ADDED, actor=Actor.SESSION)
    events = journey("ana", (0, VIEWED), (1, ADDED), (2 + MICROSECOND, VIEWED), (5, ADDED))
    found = funnel_oracle(definition, events, LONG_AFTER_US, session_timeout_us=1_000_000)
    assert {actor: each.times_us for actor, each in found.items()} == {
        ("ana", 0): times(0, 1),
        ("ana", 1): times(2 + MICROSECOND),
    }


def test_events_of_any_name_keep_a_session_going() -> None:
    definition = funnel(VIEWED, ADDED, actor=Actor.SESSION)
    assert reached(definition, journey("ana", (0, VIEWED), (2, ADDED))) == [1, 0]
    assert reached(definition, journey("ana", (0, VIEWED), (1, "scroll"), (2, ADDED))) == [1, 1]
    assert reached(definition, [*journey("ana", (0, VIEWED), (2, ADDED)), *journey("ben", (1, "scroll"))]) == [1, 0]


def test_an_after_and_a_person_filter_look_beyond_the_session() -> None:
    events = journey("ana", (-DAY, ORDERED), (0, VIEWED), (1, ORDERED), (DAY, CLICKED))
    assert reached(funnel(VIEWED, RETENTION, actor=Actor.SESSION), events) == [1, 1]
    clicked = funnel(VIEWED, ORDERED, actor=Actor.SESSION, persons=(who_did(CLICKED),))
    assert reached(clicked, events) == [1, 1]
    assert reached(clicked, events[:-1]) == [0, 0]


def test_an_account_has_the_events_of_all_its_persons_and_no_others() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, actor=Actor.ACCOUNT)
    events = [
        *journey("ana", (0, VIEWED), (10, VIEWED), account="acme"),
        *journey("ben", (11, ADDED), account="acme"),
        *journey("ben", (12, ORDERED), account="globex"),
        *journey("ana", (0, VIEWED), (13, ADDED), (14, ORDERED)),
    ]
    found = funnel_oracle(definition, events, LONG_AFTER_US)
    assert {actor: (each.times_us, each.person) for actor, each in found.items()} == {"acme": (times(10, 11), "ana")}


def test_an_after_looks_at_the_person_and_not_at_the_account() -> None:
    definition = funnel(VIEWED, RETENTION, actor=Actor.ACCOUNT)
    viewed = journey("ana", (5, VIEWED), account="acme")
    own, others = journey("ana", (0, ORDERED)), journey("ben", (0, ORDERED), account="acme")
    assert reached(definition, [*viewed, *own, *journey("ana", (6, ORDERED), account="acme")]) == [1, 1]
    assert reached(definition, [*viewed, *others, *journey("ana", (6, ORDERED), account="acme")]) == [1, 0]


def test_a_person_who_fails_a_filter_adds_no_step_to_the_account_but_still_excludes_and_lies_between() -> None:
    ana = journey("ana", (0, VIEWED), (2, ADDED), (3, ADDED), account="acme")
    ben = journey("ben", (-1, CLICKED), (1, REMOVED), (2.5, ADDED), account="acme")
    all_but_ben = (who_did_not(CLICKED, start=-DAY),)
    definition = funnel(VIEWED, ADDED, actor=Actor.ACCOUNT, persons=all_but_ben)
    assert result(definition, [*ana, *ben]).times_us == times(0, 2)
    assert result(replace(definition, exclude=(excluded(0, 1, REMOVED),)), [*ana, *ben]).times_us == times(0)
    assert result(replace(definition, order=Order.STRICT), [*ana, *ben]).times_us == times(0)
    assert reached(definition, [*journey("ana", (0, ADDED), account="acme"), *ben]) == [0, 0]


# Filters on persons and as_of


def test_only_persons_count_who_did_one_of_the_things_in_the_time_asked_for() -> None:
    definition = funnel(VIEWED, persons=(who_did(CLICKED, ORDERED, start=10, end=20),))
    events = [
        *journey("too early", (0, VIEWED), (10 - MICROSECOND, CLICKED)),
        *journey("first", (0, VIEWED), (10, CLICKED)),
        *journey("another", (0, VIEWED), (15, ORDERED)),
        *journey("last", (0, VIEWED), (20 - MICROSECOND, CLICKED)),
        *journey("too late", (0, VIEWED), (20, CLICKED)),
        *journey("never", (0, VIEWED)),
    ]
    assert set(funnel_oracle(definition, events, LONG_AFTER_US)) == {"first", "another", "last"}
    did_not = replace(definition, persons=(who_did_not(CLICKED, ORDERED, start=10, end=20),))
    assert set(funnel_oracle(did_not, events, LONG_AFTER_US)) == {"too early", "too late", "never"}


def test_all_person_filters_must_hold_and_they_may_have_conditions_and_an_after() -> None:
    big_again = Alternative(ORDERED, where=(Condition("value", Operator.GREATER, 100),), after=(Alternative(ORDERED),))
    definition = funnel(VIEWED, persons=(who_did(big_again), who_did_not(CLICKED)))
    big = {"value": 101}
    assert reached(definition, journey("ana", (0, VIEWED), (1, ORDERED), (2, ORDERED, big))) == [1]
    assert reached(definition, journey("ana", (0, VIEWED), (1, ORDERED, big))) == [0]
    assert reached(definition, journey("ana", (0, VIEWED), (1, ORDERED), (2, ORDERED, big), (3, CLICKED))) == [0]


def test_as_of_leaves_out_what_was_received_at_that_time_or_later() -> None:
    viewed, added = journey("ana", (0, VIEWED), (1, ADDED))
    events = [replace(viewed, received_at_us=at_us(10)), replace(added, received_at_us=at_us(20))]
    definition = funnel(VIEWED, ADDED)
    assert reached(replace(definition, as_of_us=at_us(10)), events) == [0, 0]
    assert reached(replace(definition, as_of_us=at_us(20)), events) == [1, 0]
    assert reached(replace(definition, as_of_us=at_us(20 + MICROSECOND)), events) == [1, 1]


def test_what_as_of_leaves_out_opens_no_after_joins_no_sessions_and_passes_no_filter() -> None:
    clicked, viewed, added = journey("ana", (0, CLICKED), (1, VIEWED), (2, ADDED))
    late = [replace(clicked, received_at_us=at_us(50)), viewed, added]
    after_click = Alternative(VIEWED, after=(Alternative(CLICKED),))
    now, then = at_us(100), at_us(50)
    for definition in (funnel(after_click), funnel(VIEWED, persons=(who_did(CLICKED),))):
        assert reached(replace(definition, as_of_us=now), late) == [1]
        assert reached(replace(definition, as_of_us=then), late) == [0]
    between = [clicked, replace(viewed, received_at_us=at_us(50)), added]
    session = funnel(CLICKED, ADDED, actor=Actor.SESSION)
    assert reached(replace(session, as_of_us=now), between) == [1, 1]
    assert reached(replace(session, as_of_us=then), between) == [1, 0]


def test_as_of_is_the_now_that_decides_between_lost_and_in_progress() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR)
    events = journey("ana", (0, VIEWED))
    assert result(replace(definition, as_of_us=at_us(HOUR)), events).in_progress
    assert not result(replace(definition, as_of_us=at_us(HOUR + MICROSECOND)), events).in_progress


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


def test_first_to_get_there_is_meant_in_the_total_order_also_among_events_of_the_same_time() -> None:
    definition = funnel(VIEWED, ADDED)
    viewed, added, also_added = journey("ana", (0, VIEWED), (5, ADDED), (5, ADDED))
    assert result(definition, [viewed, added, replace(also_added, seq=-1)]).chain[1] == replace(also_added, seq=-1)
    assert result(definition, [viewed, added, also_added]).chain[1] == added


def test_an_optional_step_done_is_reported_rather_than_one_skipped() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ORDERED)) == times(0, 1, 2)


def test_but_the_first_to_get_there_and_the_latest_entry_come_before_an_optional_step() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED)
    assert chain(definition, (0, VIEWED), (1, ORDERED), (2, ADDED), (3, ORDERED)) == times(0, None, 1)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, VIEWED), (3, ORDERED)) == times(2, None, 3)


def test_of_two_optional_steps_the_later_one_is_done_where_only_one_can_be() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), step(CLICKED, optional=True), ORDERED)
    assert chain(definition, (0, VIEWED), (1, CLICKED), (2, ADDED), (3, ORDERED)) == times(0, None, 1, 3)
    either = funnel(VIEWED, step(ADDED, optional=True), step(ADDED, optional=True), ORDERED)
    assert chain(either, (0, VIEWED), (1, ADDED), (3, ORDERED)) == times(0, None, 1, 3)


def test_the_step_before_the_last_is_as_early_as_its_own_bounds_let_it_be() -> None:
    definition = funnel(VIEWED, ADDED, step(ORDERED, within=2))
    assert chain(definition, (0, VIEWED), (1, ADDED), (3, ADDED), (4, ADDED), (5, ORDERED)) == times(0, 3, 5)


def test_a_later_step_is_made_early_first_and_an_earlier_one_then_as_it_must() -> None:
    definition = funnel(VIEWED, ADDED, step(CLICKED, within=1), ORDERED)
    events = [(0, VIEWED), (1, ADDED), (5, ADDED), (6, CLICKED), (8, ADDED), (9, CLICKED), (10, ORDERED)]
    assert chain(definition, *events) == times(0, 5, 6, 10)
    assert chain(definition, (0, VIEWED), (1, ADDED), (2, ADDED), (2, CLICKED), (3, ORDERED)) == times(0, 1, 2, 3)


def test_in_any_order_the_furthest_then_the_first_to_get_there_then_the_latest_entry_is_reported() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, order=Order.ANY_ORDER, window=HOUR)
    assert chain(definition, (0, ADDED), (1, VIEWED), (2 * HOUR, ORDERED), (2 * HOUR, VIEWED), (3 * HOUR, ADDED)) == (
        times(2 * HOUR, 2 * HOUR, 3 * HOUR)
    )
    assert chain(definition, (0, ADDED), (10, VIEWED), (20, ADDED)) == times(0, 10)
    assert chain(definition, (0, ADDED), (1, ADDED), (10, VIEWED)) == times(1, 10)
    assert chain(definition, (0, ADDED), (1, VIEWED), (2, VIEWED), (3, ORDERED)) == times(0, 1, 3)


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
    found = result(definition, events, at_us(HOUR + 1))
    assert (found.times_us, found.in_progress) == (times(0, 1), True)
    assert not result(definition, events, at_us(91 * MINUTE)).in_progress


def test_an_entry_outside_the_range_keeps_nobody_in_progress() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR, end=MINUTE)
    events = journey("ana", (0, VIEWED), (30 * MINUTE, VIEWED))
    assert not result(definition, events, at_us(HOUR + 1)).in_progress


def test_who_reached_the_last_step_is_not_in_progress() -> None:
    assert not result(funnel(VIEWED, ADDED), journey("ana", (0, VIEWED), (1, ADDED)), at_us(2)).in_progress


def test_an_excluded_person_is_in_progress_all_the_same_as_another_entry_may_be_known_later() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR, exclude=(excluded(0, 1, REMOVED),))
    events = journey("ana", (0, VIEWED), (1, REMOVED), (2, ADDED))
    assert result(definition, events, at_us(HOUR)).in_progress


def test_the_window_alone_decides_what_is_in_progress_and_not_the_time_of_a_step() -> None:
    definition = funnel(VIEWED, step(ADDED, within=60), window=HOUR)
    assert result(definition, journey("ana", (0, VIEWED)), at_us(HOUR)).in_progress


def test_in_any_order_each_event_of_a_step_in_the_range_is_an_entry_that_keeps_in_progress() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, order=Order.ANY_ORDER, window=HOUR, end=HOUR)
    events = journey("ana", (0, VIEWED), (30 * MINUTE, ADDED), (HOUR, ADDED))
    assert result(definition, events, at_us(90 * MINUTE)).in_progress
    assert not result(definition, events, at_us(90 * MINUTE + MICROSECOND)).in_progress


# Rule 7: count=entries


def test_a_new_attempt_begins_with_the_first_entry_after_the_last_step_was_reached() -> None:
    definition = funnel(VIEWED, ADDED)
    events = [(0, VIEWED), (1, VIEWED), (2, ADDED), (3, ADDED), (4, VIEWED), (5, ADDED)]
    assert attempts(definition, *events) == [times(0, 2), times(4, 5)]
    assert attempts(funnel(VIEWED), (0, VIEWED), (1, ADDED), (2, VIEWED)) == [times(0), times(2)]


def test_the_event_that_ends_an_attempt_does_not_begin_the_next() -> None:
    assert attempts(funnel(VIEWED, VIEWED), (0, VIEWED), (1, VIEWED), (2, VIEWED)) == [times(0, 1), times(2)]


def test_all_chains_of_an_attempt_begin_with_its_entry_though_a_later_one_would_get_further() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR)
    assert attempts(definition, (0, VIEWED), (30 * MINUTE, VIEWED), (70 * MINUTE, ADDED)) == [times(0)]


def test_a_new_attempt_begins_with_the_first_entry_after_the_window() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR)
    assert attempts(definition, (0, VIEWED), (HOUR, VIEWED)) == [times(0)]
    events = [(0, VIEWED), (HOUR + MICROSECOND, VIEWED), (70 * MINUTE, ADDED)]
    assert attempts(definition, *events) == [times(0), times(HOUR + MICROSECOND, 70 * MINUTE)]


def test_only_events_of_the_range_begin_attempts() -> None:
    definition = funnel(VIEWED, ADDED, start=0, end=10)
    events = [(-1, VIEWED), (0, ADDED), (1, VIEWED), (2, ADDED), (10, VIEWED), (11, ADDED)]
    assert attempts(definition, *events) == [times(1, 2)]


def test_an_excluded_event_after_the_first_step_ends_an_attempt_that_has_not_got_past_it() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 2, REMOVED),))
    again = [(4, VIEWED), (5, ADDED), (6, ORDERED)]
    events = [(0, VIEWED), (1, REMOVED), (2, ADDED), (3, ORDERED), *again]
    assert attempts(definition, *events) == [times(0), times(4, 5, 6)]
    events = [(0, VIEWED), (1, ADDED), (2, REMOVED), (3, ORDERED), *again]
    assert attempts(definition, *events) == [times(0, 1), times(4, 5, 6)]


def test_an_excluded_event_does_not_end_an_attempt_that_has_got_past_it() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 1, REMOVED),))
    assert attempts(definition, (0, VIEWED), (1, ADDED), (2, REMOVED), (3, VIEWED), (4, ORDERED)) == [times(0, 1, 4)]


def test_an_exclusion_between_later_steps_never_ends_an_attempt() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(1, 2, REMOVED),))
    events = [(0, VIEWED), (1, ADDED), (2, REMOVED), (3, VIEWED), (4, ADDED), (5, ORDERED)]
    assert attempts(definition, *events) == [times(0, 4, 5)]


def test_the_excluded_event_that_ends_an_attempt_may_be_its_last_step_but_not_the_next_entry() -> None:
    added = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 2, ADDED),))
    assert attempts(added, (0, VIEWED), (1, ADDED), (2, ORDERED)) == [times(0, 1)]
    viewed = funnel(VIEWED, ADDED, exclude=(excluded(0, 1, VIEWED),))
    assert attempts(viewed, (0, VIEWED), (1, VIEWED), (2, ADDED)) == [times(0)]
    assert attempts(viewed, (0, VIEWED), (1, VIEWED), (2, VIEWED), (3, ADDED)) == [times(0), times(2, 3)]


def test_an_excluded_event_that_is_itself_the_step_it_must_not_precede_ends_nothing() -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, exclude=(excluded(0, 1, ADDED),))
    assert attempts(definition, (0, VIEWED), (1, ADDED), (2, ORDERED)) == [times(0, 1, 2)]


def test_an_excluded_event_after_the_window_ends_nothing() -> None:
    definition = funnel(VIEWED, ADDED, window=10, exclude=(excluded(0, 1, REMOVED),))
    assert attempts(definition, (0, VIEWED), (11, REMOVED), (12, VIEWED), (13, ADDED)) == [times(0), times(12, 13)]


def test_of_an_attempt_the_same_chain_is_reported_but_for_the_entry_which_is_given() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED, window=HOUR)
    events = [(0, VIEWED), (1, ADDED), (2, VIEWED), (3, ADDED), (4, ORDERED)]
    assert attempts(definition, *events) == [times(0, 1, 4)]


def test_in_strict_order_an_attempt_that_was_broken_off_lasts_until_its_window_is_over() -> None:
    definition = funnel(VIEWED, ADDED, window=10, order=Order.STRICT)
    events = [(0, VIEWED), (1, CLICKED), (2, VIEWED), (3, ADDED), (11, VIEWED), (12, ADDED)]
    assert attempts(definition, *events) == [times(0), times(11, 12)]


def test_in_any_order_an_attempt_begins_with_an_event_of_any_step_and_ends_when_all_have_happened() -> None:
    definition = funnel(VIEWED, ADDED, order=Order.ANY_ORDER, window=10)
    events = [(0, ADDED), (1, ADDED), (2, VIEWED), (3, VIEWED), (14, ADDED), (15, VIEWED)]
    assert attempts(definition, *events) == [times(0, 2), times(3), times(14, 15)]


def test_attempts_of_all_actors_are_counted() -> None:
    definition = funnel(VIEWED, ADDED, count=Count.ENTRIES)
    events = [*journey("ana", (0, VIEWED), (1, ADDED), (2, VIEWED), (3, ADDED)), *journey("ben", (0, VIEWED))]
    assert reached(definition, events) == [3, 2]
    assert set(funnel_oracle(definition, events, LONG_AFTER_US)) == {("ana", 0), ("ana", 1), ("ben", 0)}


def test_an_attempt_is_in_progress_until_its_own_window_has_closed_unless_it_was_excluded() -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR, count=Count.ENTRIES, exclude=(excluded(0, 1, REMOVED),))
    events = journey("ana", (0, VIEWED), (HOUR + 1, VIEWED), (HOUR + 2, REMOVED), (HOUR + 3, VIEWED))

    def in_progress(as_of: float) -> list[bool]:
        return [attempt.in_progress for attempt in attempts_oracle(definition, events, at_us(as_of))["ana"]]

    assert in_progress(HOUR) == [True, False, True]
    assert in_progress(2 * HOUR) == [False, False, True]
    assert in_progress(2 * HOUR + 4) == [False, False, False]


# Chains that are not the one to report


def test_a_chain_is_told_from_what_is_none() -> None:
    definition = funnel(VIEWED, step(ADDED, optional=True), ORDERED, window=10)
    viewed, added, ordered, too_late = events = journey("ana", (0, VIEWED), (1, ADDED), (10, ORDERED), (11, ORDERED))
    for right in ([viewed], [viewed, added], [viewed, added, ordered], [viewed, None, ordered]):
        assert is_chain(definition, events, right)
    for wrong in ([], [None], [added], [viewed, None], [viewed, ordered], [viewed, None, too_late], [None, added]):
        assert not is_chain(definition, events, wrong)
    assert not is_chain(funnel(VIEWED, ADDED, ORDERED), events, [viewed, None, ordered])
    assert not is_chain(definition, events, [viewed, added, ordered, ordered])


def test_a_chain_has_the_events_of_one_actor() -> None:
    ana, ben = journey("ana", (0, VIEWED), account="acme"), journey("ben", (1, ADDED), account="acme")
    assert not is_chain(funnel(VIEWED, ADDED), [*ana, *ben], [*ana, *ben])
    assert is_chain(funnel(VIEWED, ADDED, actor=Actor.ACCOUNT), [*ana, *ben], [*ana, *ben])


# Conditions on dimensions


def test_a_condition_may_ask_for_a_dimension_instead_of_a_property() -> None:
    mobile = Condition("device_type", Operator.EQUAL, "mobile", is_dimension=True)
    (viewed,) = journey("ana", (0, VIEWED, {"device_type": "desktop"}))
    definition = funnel(Alternative(VIEWED, where=(mobile,)))
    assert reached(definition, [replace(viewed, dimensions={"device_type": "mobile"})]) == [1]
    assert reached(definition, [replace(viewed, properties={"device_type": "mobile"})]) == [0]


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
Outcome = tuple[object, tuple[int | None, ...], bool]


def without_ties(events: list[JourneyEvent]) -> list[JourneyEvent]:
    return [replace(event, seq=number) for number, event in enumerate(events)]


def outcomes(definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int) -> list[Outcome]:
    found = funnel_oracle(definition, events, as_of_us, SESSION_TIMEOUT_US)
    return sorted(((actor, each.times_us, each.in_progress) for actor, each in found.items()), key=repr)


def none_is_less(counts: list[int], than: list[int]) -> bool:
    return all(count >= other for count, other in zip(counts, than, strict=True))


@in_any_time
@given(definitions(), journeys(), as_of_times())
def test_no_step_is_reached_by_more_than_the_step_before(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    counts = reached(definition, events, as_of_us)
    assert counts == sorted(counts, reverse=True)


@in_any_time
@given(definitions(), journeys(), as_of_times())
def test_what_is_reported_is_a_chain(definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int) -> None:
    found = funnel_oracle(definition, events, as_of_us, SESSION_TIMEOUT_US).values()
    assert all(is_chain(definition, events, each.chain, SESSION_TIMEOUT_US) for each in found)


@in_any_time
@given(unique_definitions(), st.lists(st.integers(0, 20), max_size=5, unique=True), journeys())
def test_no_chain_goes_further_or_gets_there_earlier_than_the_reported_one(
    definition: FunnelDefinition, kept: list[int], events: list[JourneyEvent]
) -> None:
    """Tries all ways to fill up to three steps with events or nothing."""
    definition = replace(
        definition,
        steps=definition.steps[:3],
        exclude=tuple(each for each in definition.exclude if each.before_step < 3),
        actor=Actor.PERSON,
    )
    own = [event for rank, event in enumerate(without_ties(events)) if event.person == PERSONS[0] and rank in kept]
    found = funnel_oracle(definition, own, LONG_AFTER_US).get(PERSONS[0])
    best = (-found.depth, max(time for time in found.times_us if time)) if found else (0, 0)
    for length in range(1, len(definition.steps) + 1):
        for filled in product([None, *own], repeat=length):
            if is_chain(definition, own, filled):
                assert filled[-1]
                assert best <= (-length, filled[-1].occurred_at_us)


@in_any_time
@given(definitions(), journeys(), as_of_times(), st.randoms())
def test_the_order_of_arrival_does_not_matter_where_something_else_orders_the_events(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int, random: Random
) -> None:
    events = without_ties(events)
    arrived = [replace(event, stored=rank) for rank, event in enumerate(random.sample(events, len(events)))]
    assert outcomes(definition, arrived, as_of_us) == outcomes(definition, events, as_of_us)


@in_any_time
@given(definitions(), journeys(), as_of_times())
def test_actors_can_be_split_and_added_up(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    """Persons and so their sessions by themselves; an account keeps the histories of its persons."""
    if definition.actor is Actor.ACCOUNT:
        parts = [
            [event if event.account == account else replace(event, account=None) for event in events]
            for account in {event.account for event in events}
        ]
    else:
        parts = [[event for event in events if event.person == person] for person in PERSONS]
    added_up = [outcome for part in parts for outcome in outcomes(definition, part, as_of_us)]
    assert outcomes(definition, events, as_of_us) == sorted(added_up, key=repr)


@in_any_time
@given(unique_definitions(), journeys(), st.integers(0, 5_000_000))
def test_a_longer_window_never_lowers_a_count(
    definition: FunnelDefinition, events: list[JourneyEvent], more_us: int
) -> None:
    longer = replace(definition, conversion_window_us=definition.conversion_window_us + more_us)
    assert none_is_less(reached(longer, events), reached(definition, events))


def test_a_longer_window_may_make_fewer_attempts() -> None:
    events = [(0, VIEWED), (10, VIEWED), (11, ADDED)]
    assert attempts(funnel(VIEWED, ADDED, window=9), *events) == [times(0), times(10, 11)]
    assert attempts(funnel(VIEWED, ADDED, window=10), *events) == [times(0)]


@in_any_time
@given(unique_definitions(), journeys(), st.integers(1, 5))
def test_fewer_steps_from_the_end_never_lower_a_count(
    definition: FunnelDefinition, events: list[JourneyEvent], kept: int
) -> None:
    """In any order a step is one way more to enter, and an optional one that has become the last can't be skipped."""
    definition = replace(definition, order=Order.IN_ORDER) if definition.order is Order.ANY_ORDER else definition
    while definition.steps[:kept][-1].optional:
        kept -= 1
    events = without_ties(events)  # which steps an event matches decides ties, so there the order may change
    shorter = replace(
        definition,
        steps=definition.steps[:kept],
        exclude=tuple(each for each in definition.exclude if each.before_step < kept),
    )
    assert reached(shorter, events) == reached(definition, events)[:kept]


@in_any_time
@given(unique_definitions(), journeys(), st.data())
def test_fewer_filters_and_bounds_never_lower_a_count(
    definition: FunnelDefinition, events: list[JourneyEvent], data: st.DataObject
) -> None:
    events = without_ties(events)
    steps = definition.steps
    fewer = data.draw(
        st.sampled_from(
            [
                replace(definition, steps=tuple(replace(step, within_us=None) for step in steps)),
                replace(definition, steps=tuple(replace(step, not_before_us=0) for step in steps)),
                replace(definition, exclude=()),
                replace(definition, same=()),
                replace(definition, persons=()),
                replace(
                    definition,
                    steps=tuple(
                        replace(step, any_of=tuple(replace(each, where=(), after=()) for each in step.any_of))
                        for step in steps
                    ),
                ),
            ]
        )
    )
    assert none_is_less(reached(fewer, events), reached(definition, events))


@in_any_time
@given(plain_definitions(), journeys(), st.sampled_from(Actor), st.sampled_from(((), ("cart_id",))))
def test_strict_order_reaches_no_more_than_order_and_order_no_more_than_any_order(
    plain: FunnelDefinition, events: list[JourneyEvent], actor: Actor, same: tuple[str, ...]
) -> None:
    in_order = replace(plain, actor=actor, same=same)
    counts = [reached(replace(in_order, order=order), events) for order in Order]
    assert none_is_less(counts[0], than=counts[1])
    assert none_is_less(counts[2], than=counts[0])


@in_any_time
@given(unique_definitions().filter(lambda asked: asked.order is Order.STRICT), journeys())
def test_strict_order_reaches_no_more_than_order_with_any_options(
    strict: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    assert none_is_less(reached(replace(strict, order=Order.IN_ORDER), events), than=reached(strict, events))


@in_any_time
@given(definitions(), journeys(), as_of_times())
def test_who_has_an_attempt_has_entered_and_nobody_else(
    definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    def actors(count: Count) -> set[object]:
        return set(attempts_oracle(replace(definition, count=count), events, as_of_us, SESSION_TIMEOUT_US))

    assert actors(Count.ENTRIES) == actors(Count.UNIQUE)
