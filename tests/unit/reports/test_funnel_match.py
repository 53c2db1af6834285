"""The compiled funnel, from SQL to one result per person, equals the oracle on random journeys."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app.domain.funnel import Actor, Alternative, FunnelDefinition, Step
from tests.journeys import DAY, HOUR, JourneyEvent, at_us, funnel, journey, who_did
from tests.oracle import done_counts, funnel_oracle, reached_counts
from tests.strategies import (
    PERSONS,
    SESSION_TIMEOUT_US,
    as_of_times,
    definitions,
    journeys,
    order_definitions,
    plain_definitions,
    unique_definitions,
)
from tests.unit.reports.journey_mirror import Identity, JourneyMirror, Link, Matched

LONG_AFTER_US = at_us(1000 * DAY)
VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"

few = settings(max_examples=30)  # the oracle has these invariants too, and is held to them by more examples


def by_oracle(definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int = LONG_AFTER_US) -> list[Matched]:
    found = funnel_oracle(definition, events, as_of_us, definition.session_timeout_us).values()
    results = (
        Matched(
            each.depth,
            each.times_us,
            tuple(None if event is None else event.stored for event in each.chain),
            each.in_progress,
        )
        for each in found
    )
    return sorted(results, key=repr)


def depths_and_times(found: list[Matched]) -> list[tuple[int, tuple[int | None, ...]]]:
    return [(each.depth, each.times_us) for each in found]


def reached(mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]) -> list[int]:
    return [step.reached_count for step in mirror.report(definition, events, LONG_AFTER_US).steps]


def without_ties(events: list[JourneyEvent]) -> list[JourneyEvent]:
    return [replace(event, seq=number) for number, event in enumerate(events)]


# The same as the oracle


@settings(max_examples=200)
@given(plain_definitions(), journeys(), as_of_times())
def test_plain_funnels_give_each_actor_the_chain_that_the_oracle_gives(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    assert mirror.matched(definition, events, as_of_us=as_of_us) == by_oracle(definition, events, as_of_us)


@settings(max_examples=300)
@given(definitions(), journeys(), as_of_times())
def test_funnels_with_options_give_each_actor_the_chain_that_the_oracle_gives(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    definition = replace(definition, session_timeout_us=SESSION_TIMEOUT_US)
    assert mirror.matched(definition, events, as_of_us=as_of_us) == by_oracle(definition, events, as_of_us)


@settings(max_examples=200)
@given(order_definitions(), journeys((ORDERED, ORDERED, ADDED)))
def test_orders_come_after_others_as_the_oracle_says(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    assert mirror.matched(definition, events, as_of_us=LONG_AFTER_US) == by_oracle(definition, events)


@settings(max_examples=60)
@given(definitions(), journeys(), as_of_times(), as_of_times())
def test_as_of_an_earlier_time_only_what_was_received_by_then_counts(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int, now_us: int
) -> None:
    definition = replace(definition, as_of_us=min(as_of_us, now_us))
    assert mirror.matched(definition, events, as_of_us=now_us) == by_oracle(definition, events, now_us)


@settings(max_examples=120)
@given(definitions(), journeys(), as_of_times())
def test_the_report_counts_reached_lost_and_in_progress_as_the_oracle_does(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int
) -> None:
    results = funnel_oracle(definition, events, as_of_us, definition.session_timeout_us)
    steps = mirror.report(definition, events, as_of_us).steps
    assert [step.reached_count for step in steps] == reached_counts(definition, results)
    for step, done in zip(steps, done_counts(definition, results), strict=True):
        assert (step.done_count, step.done_ratio) == (
            done and done[0],
            done and (done[0] / done[1] if done[1] else None),
        )
    for step in steps[:-1]:
        stopped = [each.in_progress for each in results.values() if each.depth == step.step_number]
        counts = (step.drop_off_count, step.lost_count, step.in_progress_count)
        assert counts == (len(stopped), stopped.count(False), stopped.count(True))


def names_of_persons() -> SearchStrategy[Callable[[JourneyEvent], Identity]]:
    """Ana is customer 1 on visitors 11 and 12, Ben is customer 2 on visitor 21; events name one or both."""
    known = {
        "ana": [Identity(11), Identity(12), Identity(None, 1), Identity(11, 1)],
        "ben": [Identity(21), Identity(None, 2)],
    }
    return st.integers(0, 3).map(
        lambda shift: lambda event: known[event.person][(event.stored + shift) % len(known[event.person])]
    )


@settings(max_examples=80)
@given(definitions(), journeys(), names_of_persons(), st.integers(-1, 9).map(at_us))
def test_a_customer_is_one_person_under_all_names_whenever_they_were_linked(
    mirror: JourneyMirror,
    definition: FunnelDefinition,
    events: list[JourneyEvent],
    identity: Callable[[JourneyEvent], Identity],
    linked_at_us: int,
) -> None:
    links = [Link(11, 1, linked_at_us), Link(12, 1, linked_at_us), Link(21, 2, linked_at_us)]
    found = mirror.matched(definition, events, identity=identity, links=links, as_of_us=LONG_AFTER_US)
    assert found == by_oracle(definition, events)


def test_a_funnel_of_fifty_steps_is_followed_to_its_end(mirror: JourneyMirror) -> None:
    names = [f"page_{number}" for number in range(50)]
    events = journey("ana", *((float(second), name) for second, name in enumerate(names)))
    (only,) = mirror.matched(funnel(*names), events)
    assert only.stored == tuple(range(50))


def test_a_gate_beyond_the_fiftieth_step_still_opens(mirror: JourneyMirror) -> None:
    """Fifty steps and thirteen gates fill a mask to its last bit."""
    steps = tuple(Alternative(f"page_{n}", after=(Alternative(f"gate_{n}"),) if n < 13 else ()) for n in range(50))
    opened = [(-60.0 + n, f"gate_{n}") for n in range(13)]
    pages = [(float(n), f"page_{n}") for n in range(50)]
    assert reached(mirror, funnel(*steps), journey("ana", *opened, *pages)) == [1] * 50
    assert reached(mirror, funnel(*steps), journey("ana", *opened[:12], *pages)) == [1] * 12 + [0] * 38


def test_names_that_nobody_ever_sent_match_nothing(mirror: JourneyMirror) -> None:
    assert reached(mirror, funnel("never sent", VIEWED), journey("ana", (0, VIEWED))) == [0, 0]


def test_a_range_and_window_at_the_ends_of_time_are_no_overflow(mirror: JourneyMirror) -> None:
    definition = replace(
        funnel(VIEWED, ADDED),
        start_us=-62_135_596_800_000_000,  # year 1
        end_us=253_402_300_799_999_999,  # the end of year 9999
        conversion_window_us=10 * 366 * 86_400_000_000,
    )
    events = journey("ana", (0, VIEWED), (3 * 366 * DAY, ADDED))
    assert reached(mirror, definition, events) == [1, 1]


# Orders that are reported again

AGAIN = Alternative(ORDERED, after=(Alternative(ORDERED),))
SEVEN, EIGHT = {"order_id": 7}, {"order_id": "8"}


def test_who_bought_long_ago_and_once_in_the_range_did_not_come_back_after_that(mirror: JourneyMirror) -> None:
    """What came after the first order is the second, and not the second report of that."""
    events = journey("ana", (-DAY, ORDERED, SEVEN), (0, ORDERED, EIGHT), (5, ORDERED, EIGHT))
    assert reached(mirror, funnel(ORDERED, AGAIN), events) == [1, 0]
    assert reached(mirror, funnel(AGAIN), events) == [1]


def test_what_else_is_said_of_an_order_comes_after_it(mirror: JourneyMirror) -> None:
    """Only `order_completed` reports it."""
    refunded = Alternative("order_refunded", after=AGAIN.after)
    events = journey("ana", (0, ORDERED, SEVEN), (5, "order_refunded", SEVEN))
    assert reached(mirror, funnel(ORDERED, (AGAIN, refunded)), events) == [1, 1]


def test_an_order_of_before_the_range_is_not_another_one_in_it(mirror: JourneyMirror) -> None:
    after_a_look = Alternative(ORDERED, after=(Alternative(VIEWED),))
    events = journey("ana", (-9, VIEWED), (-5, ORDERED, SEVEN), (5, ORDERED, SEVEN))
    assert reached(mirror, funnel(after_a_look), events) == [0]
    assert reached(mirror, funnel(after_a_look), [*events, *journey("ana", (6, ORDERED, EIGHT))]) == [1]


def test_nor_is_it_for_those_who_did_something_in_it(mirror: JourneyMirror) -> None:
    who = (who_did(AGAIN, start=3),)
    events = journey("ana", (0, ORDERED, SEVEN), (1, ORDERED, EIGHT), (4, ORDERED, EIGHT))
    assert reached(mirror, funnel(ORDERED, persons=who), events) == [0]
    assert reached(mirror, funnel(ORDERED, persons=who), [*events, *journey("ana", (6, ORDERED))]) == [1]


# Invariants


@few
@given(definitions(), journeys())
def test_no_step_is_reached_by_more_than_the_step_before(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    counts = reached(mirror, definition, events)
    assert counts == sorted(counts, reverse=True)


@few
@given(definitions(), journeys(), st.randoms())
def test_the_order_of_arrival_does_not_matter_where_something_else_orders_the_events(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], random: Random
) -> None:
    events = without_ties(events)
    arrived = [replace(event, stored=rank) for rank, event in enumerate(random.sample(events, len(events)))]
    assert depths_and_times(mirror.matched(definition, arrived)) == depths_and_times(mirror.matched(definition, events))


@few
@given(definitions(), journeys(), st.randoms())
def test_the_order_of_rows_in_the_file_does_not_matter(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], random: Random
) -> None:
    shuffled = random.sample(events, len(events))
    assert mirror.matched(definition, shuffled) == mirror.matched(definition, events)


@few
@given(unique_definitions().filter(lambda definition: definition.actor is not Actor.ACCOUNT), journeys())
def test_persons_can_be_split_and_added_up(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    parts = [reached(mirror, definition, [e for e in events if e.person == person]) for person in PERSONS]
    assert reached(mirror, definition, events) == [sum(column) for column in zip(*parts, strict=True)]


@few
@given(plain_definitions(), journeys(), st.integers(0, 5_000_000))
def test_a_longer_window_never_lowers_a_count(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], more_us: int
) -> None:
    longer = replace(definition, conversion_window_us=definition.conversion_window_us + more_us)
    pairs = zip(reached(mirror, longer, events), reached(mirror, definition, events), strict=True)
    assert all(with_longer >= count for with_longer, count in pairs)


@few
@given(plain_definitions(), journeys(), st.integers(1, 5))
def test_fewer_steps_from_the_end_never_lower_a_count(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], kept: int
) -> None:
    events = without_ties(events)  # which steps an event matches decides ties, so there the order may change
    shorter = replace(definition, steps=definition.steps[:kept])
    assert reached(mirror, shorter, events) == reached(mirror, definition, events)[:kept]


def without_conditions(step: Step) -> Step:
    return replace(step, any_of=tuple(replace(each, where=(), after=()) for each in step.any_of))


@few
@given(plain_definitions(), journeys())
def test_fewer_conditions_never_lower_a_count(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    events = without_ties(events)
    fewer = replace(definition, steps=tuple(map(without_conditions, definition.steps)))
    pairs = zip(reached(mirror, fewer, events), reached(mirror, definition, events), strict=True)
    assert all(with_fewer >= count for with_fewer, count in pairs)


# What is read


def test_events_of_other_names_and_beyond_the_window_are_not_read(mirror: JourneyMirror) -> None:
    definition = funnel(VIEWED, ADDED, start=0, end=HOUR, window=HOUR)
    events = journey("ana", (-1, VIEWED), (0, VIEWED), (1, "page_viewed"), (2 * HOUR - 1, ADDED), (2 * HOUR + 1, ADDED))
    assert mirror.report(definition, events, LONG_AFTER_US).events_read == 2
