"""Actors are shared out to threads, and found together again; a report can be stopped."""

import numpy as np
import pytest

from app.match import chains as module
from tests.unit.match.columns import A, B, C, Event, chains, matched, positions
from tests.unit.match.columns import times as times_of

OFFSETS = np.array([0, 10, 20, 30, 40])


def split_into(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "parts_of", lambda _: parts)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 20])
def test_in_any_number_of_parts_the_answer_is_the_same(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    actors: list[list[Event]] = [
        [(1, A), (2, B), (3, B)],
        [(4, C)],
        [(5, A)],
        [(6, A), (7, B), (8, C), (9, C)],
        [],
        [(10, B), (11, A), (12, C), (13, B)],
    ]
    split_into(parts, monkeypatch)
    found = matched(*actors)
    assert found.actor.tolist() == [0, 2, 3, 5]
    assert found.depth.tolist() == [2, 1, 3, 2]
    assert found.open_until_us.tolist() == [101, 105, 106, 111]
    assert positions(found) == [[0, 1], [4], [5, 6, 7], [10, 12]]


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_nobody_can_be_split_too(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    split_into(parts, monkeypatch)
    assert chains() == []
    assert chains([], []) == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [(1, [(0, 4)]), (2, [(0, 2), (2, 4)]), (3, [(0, 2), (2, 3), (3, 4)]), (4, [(0, 1), (1, 2), (2, 3), (3, 4)])],
)
def test_parts_have_about_as_many_events_each(
    parts: int, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    split_into(parts, monkeypatch)
    assert module._split_actors(OFFSETS) == expected


def test_how_many_parts_goes_by_the_number_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "parts_of", lambda row_count: row_count // 10)
    assert module._split_actors(OFFSETS[:3]) == [(0, 1), (1, 2)]


def test_when_stopped_it_ends_with_what_it_has() -> None:
    assert chains([(0, A)], [(1, A)], is_stopped=True) == []


# Room


def test_more_attempts_than_actors_find_room() -> None:
    many: list[Event] = [(second, A) for second in range(500)]
    assert len(positions(matched(many, window=0, counts_entries=True))) == 500


def test_skipped_steps_find_room() -> None:
    """Twice as many places as events: each chain has six, four of them skipped."""
    optional = [False, True, True, True, True, False]
    last = 1 << 5
    actors: list[list[Event]] = [[(second, A), (second + 1, last)] for second in range(20)]
    skipping = matched(*actors, steps=6, optional=optional)
    assert times_of(skipping, *actors) == [[second, None, None, None, None, second + 1] for second in range(20)]
    attempts = [event for actor in actors[::2] for event in actor]
    found = chains(attempts, steps=6, optional=optional, counts_entries=True)
    assert found == [[second, None, None, None, None, second + 1] for second in range(0, 20, 2)]


def test_a_long_journey_finds_room() -> None:
    many: list[Event] = [(second, A if second % 2 else B) for second in range(1, 500)]
    assert chains([*many, (500, C)], window=1000, within=[None, None, 3]) == [[497, 498, 500]]


def test_one_long_journey_among_short_ones_finds_room() -> None:
    long: list[Event] = [(second, A | B | C) for second in range(100)]
    assert chains([(0, A)], long, [(0, A)], is_any_order=True) == [[0], [0, 1, 2], [0]]
