"""Which events report an order again, and what earlier reports of it matched."""

import numpy as np

from app.match.orders import OrderIds, find_reports
from app.match.rules import Sequences


def reports(*persons: list[tuple[int, int]], ids: dict[int, int], bits: int = 0b11) -> list[tuple[int, int, int]]:
    """persons: (row_number, mask) of each one's events, in order. ids: by row_number the order.

    Returns (position, order, told) of each.
    """
    events = [event for person in persons for event in person]
    count = len(events)
    sequences = Sequences(
        np.cumsum([0, *map(len, persons)]).astype(np.int64),
        np.arange(count)[::-1].copy(),  # rows need not be in the order of persons
        np.arange(count),
        np.array([mask for _, mask in events], np.uint64),
    )
    row_number = np.array([row for row, _ in events], np.int64)[::-1].copy()
    known = OrderIds(np.array(sorted(ids), np.int32), np.array([ids[row] for row in sorted(ids)], np.int32))
    found = find_reports(sequences, row_number, known, bits)
    return list(zip(found.position.tolist(), found.order.tolist(), found.told.tolist(), strict=True))


def test_an_order_that_is_reported_again_says_what_its_reports_before_matched() -> None:
    events = [(50, 0b01), (51, 0b10), (52, 0b11), (53, 0b01)]
    ids = {50: 0, 51: 0, 52: 0, 53: 1}
    assert reports(events, ids=ids) == [(0, 0, 0), (1, 0, 0b01), (2, 0, 0b11), (3, 1, 0)]


def test_orders_may_lie_between_the_reports_of_another() -> None:
    assert reports([(3, 1), (1, 2), (2, 2)], ids={3: 0, 1: 1, 2: 0}) == [(0, 0, 0), (1, 1, 0), (2, 0, 1)]


def test_other_peoples_orders_are_others() -> None:
    assert reports([(0, 1)], [(1, 1)], [], [(2, 1), (3, 1)], ids=dict.fromkeys(range(4), 0)) == [
        (0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 1),
    ]  # fmt: skip


def test_events_without_an_order_or_of_no_bit_that_is_asked_are_no_reports() -> None:
    assert reports([(0, 0b001), (1, 0b100), (9, 0b001), (2, 0b111)], ids={1: 0, 2: 0}) == [(3, 0, 0)]
    assert reports([(0, 1), (1, 1)], ids={}) == []
    assert reports(ids={1: 0}) == []
