"""Steps in any order: each event is given one step of those it matches, and moves to another to make room."""

import numpy as np
import pytest

from app.match.any_order import augment
from tests.unit.match.columns import A, B, C, chain

D = 8


def given(*masks: int, steps: int = 3) -> list[int]:
    """Events with these masks come one after the other; of each step the number of the one that has it then, or -1."""
    holder = np.full(steps, -1, np.int64)
    come_from, queue = np.empty(steps, np.int64), np.empty(steps, np.int64)
    for position in range(len(masks)):
        had_none = int((holder == -1).sum())
        is_given = augment(position, np.array(masks, np.uint64), holder, come_from, queue)
        assert (holder == -1).sum() == had_none - is_given
    return holder.tolist()


def test_an_event_is_given_the_first_free_step_that_it_matches() -> None:
    assert given(B) == [-1, 0, -1]
    assert given(B | C) == [-1, 0, -1]
    assert given(0) == [-1, -1, -1]


def test_an_event_makes_room_for_one_that_matches_less() -> None:
    assert given(A | B, A) == [1, 0, -1]
    assert given(A | B, B | C, A) == [2, 0, 1]
    assert given(A | C, A | B, A) == [2, 1, 0]


def test_to_make_room_all_on_the_way_move_on() -> None:
    assert given(A | B, B | C, C | D, A, steps=4) == [3, 0, 1, 2]


def test_there_may_be_several_ways_to_make_room_of_which_one_ends() -> None:
    assert given(A | B, B, C | D, A | C, A | B | C, steps=4) == given(A | B, B, C | D, A | C, steps=4) == [0, 1, 3, 2]


def test_where_there_is_no_room_all_keep_what_they_have() -> None:
    assert given(A, A) == [0, -1, -1]
    assert given(A | B, A | B, A | B) == [0, 1, -1]
    assert given(A, B, C, A | B | C) == [0, 1, 2]


@pytest.mark.parametrize("masks", [(A | B, A, A, A | B, C), (A | B, A, B, A | B, C), (A | B, B, A, A | B, C)])
def test_events_for_which_there_is_no_room_are_passed_over(masks: tuple[int, ...]) -> None:
    assert chain(*enumerate(masks), end=1, is_any_order=True) == [0, 1, 4]


def test_a_later_event_of_a_step_may_be_needed_where_the_first_is_given_another() -> None:
    assert chain((0, A | B), (1, A | B), (2, A | B), (3, C), is_any_order=True) == [1, 2, 3]
    assert chain((0, A | B), (1, A | B), (2, B | C), is_any_order=True) == [0, 1, 2]


def test_the_window_includes_its_bound() -> None:
    assert chain((0, C), (100, A), is_any_order=True) == [0, 100]
    assert chain((0, C), (101, A), is_any_order=True) == [0]
