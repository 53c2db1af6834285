"""Persons' events held in order, who of them is there, and whose links have changed."""

from collections.abc import Sequence

import numpy as np

from app.match.timelines import (
    IS_BOT,
    IS_FIRST,
    MARKS_PER_NAME,
    Timelines,
    changed_visitors,
    events_of,
    first_rows,
    places_of,
)
from tests.unit.match.held import BOUGHT, FOREVER, VIEWED, Event, timelines

# What is held


def test_each_persons_events_lie_together_in_order_of_time_seq_and_storing() -> None:
    held = timelines(
        Event(5, at=9), Event(-3, at=4), Event(5, at=7, stored=2), Event(5, at=7, stored=1), Event(5, at=7, seq=-1)
    )
    assert held.person.tolist() == [-3, 5]
    assert held.offsets.tolist() == [0, 1, 5]
    assert held.row_number.tolist() == [1, 4, 3, 2, 0]
    assert held.occurred_at_us.tolist() == [4, 7, 7, 7, 9]


def test_marks_tell_names_events_of_bots_and_each_persons_first() -> None:
    viewed, bought = VIEWED * MARKS_PER_NAME, BOUGHT * MARKS_PER_NAME
    held = timelines(
        Event(1, 0, VIEWED), Event(1, 1, BOUGHT), Event(1, 2, VIEWED, is_bot=True), Event(1, 3, BOUGHT, is_bot=True),
        Event(2, 4, BOUGHT, is_bot=True), Event(3, 5, BOUGHT),
    )  # fmt: skip
    firsts = [viewed | IS_FIRST, bought | IS_BOT | IS_FIRST, bought | IS_FIRST]
    assert held.mark.tolist() == [firsts[0], bought, viewed | IS_BOT, bought | IS_BOT, *firsts[1:]]
    assert len(set(held.mark.tolist())) == 6


def test_an_event_takes_sixteen_bytes_and_so_does_a_person() -> None:
    one, two, other = Event(1, 0), Event(1, 1), Event(2, 0)
    assert timelines(one, two).size_bytes - timelines(one).size_bytes == 16
    assert timelines(one, other).size_bytes - timelines(one, two).size_bytes == 16
    assert timelines().size_bytes == 8


# Persons


def test_persons_who_are_there_have_a_place() -> None:
    held = timelines(Event(-3, 0), Event(5, 0), Event(7, 0), Event(7, 1))
    assert places_of(held, np.array([-9, -3, 0, 5, 6, 7, 8])).tolist() == [0, 1, 2]
    assert places_of(held, np.array([6, 99])).tolist() == []
    assert places_of(timelines(), np.array([1])).tolist() == []


def test_the_events_of_some_persons() -> None:
    held = timelines(Event(1, 0), Event(2, 9), Event(3, 1), Event(2, 8), Event(3, 0), Event(3, 2))
    assert events_of(held, np.array([0, 2])).tolist() == [0, 4, 2, 5]
    assert events_of(held, np.array([1])).tolist() == [3, 1]
    assert events_of(held, np.array([], np.int64)).tolist() == []


def firsts(held: Timelines, *persons: int, end: int = FOREVER, rows: int = FOREVER, bots: bool = False) -> list[int]:
    return [int(row) for row in first_rows(held, np.array(persons, np.int64), end, rows, include_bots=bots)]


def test_the_first_event_of_each_person() -> None:
    held = timelines(Event(5, 9), Event(5, 8), Event(-3, 4), Event(-3, 5))
    assert firsts(held, 5, -3) == [1, 2]


def test_who_is_not_there_has_no_first_event() -> None:
    assert firsts(timelines(Event(3, 0), Event(5, 0)), 2, 3, 4, 5, 6) == [-1, 0, -1, 1, -1]
    assert firsts(timelines(), 1) == [-1]


def test_a_first_event_is_before_the_end_and_not_newer_than_what_is_looked_at() -> None:
    held = timelines(Event(1, 7), Event(1, 9), Event(1, 8))
    assert [firsts(held, 1, end=end) for end in (7, 8)] == [[-1], [0]]
    newer_first = timelines(Event(1, 9), Event(1, 8))
    assert [firsts(newer_first, 1, rows=rows) for rows in (2, 1, 0)] == [[1], [0], [-1]]
    assert firsts(newer_first, 1, rows=1, end=9) == [-1]


def test_a_bots_event_is_a_first_one_only_when_bots_are_asked_for() -> None:
    held = timelines(Event(1, 1, is_bot=True), Event(1, 2), Event(2, 3, is_bot=True))
    assert firsts(held, 1, 2) == [1, -1]
    assert firsts(held, 1, 2, bots=True) == [0, 2]


# Links that changed

Link = tuple[int, int, int]  # visitor, customer, time


def changed(before: Sequence[Link], after: Sequence[Link]) -> list[int]:
    columns = (np.array(links, np.int64).reshape(-1, 3).T for links in (before, after))
    return [int(visitor) for visitor in changed_visitors(*next(columns), *next(columns))]


def test_links_that_stay_as_they_are_have_not_changed() -> None:
    links = [(1, 5, 10), (2, 5, 10), (2, 6, 20)]
    assert changed(links, links) == []
    assert changed([], []) == []


def test_who_was_linked_and_who_is_not_any_more_has_changed() -> None:
    links = [(1, 5, 10), (2, 5, 10), (3, 5, 10)]
    for i, (visitor, _, _) in enumerate(links):
        assert changed(links, links[:i] + links[i + 1 :]) == changed(links[:i] + links[i + 1 :], links) == [visitor]
    assert changed(links, []) == changed([], links) == [1, 2, 3]


def test_who_is_linked_to_another_customer_or_since_another_time_has_changed() -> None:
    links = [(1, 5, 10), (2, 5, 10), (3, 5, 10)]
    assert changed(links, [(1, 5, 10), (2, 6, 10), (3, 5, 9)]) == [2, 3]


def test_whoever_has_changed_is_named_once() -> None:
    assert changed([(1, 5, 10), (2, 5, 10)], [(1, 6, 10), (1, 7, 20), (2, 6, 10), (2, 7, 20)]) == [1, 2]
    assert changed([(2, 5, 10), (2, 6, 20)], [(1, 5, 10), (1, 6, 20)]) == [1, 2]
