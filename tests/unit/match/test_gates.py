"""What an event matches in the light of what its person did before."""

import numpy as np

from app.match.gates import Bits, blank_persons, resolve
from app.match.orders import NO_REPORTS, OrderReports

A, B = 1, 2


def resolved(
    *persons: list[int],
    targets: tuple[int, ...],
    gates: tuple[int, ...],
    first_gate: int = 2,
    once: int = 0,
    reports: OrderReports = NO_REPORTS,
) -> list[int]:
    """persons: the masks of each one's events, in order. targets, gates: per bit."""
    offsets = np.cumsum([0, *map(len, persons)]).astype(np.int64)
    mask = np.array([mask for person in persons for mask in person], np.uint64)
    bits = Bits(np.array(targets, np.int32), np.array(gates, np.int32), first_gate, np.uint64(once))
    found = resolve(offsets, mask, bits, reports)
    return [int(each) for each in found]


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


def told(*reports: tuple[int, int, int]) -> OrderReports:
    """(position, order, bits that earlier reports of it have)."""
    position, order, bits = zip(*reports, strict=True)
    return OrderReports(np.array(position), np.array(order, np.int32), np.array(bits, np.uint64))


def test_the_order_that_opened_a_gate_does_not_come_after_it() -> None:
    """Bit 1 needs gate 0, which bit 2 opens."""
    opens = 0b100

    def gated(*masks: int, reports: OrderReports) -> list[int]:
        return resolved(list(masks), targets=(0, 1, 2), gates=(-1, 0, -1), reports=reports)

    assert gated(opens, B, B, reports=told((0, 0, 0), (1, 0, 0), (2, 1, 0))) == [0, 0, B]
    assert gated(opens, opens, B, B, reports=told((0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 1, 0))) == [0, 0, 0, B]
    assert gated(opens, B, reports=told((1, 0, 0))) == [0, B]
    assert gated(opens, B, reports=told((0, 0, 0))) == [0, B]


def test_gates_know_by_which_order_each_was_opened() -> None:
    """Bit 0 needs gate 0, opened by bit 2, and bit 1 needs gate 1, opened by bit 3."""
    reports = told((0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 1, 0))
    found = resolved([0b0100, 0b1000, A | B, A | B], targets=(0, 1, 2, 3), gates=(0, 1, -1, -1), reports=reports)
    assert found == [0, 0, B, A]


def test_what_was_told_of_an_order_counts_once_where_it_should() -> None:
    """Bit 0 counts again, bit 1 does not."""
    assert resolved([A | B, A | B], targets=(0, 1), gates=(-1, -1), once=B, reports=told((1, 0, A | B))) == [A | B, A]


def test_persons_have_orders_of_their_own() -> None:
    reports = told((0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 0, 0))
    found = resolved([0b100, B], [0b100, B], targets=(0, 1, 2), gates=(-1, 0, -1), reports=reports)
    assert found == [0, 0, 0, B]


def blanked(*persons: list[int], wanted: int, unwanted: int) -> list[int]:
    offsets = np.cumsum([0, *map(len, persons)]).astype(np.int64)
    mask = np.array([mask for person in persons for mask in person], np.uint64)
    blank_persons(offsets, mask, wanted, unwanted, A | B)
    return [int(each) for each in mask]


def test_persons_who_did_not_do_all_that_is_wanted_match_no_step() -> None:
    did, also = 0b0100, 0b1000
    assert blanked([A, did], [B, also], wanted=did, unwanted=0) == [A, did, 0, also]
    assert blanked([A | did, B | also], [A, did], wanted=did | also, unwanted=0) == [A | did, B | also, 0, did]
    assert blanked([A], [B, did], wanted=did, unwanted=0) == [0, B, did]
    assert blanked([B], [A, B], wanted=A, unwanted=0) == [0, A, B]


def test_persons_who_did_what_is_unwanted_match_no_step() -> None:
    did_not = 0b0100
    assert blanked([A, did_not, B], [A], wanted=0, unwanted=did_not) == [0, did_not, 0, A]
