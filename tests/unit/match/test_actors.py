"""Whose an event is, and the order of one actor's events."""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.match import actors
from app.match.actors import SPARSE_FACTOR, group_by_actor, person_ids
from app.match.rules import Sequences

# Persons


class Link(NamedTuple):
    visitor: int
    customer: int
    at: int


def persons(events: Sequence[tuple[int, int, int]], links: Sequence[tuple[int, int, int]] = ()) -> list[int]:
    """events: (visitor, customer, time), 0 for none; links: (visitor, customer, time)."""
    visitor, customer, at = np.array(events, np.int64).reshape(-1, 3).T
    linked = sorted((Link(*link) for link in links), key=lambda link: (link.visitor, link.at, link.customer))
    link_columns = np.array(linked, np.int64).reshape(-1, 3).T
    return [int(person) for person in person_ids(visitor, customer, at, *link_columns)]


def test_a_visitor_whom_nobody_identified_is_a_person() -> None:
    assert persons([(7, 0, 100), (8, 0, 100)]) == [7, 8]


def test_a_login_works_back_in_time() -> None:
    assert persons([(7, 0, 1), (7, 0, 50), (7, 0, 99)], links=[(7, 3, 50)]) == [-3, -3, -3]


def test_the_visitor_whose_number_is_the_first_can_log_in_too() -> None:
    assert persons([(1, 0, 1), (2, 0, 1)], links=[(1, 3, 50)]) == [-3, 2]


def test_a_customer_is_one_person_on_all_linked_visitors() -> None:
    assert persons([(7, 0, 1), (8, 0, 1), (9, 0, 1)], links=[(7, 3, 50), (9, 3, 10)]) == [-3, 8, -3]


def test_an_event_that_names_a_customer_is_the_customers_whoever_else_used_the_visitor() -> None:
    assert persons([(7, 4, 1), (0, 5, 1), (7, 0, 1)], links=[(7, 3, 50)]) == [-4, -5, -3]


def test_of_two_customers_on_one_visitor_each_has_what_came_after_the_own_login() -> None:
    links = [(7, 3, 50), (7, 4, 80), (8, 9, 60)]
    events = [(7, 0, 1), (7, 0, 49), (7, 0, 50), (7, 0, 79), (7, 0, 80), (7, 0, 999)]
    assert persons(events, links) == [-3, -3, -3, -3, -4, -4]


def test_of_two_logins_at_the_same_time_the_higher_customer_has_what_came_after() -> None:
    assert persons([(7, 0, 1), (7, 0, 50)], links=[(7, 4, 50), (7, 3, 50)]) == [-3, -4]


def test_of_three_customers_on_one_visitor_each_has_a_time_of_the_own() -> None:
    links = [(7, 3, 10), (7, 4, 20), (7, 5, 30), (8, 6, 1)]
    assert persons([(7, 0, at) for at in (9, 10, 19, 20, 29, 30, 99)], links) == [-3, -3, -3, -4, -4, -5, -5]


def test_a_device_that_goes_to_and_fro_is_each_time_whoever_logged_in_last() -> None:
    links = [(7, 3, 10), (7, 4, 20), (7, 3, 30)]
    assert persons([(7, 0, at) for at in (1, 15, 25, 35)], links) == [-3, -3, -4, -3]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 1000])
def test_a_device_of_many_logins_is_whoever_came_last_before_each_event(count: int) -> None:
    links = [(7, customer, 10 * customer) for customer in range(1, count + 1)]
    events = [(7, 0, 10 * customer + 5) for customer in range(count + 1)]
    assert persons(events, [(6, 99, 1), *links, (8, 99, 1)]) == [-1, *(-customer for customer in range(1, count + 1))]


def test_links_of_visitors_without_events_and_events_of_nobody_linked_do_no_harm() -> None:
    assert persons([(2, 0, 1)], links=[(1, 3, 5), (3, 4, 5), (1_000_000, 5, 5)]) == [2]
    assert persons([(0, 6, 1)], links=[(1, 3, 5)]) == [-6]
    assert persons([], links=[(1, 3, 5)]) == []


def test_customers_and_visitors_of_the_same_number_are_different_persons() -> None:
    assert persons([(7, 0, 1), (0, 7, 1)]) == [7, -7]


# Groups and their order


class Row(NamedTuple):
    """An event as the matcher sees it. The time of its row in the result tells them apart, or its mask."""

    actor: int = 1
    at: int = 0
    seq: int = 0
    steps: int = 1
    stored: int = 0


def grouped(rows: Sequence[Row]) -> list[list[int]]:
    """The numbers of each actor's rows, in order, actors without any left out."""
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    actor, at, seq, steps, stored = columns
    found = group_by_actor(actor, at, seq.astype(np.int32), stored, steps.astype(np.uint64))
    pairs = zip(found.offsets[:-1], found.offsets[1:], strict=True)
    groups = [found.row[start:end].tolist() for start, end in pairs]
    for start, end, group in zip(found.offsets[:-1], found.offsets[1:], groups, strict=True):
        assert found.occurred_at_us[start:end].tolist() == [rows[number].at for number in group]
        assert found.mask[start:end].tolist() == [rows[number].steps for number in group]
    return [group for group in groups if group]


# Each rank of the total order decides, whatever all later ranks say.
IN_ORDER = (
    Row(at=-5, seq=9, steps=0, stored=99),
    Row(at=0, seq=0, steps=0, stored=98),
    Row(at=0, seq=1, steps=0b0111, stored=97),
    Row(at=0, seq=1, steps=0b1101, stored=95),
    Row(at=0, seq=1, steps=0b1001, stored=96),  # same lowest and highest step: the order of storing
    Row(at=0, seq=1, steps=0b1101, stored=97),
    Row(at=0, seq=1, steps=0b0010, stored=95),
    Row(at=0, seq=1, steps=0b0110, stored=94),
    Row(at=0, seq=1, steps=1 << 49, stored=93),
    Row(at=0, seq=1, steps=0, stored=91),  # events that match no step come last
    Row(at=0, seq=1, steps=0, stored=92),
    Row(at=1, seq=0, steps=1, stored=0),
)


