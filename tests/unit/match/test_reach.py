"""How many chains of each group stopped where, and how long they took to get there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from app.match import reach as module
from app.match.chains import match_chains
from app.match.reach import Reach, reach_of
from tests.unit.match.columns import A, B, C, Event, as_columns

# Of a step: from the entry, and from the event before.
Times = tuple[list[int], list[int]]

ACTORS: list[list[Event]] = [
    [(1, A), (2, B), (5, C)],
    [(10, A)],
    [(20, A), (27, B)],
    [(30, A), (31, B), (37, C)],
    [(40, B)],
    [(50, A), (59, B)],
]


def reach(*actors: Sequence[Event], groups: Sequence[int], now: int = 1000, **rules: Any) -> Reach:
    """groups: of those who entered."""
    sequences, lanes, made = as_columns(*actors, **rules)
    chains = match_chains(sequences, lanes, made, np.zeros(1, np.uint8))
    group = np.array(groups, np.int32)
    return reach_of(chains, group, max(groups, default=0) + 1, sequences.occurred_at_us, made, now)


def times(found: Reach) -> list[list[Times]]:
    """By group and step, from the second on."""
    return [
        [(each.from_entry.tolist(), each.from_previous.tolist()) for each in of_group] for of_group in found.elapsed
    ]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_each_group_has_its_own_however_many_threads_share_the_work(
    parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "parts_of", lambda _: parts)
    found = reach(*ACTORS, groups=[0, 1, 0, 1, 0])
    assert found.stopped.tolist() == [[0, 2, 1], [1, 0, 1]]
    assert found.in_progress.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert times(found) == [
        [([1, 7, 9], [1, 7, 9]), ([4], [3])],
        [([1], [1]), ([7], [6])],
    ]


def test_how_many_threads_goes_by_the_number_of_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def parts_of(row_count: int) -> int:
        asked.append(row_count)
        return 1

    monkeypatch.setattr(module, "parts_of", parts_of)
    reach(*ACTORS, groups=[0] * 5)
    assert asked == [5]


@pytest.mark.parametrize(("now", "in_progress"), [(110, [1, 2, 0]), (111, [0, 2, 0]), (150, [0, 1, 0]), (151, [0] * 3)])
def test_who_stopped_is_in_progress_until_the_window_ends_but_not_after_the_last_step(
    now: int, in_progress: list[int]
) -> None:
    found = reach(*ACTORS, groups=[0] * 5, now=now)
    assert found.stopped.tolist() == [[1, 2, 2]]
    assert found.in_progress[0].tolist() == [in_progress[0], in_progress[1], in_progress[2]]


def test_who_skipped_a_step_has_no_time_for_it_and_the_next_is_from_the_event_before() -> None:
    actors: list[list[Event]] = [[(0, A), (9, C)], [(20, A), (22, B), (27, C)], [(30, A)]]
    found = reach(*actors, groups=[0, 0, 0], optional=[False, True, False])
    assert found.stopped.tolist() == [[1, 0, 2]]
    assert times(found) == [[([2], [2]), ([9, 7], [9, 5])]]


@pytest.mark.parametrize("optional", [[], [False, True, False]])
@pytest.mark.parametrize("time", [0, 1])
def test_a_step_may_take_no_time_or_the_least_there_is(time: int, optional: list[bool]) -> None:
    found = reach([(7, A), (7 + time, B), (7 + 2 * time, C)], groups=[0], optional=optional)
    assert times(found) == [[([time], [time]), ([2 * time], [time])]]


def test_a_group_that_nobody_is_in_has_nothing() -> None:
    found = reach([(0, A), (1, B)], groups=[1])
    assert found.stopped.tolist() == [[0, 0, 0], [0, 1, 0]]
    assert times(found) == [[([], []), ([], [])], [([1], [1]), ([], [])]]


def test_a_funnel_of_one_step_has_no_times() -> None:
    found = reach([(0, A)], [(1, A)], groups=[0, 0], steps=1)
    assert (found.stopped.tolist(), times(found)) == ([[2]], [[]])


def test_of_nobody_there_is_nothing() -> None:
    found = reach([(0, B)], groups=[])
    assert (found.stopped.tolist(), found.in_progress.tolist(), times(found)) == (
        [[0, 0, 0]],
        [[0, 0, 0]],
        [[([], []), ([], [])]],
    )
