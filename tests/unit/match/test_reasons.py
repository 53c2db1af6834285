"""Why chains went no further: of what the actor's events say about the next step, the first in the order of reasons."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from app.match.chains import match_chains
from app.match.reasons import BEFORE, EXCLUDED, NEVER_DONE, NOT_NEXT, OTHER_SAME, TOO_EARLY, TOO_LATE, why_stopped
from tests.unit.match.columns import A, B, C, Event, Exclusion, as_columns

D = 8
X = 0  # an event that matches no step


class Why(NamedTuple):
    code: int
    late: int = -1
    excluded: int = -1
    missing: int = 0


def whys(*actors: Sequence[Event], target: int | None = None, is_stopped: bool = False, **options: Any) -> list[Why]:
    """Of each reported chain, about the step after the last that it came to."""
    sequences, lanes, rules = as_columns(*actors, **options)
    chains = match_chains(sequences, lanes, rules, np.zeros(1, np.uint8))
    targets = chains.depth.astype(np.int64) if target is None else np.full(len(chains.depth), target)
    found = why_stopped(targets, sequences, lanes, rules, chains, np.array([is_stopped], np.uint8))
    return [Why(*map(int, each)) for each in zip(*found, strict=True)]


def why(*events: Event, **options: Any) -> Why:
    (only,) = whys(list(events), **options)
    return only


def test_reasons_have_their_order() -> None:
    assert [EXCLUDED, TOO_LATE, TOO_EARLY, OTHER_SAME, NOT_NEXT, BEFORE, NEVER_DONE] == [0, 1, 2, 3, 4, 5, 6]


# In order


def test_who_never_did_the_next_step() -> None:
    assert why((0, A)) == Why(NEVER_DONE)
    assert why((0, A), (1, C)) == Why(NEVER_DONE)


def test_who_did_it_after_the_window_was_late_by_as_much() -> None:
    assert why((1, A), (102, B)) == Why(TOO_LATE, late=1)
    assert why((1, A), (2, B), (109, C)) == Why(TOO_LATE, late=8)


def test_who_did_it_late_several_times_was_late_by_the_first() -> None:
    assert why((1, A), (103, B), (150, B)) == Why(TOO_LATE, late=2)


def test_within_counts_from_the_step_before_and_the_window_from_the_entry() -> None:
    assert why((1, A), (3, B), (14, C), within=[None, None, 10]) == Why(TOO_LATE, late=1)
    assert why((1, A), (96, B), (103, C), within=[None, None, 10]) == Why(TOO_LATE, late=2)


def test_who_did_it_sooner_than_allowed() -> None:
    assert why((1, A), (10, B), not_before=[0, 10, 0]) == Why(TOO_EARLY)


def test_who_did_it_after_an_excluded_event() -> None:
    assert why((1, A), (5, X), (10, B), exclude=[Exclusion(0, 1, (5,))]) == Why(EXCLUDED, excluded=1)
    assert why((1, A), (5, X), (11, B), exclude=[Exclusion(0, 1, (5,))], not_before=[0, 10, 0]) == Why(
        EXCLUDED, excluded=1
    )


def test_an_excluded_event_before_the_one_step_or_after_the_other_was_none_of_their_business() -> None:
    rules: dict[str, Any] = {"exclude": [Exclusion(0, 1, (15,))], "not_before": [0, 10, 0]}
    assert why((1, A), (5, B), (15, X), **rules) == Why(TOO_EARLY)
    assert why((15, X), (21, A), (25, B), **rules) == Why(TOO_EARLY)


def test_an_event_that_is_excluded_itself_is_no_hindrance_to_itself() -> None:
    assert why((1, A), (5, X), (10, B), is_strict=True, exclude=[Exclusion(0, 1, (1, 10))]) == Why(NOT_NEXT)


def test_of_several_excluded_events_it_is_the_first() -> None:
    assert why((1, A), (5, X), (6, X), (10, B), exclude=[Exclusion(0, 1, (5, 6))]).excluded == 1
    two = [Exclusion(0, 1, (6,)), Exclusion(0, 1, (5,))]
    assert why((1, A), (5, X), (6, X), (10, B), exclude=two).excluded == 1
    assert why((1, A), (5, X), (6, X), (10, B), exclude=two[::-1]).excluded == 1


def test_an_exclusion_begins_with_its_own_step_and_matters_to_its_own_step() -> None:
    events: list[Event] = [(0, A), (1, X), (2, B), (3, X), (4, C)]
    assert why(*events, exclude=[Exclusion(0, 2, (1,))]) == Why(EXCLUDED, excluded=1)
    assert why(*events, exclude=[Exclusion(1, 2, (1, 3))]) == Why(EXCLUDED, excluded=3)
    assert why((0, A), (1, B), (2, X), (3, C), is_strict=True, exclude=[Exclusion(0, 1, (2,))]) == Why(NOT_NEXT)


def test_who_did_it_with_another_value_of_same() -> None:
    assert why((1, A, 1), (101, B, 2)) == Why(OTHER_SAME)
    assert why((1, A, 1), (102, B, 2)) == Why(NEVER_DONE)
    assert why((1, A, 1), (102, B, 2), (104, B, 1)) == Why(TOO_LATE, late=3)


def test_strict_steps_have_nothing_between() -> None:
    assert why((0, A), (1, X), (2, B), is_strict=True) == Why(NOT_NEXT)


def test_who_did_it_before() -> None:
    assert why((1, B), (2, A)) == Why(BEFORE)
    assert why((0, A), (1, C), (2, B)) == Why(BEFORE)
    assert why((0, X), (1, B), (2, X), (3, A)) == Why(BEFORE)


def test_what_was_done_before_counts_from_the_start_of_the_range() -> None:
    assert why((5, B), (6, A), start=5) == Why(BEFORE)
    assert why((4, B), (6, A), start=5) == Why(NEVER_DONE)


def test_what_was_done_before_counts_in_the_chains_own_lane() -> None:
    assert why((1, B, 2), (2, A, 1)) == Why(NEVER_DONE)
    assert why((0, B, 1), (1, B, 2), (2, A, 1)) == Why(BEFORE)


def test_an_event_of_the_chain_itself_was_not_before_it() -> None:
    assert why((0, A | B)) == Why(NEVER_DONE)
    assert why((0, B), (1, A | B)) == Why(BEFORE)
    assert why((0, A | C), (1, B)) == Why(NEVER_DONE)


def test_each_event_says_something_and_the_first_reason_of_all_is_the_reason() -> None:
    rules: dict[str, Any] = {"not_before": [0, 10, 0]}
    assert why((0, B), (1, A), (5, B), (102, B), **rules) == Why(TOO_LATE, late=1)
    assert why((0, B), (1, A), (5, B), **rules) == Why(TOO_EARLY)
    assert why((0, B, 1), (1, A, 1), (5, B, 2)) == Why(OTHER_SAME)
    assert why((0, B, 1), (1, A, 1), (5, B, 1), (6, B, 2), **rules) == Why(TOO_EARLY)
    assert why((0, B, 1), (1, A, 1), (4, B, 2), (5, B, 1), **rules) == Why(TOO_EARLY)


def test_once_an_excluded_event_was_between_what_comes_later_says_nothing() -> None:
    events: list[Event] = [(1, A), (5, X), (10, B), (102, B)]
    assert why(*events, exclude=[Exclusion(0, 1, (5,))]) == Why(EXCLUDED, excluded=1)


def test_the_next_step_may_be_a_later_one() -> None:
    """Where the one after the chain is optional."""
    assert why((0, A), (102, C), optional=[False, True, False], target=2) == Why(TOO_LATE, late=2)


def test_only_the_actors_own_events_say_something() -> None:
    assert whys([(0, B)], [(1, A)], [(2, B)]) == [Why(NEVER_DONE)]
    assert whys([(0, A), (102, B)], [(1, B), (2, A)], [(3, A)]) == [Why(TOO_LATE, late=2), Why(BEFORE), Why(NEVER_DONE)]


def test_each_chain_has_a_next_step_of_its_own() -> None:
    assert whys([(0, A), (102, B)], [(0, A), (1, B), (104, C)]) == [Why(TOO_LATE, late=2), Why(TOO_LATE, late=4)]


# Attempts


def test_what_was_done_before_the_attempt_is_none_of_its_business() -> None:
    assert why((0, B), (1, A), counts_entries=True) == Why(NEVER_DONE)
    assert why((0, A), (1, C), (2, B), counts_entries=True) == Why(BEFORE)


def test_an_attempt_that_an_excluded_event_ended() -> None:
    exclude = [Exclusion(0, 2, (5,))]
    assert why((0, A), (5, X), (10, B), exclude=exclude, counts_entries=True) == Why(EXCLUDED, excluded=1)
    assert why((0, A), (4, B), (5, X), (10, C), exclude=exclude, counts_entries=True) == Why(EXCLUDED, excluded=2)
    assert why((0, A), (5, X), exclude=exclude, counts_entries=True) == Why(NEVER_DONE)


def test_only_exclusions_from_the_entry_on_that_were_not_over_end_an_attempt() -> None:
    later = [Exclusion(1, 3, (2,)), Exclusion(0, 1, (4,)), Exclusion(0, 3, (5, 6))]
    events: list[Event] = [(0, A), (1, B), (2, X), (4, X), (5, X), (6, X), (7, C)]
    assert why(*events, steps=4, exclude=later, counts_entries=True) == Why(EXCLUDED, excluded=4)
    two = [Exclusion(0, 2, (5,)), Exclusion(0, 2, (4,))]
    assert why((0, A), (4, X), (5, X), (7, B), exclude=two, counts_entries=True) == Why(EXCLUDED, excluded=1)
    assert why((0, A), (4, X), (5, X), (7, B), exclude=two[::-1], counts_entries=True) == Why(EXCLUDED, excluded=1)


def test_the_entry_itself_does_not_end_its_attempt() -> None:
    events: list[Event] = [(0, A), (5, X), (7, B)]
    assert why(*events, exclude=[Exclusion(0, 2, (0, 5))], counts_entries=True) == Why(EXCLUDED, excluded=1)


# Any order


def anyhow(*events: Event, **options: Any) -> Why:
    return why(*events, is_any_order=True, **options)


def test_the_steps_that_are_left_are_missing() -> None:
    assert anyhow((0, A)) == Why(NEVER_DONE, missing=B | C)
    assert anyhow((0, C), (1, A)) == Why(NEVER_DONE, missing=B)
    assert anyhow((0, A | B), (1, A)) == Why(NEVER_DONE, missing=C)
    assert anyhow((0, A), (1, B), (2, C)) == Why(NEVER_DONE, missing=0)


def test_any_missing_step_can_be_too_late() -> None:
    assert anyhow((1, A), (2, B), (104, C)) == Why(TOO_LATE, late=3, missing=C)
    assert anyhow((1, A), (2, B), (104, C), (105, C)) == Why(TOO_LATE, late=3, missing=C)
    assert anyhow((1, A), (2, B), (104, B)) == Why(NEVER_DONE, missing=C)


def test_in_any_order_too_another_value_of_same_says_something_up_to_the_windows_end() -> None:
    assert anyhow((1, A, 1), (2, B, 1), (101, C, 2)) == Why(OTHER_SAME, missing=C)
    assert anyhow((1, A, 1), (2, B, 1), (102, C, 2)) == Why(NEVER_DONE, missing=C)
    assert anyhow((1, A, 1), (2, B, 1), (102, C, 2), (103, C, 1)) == Why(TOO_LATE, late=2, missing=C)
    assert anyhow((0, C, 2), (1, A, 1), (2, B, 1)) == Why(NEVER_DONE, missing=C)
    between: list[Event] = [(1, A, 1), (2, C, 2), (3, B, 1)]
    assert anyhow(*between) == anyhow(*between, counts_entries=True) == Why(OTHER_SAME, missing=C)


def test_what_was_done_before_the_chain_and_after_the_ranges_start() -> None:
    events: list[Event] = [(5, C), (110, A), (111, B)]
    assert anyhow(*events) == Why(BEFORE, missing=C)
    assert anyhow(*events, start=5) == Why(BEFORE, missing=C)
    assert anyhow(*events, start=6) == Why(NEVER_DONE, missing=C)
    assert anyhow((5, C, 1), (110, A, 2), (111, B, 2)) == Why(NEVER_DONE, missing=C)


def test_what_was_done_before_says_less_than_what_was_done_late() -> None:
    assert anyhow((5, C), (110, A), (111, B), (215, C)) == Why(TOO_LATE, late=5, missing=C)


def test_an_event_that_has_another_step_of_the_chain_says_nothing() -> None:
    assert anyhow((0, A | B), (1, A | B)) == Why(NEVER_DONE, missing=C)
    assert anyhow((0, B | C), (1, B | A), steps=4) == Why(NEVER_DONE, missing=C | D)


def test_in_any_order_only_the_attempts_and_the_actors_own_events_say_something() -> None:
    events: list[Event] = [(5, C), (110, A), (111, B)]
    found = whys(events, is_any_order=True, counts_entries=True)
    assert found == [Why(TOO_LATE, late=5, missing=A | B), Why(NEVER_DONE, missing=C)]
    assert whys([(0, C)], [(1, A), (2, B)], [(102, C)], is_any_order=True)[1] == Why(NEVER_DONE, missing=C)
    assert whys([(0, C)], [(1, A), (2, B), (103, C)], is_any_order=True)[1] == Why(TOO_LATE, late=2, missing=C)


# Stopped


@pytest.mark.parametrize("is_any_order", [False, True])
def test_when_stopped_it_ends(is_any_order: bool) -> None:
    (found,) = whys([(0, A), (102, B)], is_any_order=is_any_order, is_stopped=True)
    assert found == Why(NEVER_DONE)
