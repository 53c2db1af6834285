"""The funnel matcher on events written by hand; random journeys meet the oracle in ../reports."""

from typing import Any

from tests.unit.match.columns import A, B, C, Event, Exclusion, chain, chains, matched
from tests.unit.match.columns import times as times_of

# In order


def test_actors_who_did_not_enter_are_left_out() -> None:
    actors: list[list[Event]] = [[(1, A), (2, B)], [], [(1, B)], [(5, A)]]
    found = matched(*actors)
    assert times_of(found, *actors) == [[1, 2], [5]]
    assert found.actor.tolist() == [0, 3]
    assert found.open_until_us.tolist() == [101, 105]


def test_nothing_in_nothing_out() -> None:
    assert chains() == []


def test_the_window_includes_its_bound() -> None:
    assert chain((0, A), (100, B)) == [0, 100]
    assert chain((0, A), (101, B)) == [0]


def test_the_range_includes_its_start_but_not_its_end() -> None:
    assert chains([(9, A)], [(10, A)], [(19, A)], [(20, A)], start=10, end=20) == [[10], [19]]


def test_an_event_is_used_once_also_when_it_matches_neighbouring_steps() -> None:
    assert chain((0, A | B | C)) == [0]
    assert chain((0, A | B | C), (1, A | B | C)) == [0, 1]
    assert chain((0, A | B | C), (1, A | B | C), (2, A | B | C)) == [0, 1, 2]


def test_steps_between_are_the_earliest_of_the_entry() -> None:
    assert chain((0, A), (1, B), (2, B), (3, C)) == [0, 1, 3]


def test_the_latest_entry_is_reported_of_those_that_get_there_first() -> None:
    assert chain((0, A), (1, A), (2, B), (3, A), (4, B)) == [1, 2]


def test_a_chain_of_an_earlier_entry_goes_on_while_a_later_entry_has_not_come_as_far() -> None:
    assert chain((0, A), (10, B), (20, A), (100, C)) == [0, 10, 100]
    assert chain((0, A), (10, B), (20, A), (101, C)) == [0, 10]
    assert chain((0, A), (10, B), (20, A), (30, B), (101, C)) == [20, 30, 101]


def test_the_last_entry_keeps_the_window_open_also_when_an_earlier_one_is_reported() -> None:
    assert matched([(0, A), (10, B), (20, A)]).open_until_us.tolist() == [120]


def test_who_has_come_to_the_last_step_is_looked_at_no_further() -> None:
    assert matched([(0, A), (1, B), (2, C), (3, A)]).open_until_us.tolist() == [100]
    assert matched([(0, A), (1, B), (2, C), (3, A)], is_any_order=True).open_until_us.tolist() == [102]


# Within, not before


def test_within_counts_from_the_step_before_and_includes_its_bound() -> None:
    assert chain((0, A), (10, B), (20, C), within=[None, 10, 10]) == [0, 10, 20]
    assert chain((0, A), (11, B), within=[None, 10, 10]) == [0]
    assert chain((0, A), (10, B), (21, C), within=[None, 10, 10]) == [0, 10]


def test_a_later_event_of_a_step_can_keep_a_chain_within() -> None:
    assert chain((0, A), (10, B), (15, B), (20, C), within=[None, None, 5]) == [0, 15, 20]


def test_of_the_events_within_the_earliest_is_taken() -> None:
    assert chain((0, A), (10, B), (15, B), (16, B), (20, C), within=[None, None, 5]) == [0, 15, 20]


def test_not_before_includes_its_bound() -> None:
    assert chain((0, A), (10, B), not_before=[0, 10, 0]) == [0, 10]
    assert chain((0, A), (9, B), not_before=[0, 10, 0]) == [0]
    assert chain((0, A), (5, A), (12, B), not_before=[0, 10, 0]) == [0, 12]


def test_a_later_entry_is_no_hindrance_to_an_earlier_one_that_has_waited_long_enough() -> None:
    assert chain((0, A), (9, A), (10, B), not_before=[0, 10, 0]) == [0, 10]


