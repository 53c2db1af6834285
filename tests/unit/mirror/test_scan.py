"""A scan returns the events that are wanted, when they are wanted, and what else was asked for."""

import numpy as np

from app.domain.funnel import Alternative, Condition, Operator
from app.mirror.scan import TIME_MAX_US, Matches, Scan, Wanted
from tests.unit.mirror.rows import FilledMirror, Row

VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"


def want(event_name: str, start_us: int = 0, end_us: int = TIME_MAX_US) -> Wanted:
    return Wanted((Alternative(event_name),), start_us, end_us)


def found(matches: Matches) -> list[tuple[int, int]]:
    """(row_number, mask) of every event."""
    return sorted(zip(matches.row_number.tolist(), matches.mask.tolist(), strict=True))


def rows(scan: Scan, *wanted: Wanted) -> list[int]:
    return sorted(scan.matches(wanted, TIME_MAX_US).row_number.tolist())


def test_every_event_has_its_row_number_and_the_bits_it_matches(filled: FilledMirror) -> None:
    filled.add(Row(VIEWED), Row("scroll"), Row(ADDED), Row(ORDERED))
    with filled.scan() as scan:
        matches = scan.matches([want(VIEWED), want(ORDERED), want(VIEWED)], TIME_MAX_US)
        assert found(matches) == [(0, 0b101), (3, 0b010)]
        assert scan.events_read == 2
        assert len(matches.account_id) == 0


def test_a_bit_wants_events_from_its_start_until_before_its_end(filled: FilledMirror) -> None:
    filled.add(*(Row(VIEWED, occurred_at=time) for time in range(10)))
    with filled.scan() as scan:
        assert rows(scan, want(VIEWED, 3, 6)) == [3, 4, 5]
        assert rows(scan, want(VIEWED, 3, 6), want(VIEWED, 8)) == [3, 4, 5, 8, 9]
        assert rows(scan, want(VIEWED, 3, 6), want(VIEWED, 6, 8)) == [3, 4, 5, 6, 7]
        assert rows(scan, want(VIEWED, 2, 8), want(VIEWED, 3, 6)) == [2, 3, 4, 5, 6, 7]
        assert rows(scan, want(VIEWED, 3, 3)) == []


def test_one_bits_times_are_not_anothers(filled: FilledMirror) -> None:
    filled.add(
        Row(VIEWED, occurred_at=1), Row(ADDED, occurred_at=1), Row(VIEWED, occurred_at=5), Row(ADDED, occurred_at=5)
    )
    with filled.scan() as scan:
        assert rows(scan, want(VIEWED, 0, 2), want(ADDED, 4, 6)) == [0, 3]


def test_every_event_from_a_time_on(filled: FilledMirror) -> None:
    filled.add(*(Row("scroll", occurred_at=time) for time in range(4)), Row(VIEWED, occurred_at=0))
    dear = Wanted((Alternative(VIEWED, (Condition("price", Operator.GREATER, 100),)),), 0)
    filled.add(Row(VIEWED, {"price": 5}, occurred_at=1), Row(VIEWED, {"price": 5}, occurred_at=3))
    with filled.scan() as scan:
        plain = scan.matches([want(VIEWED)], TIME_MAX_US, every_event_from_us=2)
        assert found(plain) == [(2, 0), (3, 0), (4, 1), (5, 1), (6, 1)]
        conditional = scan.matches([dear], TIME_MAX_US, every_event_from_us=2)
        assert found(conditional) == [(2, 0), (3, 0), (6, 0)]
        assert found(scan.matches([], 3, every_event_from_us=2)) == [(2, 0)]


def test_only_what_was_received_before_as_of(filled: FilledMirror) -> None:
    filled.add(*(Row(VIEWED, occurred_at=10, received_at=time) for time in (8, 9, 10, 11)))
    with filled.scan() as scan:
        assert found(scan.matches([want(VIEWED)], TIME_MAX_US, as_of_us=10)) == [(0, 1), (1, 1)]


def test_accounts_when_asked_for(filled: FilledMirror) -> None:
    filled.add(Row(VIEWED, account_id=70), Row(VIEWED))
    cheap = Wanted((Alternative(VIEWED, (Condition("price", Operator.EXISTS, False),)),), 0)
    with filled.scan() as scan:
        for wanted in (want(VIEWED), cheap):
            matches = scan.matches([wanted], TIME_MAX_US, with_account=True)
            assert dict(zip(matches.row_number.tolist(), matches.account_id.tolist(), strict=True)) == {0: 70, 1: 0}


def test_events_in_full_in_the_order_asked_for(filled: FilledMirror) -> None:
    filled.add(
        Row(VIEWED, {"price": 9.5, "tags": ["a"]}, url="https://shop.example/a", occurred_at=1),
        Row(
            ADDED, {"price": 9.5, "naïve": None}, shaped=True, referrer="r", occurred_at=2, customer_id=5, account_id=6
        ),
    )
    filled.add(Row(storefront_id=2))
    with filled.scan() as scan:
        assert scan.events(np.array([1, 0])) == [
            (1, 2, ADDED, None, "r", {"price": 9.5, "naïve": None}, 1, 5, 6, "browser"),
            (0, 1, VIEWED, "https://shop.example/a", None, {"price": 9.5, "tags": ["a"]}, 1, None, None, "browser"),
        ]
        assert scan.events(np.empty(0, np.int64)) == []
