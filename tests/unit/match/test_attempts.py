"""Where each entry counts: attempts, one after the other."""

from app.match.rules import NEVER
from tests.unit.match.columns import A, B, C, Event, Exclusion, chains, matched
from tests.unit.match.columns import times as times_of


def test_a_new_attempt_begins_after_the_end_of_the_one_before() -> None:
    events: list[Event] = [(0, A), (1, A), (2, B), (3, C), (4, A), (5, B), (104, A), (105, A)]
    assert chains(events, counts_entries=True) == [[0, 2, 3], [4, 5], [105]]


def test_the_first_entry_after_the_window_begins_the_next_attempt() -> None:
    assert chains([(0, A), (101, A)], counts_entries=True) == [[0], [101]]
    assert chains([(0, A), (1, 0), (101, A)], counts_entries=True) == [[0], [101]]
    assert chains([(0, A), (1, 0), (2, 0), (101, A)], counts_entries=True) == [[0], [101]]


def test_an_entry_within_the_window_is_part_of_the_attempt() -> None:
    found = matched([(0, A), (100, A), (150, B)], counts_entries=True)
    assert found.depth.tolist() == [1]
    assert found.open_until_us.tolist() == [100]


def test_no_attempt_begins_before_another_is_complete_nor_with_the_event_that_completes_it() -> None:
    assert chains([(0, A), (1, B), (2, A), (3, C)], counts_entries=True) == [[0, 1, 3]]
    assert chains([(0, A), (1, B), (2, A | C), (3, B)], counts_entries=True) == [[0, 1, 2]]


def test_attempts_are_of_one_actor() -> None:
    actors: list[list[Event]] = [[(0, A), (1, B), (2, C), (3, B)], [(4, B), (5, A)], [(6, B)], [(7, C)], [(8, A)]]
    found = matched(*actors, counts_entries=True)
    assert times_of(found, *actors) == [[0, 1, 2], [5], [8]]
    assert found.actor.tolist() == [0, 1, 4]


def test_an_attempt_ends_with_the_actors_last_event() -> None:
    actors: list[list[Event]] = [[(0, A), (1, B)], [(2, C), (3, A), (4, A)]]
    assert chains(*actors, counts_entries=True) == [[0, 1], [3]]


def test_who_never_entered_has_no_attempt() -> None:
    assert chains([(0, B)], [(0, C), (1, B)], counts_entries=True) == []


# Exclusions


def test_an_excluded_event_ends_an_attempt_that_had_not_come_past_it() -> None:
    events: list[Event] = [(0, A), (5, 0), (10, B), (20, A), (30, B)]
    found = matched(events, counts_entries=True, exclude=[Exclusion(0, 1, (5,))])
    assert times_of(found, events) == [[0], [20, 30]]
    assert found.open_until_us.tolist() == [-NEVER, 120]
    assert chains([(0, A), (4, B), (5, 0), (10, C)], counts_entries=True, exclude=[Exclusion(0, 1, (5,))]) == [
        [0, 4, 10]
    ]


def test_an_excluded_event_after_everything_ends_an_attempt_too() -> None:
    found = matched([(0, A), (5, 0)], counts_entries=True, exclude=[Exclusion(0, 1, (5,))])
    assert found.open_until_us.tolist() == [-NEVER]


def test_the_next_attempt_may_begin_right_after_the_excluded_event_but_not_with_it() -> None:
    assert chains([(0, A), (5, 0), (6, A)], counts_entries=True, exclude=[Exclusion(0, 1, (5,))]) == [[0], [6]]
    assert chains([(0, A), (5, A), (6, B)], counts_entries=True, exclude=[Exclusion(0, 1, (5,))]) == [[0]]


# Lanes of `same`


def test_an_attempt_stays_in_the_lane_of_its_entry_and_the_next_may_begin_in_any() -> None:
    actors: list[list[Event]] = [
        [(0, A, 2), (1, B, 1), (2, B, 2), (3, A, 1), (4, C, 2), (5, A, 1), (6, B, 1)],
        [(7, 0), (8, A, 1), (9, B, 2), (10, B, 1)],
        [(11, A, 3), (12, B, 3)],
    ]
    found = matched(*actors, counts_entries=True)
    assert times_of(found, *actors) == [[0, 2, 4], [5, 6], [8, 10], [11, 12]]
    assert found.actor.tolist() == [0, 0, 1, 2]


# Any order


def test_in_any_order_attempts_follow_each_other_too() -> None:
    events: list[Event] = [(0, B), (1, A), (2, C), (3, C), (200, A)]
    assert chains(events, is_any_order=True, counts_entries=True) == [[0, 1, 2], [3], [200]]
