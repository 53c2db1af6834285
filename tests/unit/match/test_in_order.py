"""Steps in order where options meet: which chain may go on, and which one is reported."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.match.in_order import Plan, plan_for
from tests.unit.match.columns import A, B, C, Event, Exclusion, chain, chains, exclusions, matched, rules_of

D, E = 8, 16
OPTIONAL_B: list[bool] = [False, True, False]
OPTIONAL_C: list[bool] = [False, False, True, False]


# Entries alone


def test_of_entries_alone_the_first_is_reported_and_the_last_keeps_the_window_open() -> None:
    found = matched([(0, A), (20, A), (30, 0)])
    assert found.position.tolist() == [0]
    assert found.open_until_us.tolist() == [120]


# What has to be kept and looked at, which takes time


def plan(*, exclude: Sequence[Exclusion] = (), **options: Any) -> tuple[bool, list[bool]]:
    """Of three steps: looks_at_all, keeps_all."""
    found: Plan = plan_for(rules_of(3, exclusions(exclude, np.zeros(0, np.int64), 3), **options))
    return found.looks_at_all, found.keeps_all.tolist()


def test_the_first_chain_with_an_entry_is_enough() -> None:
    assert plan() == (False, [False] * 3)
    assert plan(not_before=[0, 5, 5], optional=OPTIONAL_B) == (False, [False] * 3)


def test_of_a_step_that_another_must_follow_in_time_or_at_once_or_undisturbed_every_chain_is_kept() -> None:
    assert plan(within=[None, None, 5]) == (False, [False, True, False])
    assert plan(is_strict=True) == (False, [True] * 3)
    assert plan(exclude=[Exclusion(1, 2, ())]) == (False, [False, True, False])
    assert plan(exclude=[Exclusion(0, 1, ())], optional=[False, False, True]) == (False, [True, False, False])


def test_every_chain_is_looked_at_where_steps_with_a_time_can_be_skipped_and_where_exclusions_span_several() -> None:
    assert plan(within=[None, None, 5], optional=OPTIONAL_B) == (True, [True] * 3)
    assert plan(exclude=[Exclusion(0, 2, ())]) == (True, [True] * 3)


# Optional steps and their times


def test_an_event_that_was_not_the_first_of_its_step_can_be_near_enough_to_the_step_after_a_skipped_one() -> None:
    within: list[int | None] = [None, None, None, 5]
    assert chain((0, A), (1, B), (10, B), (12, D), steps=4, optional=OPTIONAL_C, within=within) == [0, 10, None, 12]


def test_whether_an_optional_step_is_done_or_skipped_can_decide_what_is_near_enough() -> None:
    within: list[int | None] = [None, None, None, 5]
    assert chain((0, A), (1, B), (8, C), (12, D), steps=4, optional=OPTIONAL_C, within=within) == [0, 1, 8, 12]
    assert chain((0, A), (8, B), (12, D), steps=4, optional=OPTIONAL_C, within=within) == [0, 8, None, 12]


def test_not_before_counts_from_the_last_step_that_was_not_skipped() -> None:
    rules: dict[str, Any] = {"optional": OPTIONAL_B, "not_before": [0, 0, 10]}
    assert chain((0, A), (5, B), (10, C), **rules) == [0, None, 10]
    assert chain((0, A), (5, B), (15, C), **rules) == [0, 5, 15]
    assert chain((0, A), (5, B), (9, C), **rules) == [0, 5]


def test_not_before_and_within_leave_a_time_between() -> None:
    rules: dict[str, Any] = {"optional": OPTIONAL_B, "not_before": [0, 0, 5], "within": [None, None, 8]}
    assert [chain((0, A), (at, C), **rules) for at in (4, 5, 8, 9)] == [[0], [0, None, 5], [0, None, 8], [0]]


def test_strict_steps_may_skip_one_or_not_as_what_comes_next_needs() -> None:
    rules: dict[str, Any] = {"steps": 4, "optional": [False, True, False, False], "is_strict": True}
    assert chain((0, A), (1, B | C), (2, C), (3, D), **rules) == [0, 1, 2, 3]
    assert chain((0, A), (1, B | C), (2, D), **rules) == [0, None, 1, 2]


def test_strict_steps_go_on_from_whichever_was_just_before() -> None:
    assert chain((0, A), (1, B), (2, A), (3, C), optional=OPTIONAL_B, is_strict=True) == [2, None, 3]


def test_the_latest_entry_is_found_behind_steps_that_only_earlier_ones_have_come_to() -> None:
    optional = [False, True, True, False]
    assert chain((0, A), (1, B), (2, A), (3, C), (4, A), (5, D), steps=4, optional=optional) == [4, None, None, 5]


# Exclusions over several steps


def test_the_window_includes_its_bound_also_where_events_are_excluded() -> None:
    exclude = [Exclusion(0, 2, (500,))]
    assert chain((7, A), (100, B), (107, C), exclude=exclude) == [7, 100, 107]
    assert chain((7, A), (100, B), (108, C), exclude=exclude) == [7, 100]


def test_strict_steps_may_have_exclusions_too() -> None:
    exclude = [Exclusion(0, 2, (2,))]
    assert chain((1, A), (2, B), (3, C), is_strict=True, exclude=exclude) == [1, 2]
    assert chain((1, A), (3, B), (4, C), is_strict=True, exclude=exclude) == [1, 3, 4]
    assert chain((1, A), (3, B), (4, 0), (5, C), is_strict=True, exclude=exclude) == [1, 3]


def test_of_chains_that_can_go_on_the_latest_entry_is_reported_although_it_has_an_excluded_event() -> None:
    """None of them has come to the step that is forbidden."""
    events = ((0, A), (1, B), (2, A), (3, 0), (4, B), (5, C))
    assert chain(*events, steps=4, exclude=[Exclusion(0, 3, (3,))]) == [2, 4, 5]


def test_of_chains_with_the_same_entry_the_earliest_steps_are_reported_although_one_is_excluded_after() -> None:
    assert chain((5, A), (7, B), (8, B), (11, C), steps=4, exclude=[Exclusion(1, 3, (8,))]) == [5, 7, 11]


def test_of_chains_with_the_same_entry_the_earliest_steps_are_reported_although_the_other_was_excluded_sooner() -> None:
    assert chain((0, 0), (1, A), (2, B), (3, 0), (4, B), (5, C), steps=4, exclude=[Exclusion(0, 3, (3,))]) == [1, 2, 5]


def test_a_step_done_is_reported_rather_than_skipped_although_it_is_excluded_after() -> None:
    rules: dict[str, Any] = {"steps": 4, "optional": [*OPTIONAL_B, False], "exclude": [Exclusion(0, 3, (2,))]}
    assert chain((1, A), (2, B), (4, C), **rules) == [1, 2, 4]


def test_two_exclusions_each_stop_a_chain_before_their_own_step() -> None:
    exclude = [Exclusion(0, 2, (5,)), Exclusion(0, 3, (25,))]
    assert chain((0, A), (5, 0), (10, B), (20, C), (30, D), steps=4, exclude=exclude) == [0, 10]
    assert chain((6, A), (10, B), (20, C), (25, 0), (30, D), steps=4, exclude=exclude) == [6, 10, 20]
    assert chain((6, A), (10, B), (20, C), (30, D), steps=4, exclude=exclude) == [6, 10, 20, 30]


def test_an_exclusion_is_over_with_its_last_step() -> None:
    events = ((0, A), (1, B), (2, C), (3, 0), (4, D), (5, E))
    assert chain(*events, steps=5, exclude=[Exclusion(0, 2, (3,))]) == [0, 1, 2, 4, 5]


def test_of_an_excluded_chain_and_a_clean_one_the_later_entry_is_reported() -> None:
    """The excluded event lies between the two times of C, the second of which only the first entry can come to."""
    rules: dict[str, Any] = {"optional": [*OPTIONAL_B, False, False], "not_before": [0, 2, 0, 0, 0]}
    events = ((20, A), (22, A), (23, B), (24, C), (25, 0), (28, C), (29, D))
    found = chain(
        *((at, 0) for at in range(10)),
        *events,
        steps=5,
        **rules,
        within=[None, None, 5, None, None],
        exclude=[Exclusion(2, 4, (25,))],
    )
    assert found == [22, None, 24, 29]


def test_of_an_excluded_chain_and_a_clean_one_with_the_same_entry_the_one_is_reported_that_did_more() -> None:
    rules: dict[str, Any] = {"optional": [*OPTIONAL_C, False], "exclude": [Exclusion(1, 4, (3,))]}
    events = ((0, 0), (1, A), (2, B), (3, 0), (4, B), (5, C), (7, D))
    assert chain(*events, steps=5, **rules, within=[None, None, 2, None, None]) == [1, 4, 5, 7]


def test_of_an_excluded_chain_and_a_clean_one_that_go_on_with_the_same_events_the_one_is_reported_that_did_more() -> (
    None
):
    """However many chances there were for the step that both did."""
    rules: dict[str, Any] = {"optional": [*OPTIONAL_C, False, False], "exclude": [Exclusion(1, 5, (2,))]}
    many = ((at, D) for at in range(6, 14))
    events = ((0, A), (1, B), (2, 0), (3, B), (4, C), *many, (14, E))
    assert chain(*events, steps=6, **rules, within=[None, None, 2, None, None, None]) == [0, 3, 4, 6, 14]


def test_of_an_excluded_chain_and_a_clean_one_with_the_same_entry_the_one_is_reported_that_did_it_first() -> None:
    rules: dict[str, Any] = {"optional": [*OPTIONAL_C, False], "exclude": [Exclusion(1, 4, (2,))]}
    events = ((0, A), (1, B), (2, 0), (3, B), (4, B), (5, B), (6, D))
    assert chain(*events, steps=5, **rules) == [0, 1, None, 6]


# Attempts


def test_an_event_excluded_after_the_window_does_not_end_the_attempt() -> None:
    found = matched([(0, A), (101, 0), (102, B)], counts_entries=True, exclude=[Exclusion(0, 1, (101,))])
    assert found.open_until_us.tolist() == [100]


def test_a_step_itself_does_not_end_its_attempt() -> None:
    assert chains([(0, A), (10, B), (11, C)], counts_entries=True, exclude=[Exclusion(0, 1, (0, 10))]) == [[0, 10, 11]]


def test_an_attempt_that_was_ended_goes_no_further() -> None:
    exclude = [Exclusion(0, 2, (5,))]
    assert chains([(0, A), (4, B), (5, 0), (6, C)], counts_entries=True, exclude=exclude) == [[0, 4]]
    assert chains([(0, A), (5, 0), (10, B)], counts_entries=True, exclude=exclude) == [[0]]
    further: list[Event] = [(0, A), (1, B), (2, C), (3, 0), (4, D)]
    assert chains(further, steps=4, counts_entries=True, exclude=[Exclusion(0, 3, (3,))]) == [[0, 1, 2]]


def test_an_exclusion_after_a_later_step_ends_no_attempt() -> None:
    found = matched([(0, A), (4, B), (5, 0), (6, B), (7, C)], counts_entries=True, exclude=[Exclusion(1, 2, (5,))])
    assert found.position.tolist() == [0, 3, 4]