def test_events_are_ordered_by_time_seq_lowest_step_highest_step_and_storing() -> None:
    rows = list(reversed(IN_ORDER))
    assert grouped(rows) == [list(range(len(rows) - 1, -1, -1))]


@pytest.mark.parametrize("place", range(len(IN_ORDER) - 1))
def test_each_neighbour_alone_is_in_order_either_way_round(place: int) -> None:
    first, second = IN_ORDER[place : place + 2]
    assert grouped([first, second]) == [[0, 1]]
    assert grouped([second, first]) == [[1, 0]]


def test_every_permutation_of_four_ties_gives_the_same_order() -> None:
    ties = [Row(stored=0), Row(stored=1), Row(steps=2, stored=0), Row(steps=0, stored=0)]
    for shuffled in permutations(ties):
        (order,) = grouped(shuffled)
        assert [shuffled[number] for number in order] == ties


def test_actors_may_be_far_apart_and_negative() -> None:
    far = 2**60
    rows = [Row(actor=far, at=1), Row(actor=-far, at=1), Row(actor=0), Row(actor=far), Row(actor=-far)]
    assert grouped(rows) == [[4, 1], [2], [3, 0]]


def group_count(*actor: int) -> int:
    at = np.array(actor, np.int64)
    nothing = np.zeros(len(actor), np.int64)
    return len(group_by_actor(at, nothing, nothing.astype(np.int32), nothing, nothing.astype(np.uint64)).offsets) - 1


def test_actors_without_events_between_those_with_some_have_a_group_of_none() -> None:
    assert group_count(3) == 1
    assert group_count(-2, 3, 3) == 6


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_actors_at_the_bound_between_counting_and_sorting(beyond: int) -> None:
    highest = SPARSE_FACTOR * 3 + 1024 + beyond
    assert grouped([Row(actor=highest, at=1), Row(actor=0), Row(actor=highest)]) == [[1], [2, 0]]
    assert group_count(highest + 7, 7, highest + 7) == (2 if beyond > 0 else highest + 1)


def test_events_of_the_same_rank_stay_as_they_came() -> None:
    assert grouped([Row(), Row(), Row()]) == [[0, 1, 2]]


def test_nothing_is_grouped_into_nothing() -> None:
    nothing = np.zeros(0, np.int64)
    found = group_by_actor(nothing, nothing, nothing.astype(np.int32), nothing, nothing.astype(np.uint64))
    assert found.offsets.tolist() == [0]
    assert len(found.row) == len(found.occurred_at_us) == len(found.mask) == 0


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 9])
def test_in_any_number_of_parts_the_groups_are_the_same(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "parts_of", lambda _: parts)
    actor = [3, 0, 5, 3, 0, 1, 3, 5, 1, 5, 3]
    at = [9, 4, 2, 1, 8, 3, 5, 7, 2, 6, 1]
    rows = [
        Row(actor=a, at=t, stored=stored, steps=stored) for stored, (a, t) in enumerate(zip(actor, at, strict=True))
    ]
    assert grouped(rows) == [[1, 4], [8, 5], [3, 10, 6, 0], [2, 9, 7]]


def test_a_part_leaves_the_others_alone() -> None:
    """Of two actors the first part has one; the rows of the other have been put where they are by somebody."""
    actor, at, nothing = np.array([0, 0, 1, 1]), np.array([5, 4, 9, 8]), np.zeros(4, np.int64)
    offsets, mask = np.array([0, 2, 4], np.int32), np.ones(4, np.uint64)
    whole = Sequences(offsets.astype(np.int64), np.array([0, 0, 2, 3]), np.array([0, 0, 9, 8]), mask.copy())
    actors._place(0, 1, 0, offsets, actor, at, nothing.astype(np.int32), nothing, mask, whole)
    assert whole.row.tolist() == [1, 0, 2, 3]


ranks = st.integers(0, 2)
random_rows = st.builds(Row, st.integers(-2, 2), ranks, ranks, st.integers(0, 7), ranks)


def key(row: Row) -> tuple[int, ...]:
    """The order in words of semantics section 1."""
    steps = [step for step in range(3) if row.steps >> step & 1] or [99]
    return row.at, row.seq, min(steps), max(steps), row.stored


@settings(max_examples=200)
@given(st.lists(random_rows, max_size=60))
def test_grouping_is_sorting_by_actor_and_the_total_order(rows: list[Row]) -> None:
    expected: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.actor, *key(row))):
        expected.setdefault(row.actor, []).append(row)
    found = [[rows[number] for number in group] for group in grouped(rows)]
    assert [[key(row) for row in group] for group in found] == [
        [key(row) for row in group] for group in expected.values()
    ]
    assert sorted(number for group in grouped(rows) for number in group) == list(range(len(rows)))


@pytest.mark.parametrize("count", [2, 3, 1023, 1024, 1025, 5_000])
def test_an_actor_with_many_events_out_of_order(count: int) -> None:
    random = np.random.default_rng(count)
    at = random.permutation(count)
    nothing, steps = np.zeros(count, np.int64), np.ones(count, np.uint64)
    found = group_by_actor(nothing, at, nothing.astype(np.int32), nothing, steps)
    assert found.offsets.tolist() == [0, count]
    assert found.occurred_at_us.tolist() == list(range(count))
    assert at[found.row].tolist() == list(range(count))
