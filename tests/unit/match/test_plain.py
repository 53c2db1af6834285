"""The pass for chains of which nothing but order and window is asked; the other tests compare both passes."""

from typing import Any

import pytest

from app.match.plain import is_plain
from tests.unit.match.columns import A, B, C, Event, Exclusion, as_columns, chain, chains, matched

D = 8


@pytest.mark.parametrize(
    "asked",
    [
        {"is_strict": True},
        {"is_any_order": True},
        {"counts_entries": True},
        {"optional": [False, True, False]},
        {"within": [None, None, 10]},
        {"not_before": [0, 0, 10]},
        {"exclude": [Exclusion(0, 1, (5,))]},
    ],
)
def test_any_other_rule_is_for_the_other_pass(asked: dict[str, Any]) -> None:
    events: list[Event] = [(0, A), (5, 0), (6, B)]
    _, lanes, rules = as_columns(events)
    assert is_plain(lanes, rules)
    _, lanes, rules = as_columns(events, **asked)
    assert not is_plain(lanes, rules)


def test_lanes_are_for_the_other_pass() -> None:
    _, lanes, rules = as_columns([(0, A, 1), (6, B, 1)])
    assert not is_plain(lanes, rules)


def test_an_event_that_takes_one_chain_no_further_may_take_another() -> None:
    assert chain((0, A), (1, B), (2, C), (50, A), (51, B | C), (52, C), (120, D), steps=4) == [50, 51, 52, 120]


def test_an_event_is_used_once_in_a_chain() -> None:
    assert chain((0, A | B), (1, A | B | C), (2, A | B | C)) == [0, 1, 2]


def test_what_is_reported_stays_when_later_chains_come_to_its_steps() -> None:
    assert chain((0, A), (1, B), (2, A), (3, B)) == [0, 1]


def test_actors_know_nothing_of_each_other() -> None:
    actors: list[list[Event]] = [[(0, A), (1, B)], [(2, B), (3, C)], [(4, A), (5, C)], [(6, A), (7, B), (8, C)]]
    assert chains(*actors) == [[0, 1], [4], [6, 7, 8]]
    assert matched(*actors).actor.tolist() == [0, 2, 3]
