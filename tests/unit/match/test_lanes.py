"""With `same`, chains stay in one lane of their actor; the best of all lanes is reported."""

from tests.unit.match.columns import A, B, C, Event, chain, chains, matched


def test_a_chain_stays_in_its_lane() -> None:
    assert chain((0, A, 1), (1, B, 2), (2, B, 1), (3, C, 2)) == [0, 2]


def test_every_entry_keeps_the_window_open_whatever_its_lane() -> None:
    assert matched([(0, A, 1), (1, B, 1), (50, A, 2)]).open_until_us.tolist() == [150]
    assert matched([(0, A, 2), (1, B, 2), (50, A, 1)]).open_until_us.tolist() == [150]


def test_a_lane_in_which_nothing_begins_keeps_nothing_open() -> None:
    assert matched([(0, A, 1), (50, B, 2)]).open_until_us.tolist() == [100]
    assert matched([(0, A, 1), (50, B, 2)], end=10, is_any_order=True).open_until_us.tolist() == [100]


def test_the_deepest_lane_is_reported() -> None:
    assert chain((0, A, 1), (1, A, 2), (2, B, 2)) == [1, 2]
    assert chain((0, A, 2), (1, A, 1), (2, B, 1)) == [1, 2]
    assert chain((0, A, 1), (1, B, 1), (2, A, 2)) == [0, 1]


def test_of_equally_deep_lanes_the_one_that_got_there_first_is_reported() -> None:
    assert chain((0, A, 1), (1, A, 2), (2, B, 1), (3, B, 2)) == [0, 2]
    assert chain((0, A, 1), (1, A, 2), (2, B, 2), (3, B, 1)) == [1, 2]
    assert chain((0, A, 2), (1, A, 1), (2, B, 1), (3, B, 2)) == [1, 2]


def test_the_lanes_of_one_actor_say_nothing_about_the_next() -> None:
    actors: list[list[Event]] = [[(0, A, 1), (1, B, 2)], [(2, A, 1), (3, B, 2)], [(4, B, 1), (5, A, 2), (6, C, 1)]]
    assert chains(*actors) == [[0], [2], [5]]


def test_how_far_the_others_came_is_no_measure() -> None:
    complete: list[Event] = [(0, A, 1), (1, B, 1), (2, C, 1)]
    first: list[Event] = [(3, A, 1), (4, B, 1), (5, A, 2), (6, B, 2)]
    second: list[Event] = [(7, A, 1), (8, A, 2), (9, B, 2), (10, B, 1)]
    assert chains(complete, first, second) == [[0, 1, 2], [3, 4], [8, 9]]


def test_who_did_not_enter_in_any_lane_is_left_out() -> None:
    assert chains([(0, B, 1), (1, A, 1)], [(0, B, 1), (1, C, 2)], [(0, 0)]) == [[1]]
    assert chains([(0, B, 1), (1, A, 1)], [(0, 0)], is_any_order=True) == [[0, 1]]


def test_in_any_order_too_a_chain_stays_in_its_lane() -> None:
    assert chain((0, B, 1), (1, A, 2), (2, A, 1), (3, C, 2), (4, B, 2), is_any_order=True) == [1, 3, 4]