# Optional


def test_an_optional_step_may_be_skipped() -> None:
    assert chain((0, A), (10, C), optional=[False, True, False]) == [0, None, 10]
    assert chain((0, A), (5, B), (10, C), optional=[False, True, False]) == [0, 5, 10]


def test_the_latest_entry_comes_before_an_optional_step() -> None:
    assert chain((0, A), (5, B), (6, A), (10, C), optional=[False, True, False]) == [6, None, 10]


def test_within_counts_from_the_last_step_that_was_not_skipped() -> None:
    bounds: dict[str, Any] = {"optional": [False, True, False], "within": [None, None, 5]}
    assert chain((0, A), (3, B), (8, C), **bounds) == [0, 3, 8]
    assert chain((0, A), (5, C), **bounds) == [0, None, 5]
    assert chain((0, A), (2, B), (8, C), **bounds) == [0, 2]


# Exclusions


def test_an_excluded_event_between_two_steps_ends_their_chain() -> None:
    assert chain((0, A), (5, 0), (10, B), exclude=[Exclusion(0, 1, (5,))]) == [0]
    assert chain((0, A), (10, B), (11, 0), (12, C), exclude=[Exclusion(0, 1, (11,))]) == [0, 10, 12]
    assert chain((0, A), (5, 0), (6, A), (10, B), exclude=[Exclusion(0, 1, (5,))]) == [6, 10]


def test_the_two_steps_themselves_do_not_exclude() -> None:
    assert chain((0, A), (10, B), exclude=[Exclusion(0, 1, (0, 10))]) == [0, 10]


def test_an_exclusion_over_several_steps_is_no_hindrance_before_its_last() -> None:
    assert chain((0, A), (5, 0), (10, B), (20, C), exclude=[Exclusion(0, 2, (5,))]) == [0, 10]
    assert chain((0, A), (10, B), (15, 0), (20, C), exclude=[Exclusion(0, 2, (15,))]) == [0, 10]
    assert chain((0, A), (10, B), (20, C), exclude=[Exclusion(0, 2, (10,))]) == [0, 10]


def test_a_clean_chain_wins_over_one_with_an_excluded_event() -> None:
    events: list[Event] = [(0, A), (5, 0), (6, A), (10, B), (20, C)]
    assert chain(*events, exclude=[Exclusion(0, 2, (5,))]) == [6, 10, 20]


# Strict


def test_strict_allows_nothing_between() -> None:
    assert chain((0, A), (1, B), (2, C), is_strict=True) == [0, 1, 2]
    assert chain((0, A), (1, B), (2, 0), (3, C), is_strict=True) == [0, 1]
    assert chain((0, A), (1, A), (2, B), is_strict=True) == [1, 2]


# Any order


def test_in_any_order_the_number_of_different_steps_counts() -> None:
    assert chain((0, C), (10, A), (20, B), is_any_order=True) == [0, 10, 20]
    assert chain((0, C), (10, C), (20, B), is_any_order=True) == [10, 20]
    assert chain((0, C), (101, A), is_any_order=True) == [0]


def test_in_any_order_one_event_is_one_step_and_makes_room_for_others() -> None:
    assert chain((0, A | B), is_any_order=True) == [0]
    assert chain((0, A | B), (1, A), (2, A | C), (3, A), is_any_order=True) == [0, 1, 2]
    assert chain((0, A | B), (1, A), (2, A | B), is_any_order=True) == [0, 1]


def test_in_any_order_the_earliest_event_lies_in_the_range() -> None:
    assert chain((5, A), (15, B), (25, C), start=10, end=20, is_any_order=True) == [15, 25]


def test_in_any_order_too_a_chain_stays_in_its_lane_and_the_best_of_all_lanes_is_reported() -> None:
    assert chain((0, C, 1), (1, A, 2), (2, B, 1), (3, B, 3), (4, A, 1), is_any_order=True) == [0, 2, 4]
    assert chain((0, A, 1), (1, B, 1), (2, C, 2), is_any_order=True) == [0, 1]
