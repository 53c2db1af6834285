"""The earliest event of each person, whatever order events come in."""

import numpy as np

from app.match.first import keep_firsts, no_firsts

Event = tuple[int, int, int, int]  # person, time, seq, order of storing


def first_rows(*batches: list[Event], asked: tuple[int, ...], lowest: int = 0) -> list[int]:
    """The rows of the first events, numbered through all batches. asked: by person, from `lowest` on, the place."""
    firsts = no_firsts(max(asked) + 1)
    row = 0
    for batch in batches:
        person, at, seq, stored = np.array(batch, np.int64).reshape(-1, 4).T
        rows = np.arange(row, row + len(batch))
        row += len(batch)
        keep_firsts(firsts, lowest, np.array(asked, np.int32), person, at, seq.astype(np.int32), stored, rows)
    return [int(number) for number in firsts.row_number]


def test_the_earliest_event_of_each_person_is_kept() -> None:
    events: list[Event] = [(0, 5, 0, 0), (1, 9, 0, 1), (0, 3, 0, 2), (1, 10, 0, 3), (0, 4, 0, 4)]
    assert first_rows(events, asked=(0, 1)) == [2, 1]
    assert first_rows(events[:2], events[2:], asked=(0, 1)) == [2, 1]


def test_seq_then_the_order_of_storing_decide_ties() -> None:
    assert first_rows([(0, 5, 1, 0), (0, 5, 0, 9)], asked=(0,)) == [1]
    assert first_rows([(0, 5, 0, 9), (0, 5, 1, 0)], asked=(0,)) == [0]
    assert first_rows([(0, 5, 0, 2), (0, 5, 0, 1), (0, 5, 0, 3)], asked=(0,)) == [1]
    assert first_rows([(0, 5, 0, 2)], [(0, 5, 0, 1)], [(0, 5, 0, 3)], asked=(0,)) == [1]


def test_of_the_same_rank_the_one_seen_first_stays() -> None:
    assert first_rows([(0, 5, 0, 0), (0, 5, 0, 0)], asked=(0,)) == [0]


def test_only_persons_asked_for_are_kept_at_their_places() -> None:
    events: list[Event] = [(-9, 1, 0, 0), (-8, 1, 0, 0), (-7, 0, 0, 0), (-6, 1, 0, 0), (-5, 1, 0, 0)]
    assert first_rows(events, asked=(1, -1, 0), lowest=-8) == [3, 1]


def test_who_did_nothing_has_no_row() -> None:
    assert first_rows([(1, 0, 0, 0)], asked=(0, 1, 2)) == [-1, 0, -1]
    assert first_rows([], asked=(0,)) == [-1]
