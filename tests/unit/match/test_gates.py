"""What an event matches in the light of what its person did before."""

import numpy as np

from app.match.gates import Bits, blank_persons, resolve

A, B = 1, 2


def resolved(*persons: list[int], targets: tuple[int, ...], gates: tuple[int, ...], first_gate: int = 2) -> list[int]:
    """persons: the masks of each one's events, in order. targets, gates: per bit."""
    offsets = np.cumsum([0, *map(len, persons)]).astype(np.int64)
    mask = np.array([mask for person in persons for mask in person], np.uint64)
    bits = Bits(np.array(targets, np.int32), np.array(gates, np.int32), first_gate)
    return [int(each) for each in resolve(offsets, mask, bits)]


def test_a_gated_bit_counts_after_an_earlier_event_opened_the_gate() -> None:
    """Bit 1 needs gate 0, which bit 2 opens."""
    opens = 0b100

    def gated(*masks: int) -> list[int]:
        return resolved(list(masks), targets=(0, 1, 2), gates=(-1, 0, -1))

    assert gated(A, B) == [A, 0]
    assert gated(opens, A, B) == [0, A, B]
    assert gated(A, opens | B) == [A, 0]
    assert gated(A | opens, B) == [A, B]


def test_what_one_person_opened_stays_closed_to_the_next() -> None:
    assert resolved([0b100, B], [A, B], targets=(0, 1, 2), gates=(-1, 0, -1)) == [0, B, A, 0]


def test_a_gate_may_need_another_gate() -> None:
    """Bit 1 needs gate 0, opened by bit 2 once gate 1 is open, which bit 3 opens."""

    def gated(*masks: int) -> list[int]:
        return resolved(list(masks), targets=(0, 1, 2, 3), gates=(-1, 0, 1, -1))

    assert gated(0b1000, 0b0100, B) == [0, 0, B]
    assert gated(0b0100, 0b1000, B) == [0, 0, 0]
    assert gated(0b1100, B) == [0, 0]


def test_an_event_does_not_open_a_gate_by_what_it_opens_itself() -> None:
    """The step needs gate 1, opened by bit 2 once gate 0 is open, which bit 1 opens."""

    def gated(*masks: int) -> list[int]:
        return resolved(list(masks), targets=(0, 1, 2), gates=(1, -1, 0), first_gate=1)

    both = 0b110
    assert gated(both, A) == [0, 0]
    assert gated(both, both, A) == [0, 0, A]


def blanked(*persons: list[int], wanted: int, unwanted: int) -> list[int]:
    offsets = np.cumsum([0, *map(len, persons)]).astype(np.int64)
    mask = np.array([mask for person in persons for mask in person], np.uint64)
    blank_persons(offsets, mask, wanted, unwanted, A | B)
    return [int(each) for each in mask]


def test_persons_who_did_not_do_all_that_is_wanted_match_no_step() -> None:
    did, also = 0b0100, 0b1000
    assert blanked([A, did], [B, also], wanted=did, unwanted=0) == [A, did, 0, also]
    assert blanked([A | did, B | also], [A, did], wanted=did | also, unwanted=0) == [A | did, B | also, 0, did]


def test_persons_who_did_what_is_unwanted_match_no_step() -> None:
    did_not = 0b0100
    assert blanked([A, did_not, B], [A], wanted=0, unwanted=did_not) == [0, did_not, 0, A]
