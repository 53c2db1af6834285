"""The funnel matcher on columns written by hand; random journeys meet the oracle in ../reports."""

from collections.abc import Sequence

import numpy as np

from app.match.actors import Sequences
from app.match.sequence import Bounds, MatchResult, StepBits, match_in_order

A, B, C = 1, 2, 4  # masks of an event that matches the first, second, third step


def matched(
    *actors: Sequence[tuple[int, int]],
    steps: int = 3,
    window: int = 100,
    start: int = 0,
    end: int = 1000,
    targets: Sequence[int] = (),
    gates: Sequence[int] = (),
) -> MatchResult:
    """actors: each one's (time, mask), in order. targets and gates: per bit, without them bit k is step k."""
    rows = [row for actor in actors for row in actor]
    at, mask = np.array(rows, np.int64).reshape(-1, 2).T
    offsets = np.cumsum([0, *(len(actor) for actor in actors)]).astype(np.int64)
    bit_target = np.array(targets or range(steps), np.int32)
    bit_gate = np.array(gates or [-1] * len(bit_target), np.int32)
    gate_count = int(bit_gate.max()) + 1
    sequences = Sequences(offsets, at, mask.astype(np.uint64))
    bits = StepBits(bit_target, bit_gate, steps, gate_count)
    return match_in_order(sequences, bits, Bounds(start, end, window))


def chains(found: MatchResult) -> list[list[int]]:
    """The times of each reported chain."""
    pairs = zip(found.chain_start, found.depth, strict=True)
    return [found.chain_us[start : start + depth].tolist() for start, depth in pairs]


def test_actors_who_did_not_enter_are_left_out() -> None:
    found = matched([(1, A), (2, B)], [], [(1, B)], [(5, A)])
    assert chains(found) == [[1, 2], [5]]
    assert found.depth.tolist() == [2, 1]
    assert found.last_entry_us.tolist() == [1, 5]


def test_nothing_in_nothing_out() -> None:
    assert chains(matched()) == []


def test_the_window_includes_its_bound() -> None:
    assert chains(matched([(0, A), (100, B)])) == [[0, 100]]
    assert chains(matched([(0, A), (101, B)])) == [[0]]


def test_the_range_includes_its_start_but_not_its_end() -> None:
    assert chains(matched([(9, A)], [(10, A)], [(19, A)], [(20, A)], start=10, end=20)) == [[10], [19]]


def test_an_event_is_used_once_also_when_it_matches_neighbouring_steps() -> None:
    assert chains(matched([(0, A | B | C)])) == [[0]]
    assert chains(matched([(0, A | B | C), (1, A | B | C)])) == [[0, 1]]
    assert chains(matched([(0, A | B | C), (1, A | B | C), (2, A | B | C)])) == [[0, 1, 2]]


def test_steps_between_are_the_earliest_of_the_entry() -> None:
    assert chains(matched([(0, A), (1, B), (2, B), (3, C)])) == [[0, 1, 3]]


def test_the_latest_entry_is_reported_of_those_that_get_there_first() -> None:
    assert chains(matched([(0, A), (1, A), (2, B), (3, A), (4, B)])) == [[1, 2]]


def test_a_chain_of_an_earlier_entry_goes_on_while_a_later_entry_has_not_come_as_far() -> None:
    assert chains(matched([(0, A), (10, B), (20, A), (100, C)])) == [[0, 10, 100]]
    assert chains(matched([(0, A), (10, B), (20, A), (101, C)])) == [[0, 10]]
    assert chains(matched([(0, A), (10, B), (20, A), (30, B), (101, C)])) == [[20, 30, 101]]


def test_the_last_entry_is_known_also_when_an_earlier_one_is_reported() -> None:
    assert matched([(0, A), (10, B), (20, A)]).last_entry_us.tolist() == [20]


def test_a_gated_bit_counts_after_the_gate_was_opened_by_an_earlier_event() -> None:
    """Two steps; bit 1 needs gate 0, which bit 2 opens."""

    def gated(*rows: tuple[int, int]) -> list[list[int]]:
        return chains(matched(rows, steps=2, targets=(0, 1, 2), gates=(-1, 0, -1)))

    opens = 0b100
    assert gated((0, A), (1, B)) == [[0]]
    assert gated((-500, opens), (0, A), (1, B)) == [[0, 1]]
    assert gated((0, A), (1, opens | B)) == [[0]]
    assert gated((0, A | opens), (1, B)) == [[0, 1]]


def test_what_one_actor_opened_stays_closed_to_the_next() -> None:
    rows = [(0, 0b100), (1, A), (2, B)], [(1, A), (2, B)]
    assert chains(matched(*rows, steps=2, targets=(0, 1, 2), gates=(-1, 0, -1))) == [[1, 2], [1]]


def test_a_gate_may_need_another_gate() -> None:
    """Bit 1 needs gate 0, opened by bit 2 once gate 1 is open, which bit 3 opens."""

    def gated(*rows: tuple[int, int]) -> list[list[int]]:
        return chains(matched(rows, steps=2, targets=(0, 1, 2, 3), gates=(-1, 0, 1, -1)))

    assert gated((0, 0b1000), (1, 0b0100), (2, A), (3, B)) == [[2, 3]]
    assert gated((0, 0b0100), (1, 0b1000), (2, A), (3, B)) == [[2]]
    assert gated((0, 0b1100), (2, A), (3, B)) == [[2]]


def test_an_event_does_not_open_a_gate_by_what_it_opens_itself() -> None:
    """The step needs gate 1, opened by bit 2 once gate 0 is open, which bit 1 opens."""

    def gated(*rows: tuple[int, int]) -> list[list[int]]:
        return chains(matched(rows, steps=1, targets=(0, 1, 2), gates=(1, -1, 0)))

    both = 0b110
    assert gated((0, both), (1, A)) == []
    assert gated((0, both), (1, both), (2, A)) == [[2]]


def test_fifty_steps_and_the_highest_bit_of_a_mask() -> None:
    rows = [(at, 1 << at) for at in range(50)]
    assert chains(matched(rows, steps=50, targets=(*range(50), *[49] * 13))) == [list(range(50))]
    rows[49] = (49, 1 << 62)
    assert chains(matched(rows, steps=50, targets=(*range(50), *[49] * 13))) == [list(range(50))]
