"""Who a visitor was, and when: as the oracle says, whichever way the events came in."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.match.actors import person_ids
from app.mirror.erase import DELETE
from app.mirror.links import make_links, points_of, update_links
from app.mirror.schema import clear
from tests.oracle import Naming, Undoing, persons_oracle
from tests.unit.mirror.rows import SCHEMA, FilledMirror, Row

CACHE_BYTES = 1024**2
VISITORS = ("phone", "tablet")
CUSTOMERS = ("ana", "ben", "zoë")


class Numbers(dict[str, int]):
    """Ids of ours, given in the order in which the sender's come in."""

    def of(self, key: str | None) -> int | None:
        return None if key is None else self.setdefault(key, len(self) + 1)

    def keys_of(self, numbers: Sequence[int]) -> dict[int, str]:
        return {number: key for key, number in self.items() if number in numbers}


@functools.cache
def _filled() -> FilledMirror:
    """One for all tests, emptied for each: making one takes longer than most tests."""
    return FilledMirror(CACHE_BYTES)


@pytest.fixture(autouse=True, scope="module")
def _closed_at_the_end() -> Iterator[None]:
    yield
    _filled().mirror.close()
    _filled.cache_clear()


class Follower:
    """Takes events in, a few at a look, as the follower of Postgres does."""

    def __init__(self) -> None:
        self.filled = _filled()
        with self.filled.mirror.cursor() as cursor:
            clear(cursor)
        self.filled._numbering.forget()
        self.visitors, self.customers = Numbers(), Numbers()
        self.events: list[Naming] = []
        self.undone: list[Undoing] = []

    def look(self, events: Sequence[Naming], undone: Sequence[Undoing] = ()) -> None:
        rows = [self._row(event) for event in events]
        self.events += events
        self.undone += undone
        if rows:
            self.filled.add(*rows)
        with self.filled.mirror.cursor() as cursor:
            for each in undone:
                ids = [self.visitors.of(each.visitor), self.customers.of(each.customer)]
                cursor.execute("INSERT INTO visitor_unlink VALUES (?, ?, 1, ?)", [*ids, each.at])
            batches = pa.Table.from_pylist([row._asdict() for row in map(_point, rows)], SCHEMA).to_batches()
            unlinked = [self.visitors[each.visitor] for each in undone]
            update_links(cursor, map(points_of, batches), unlinked, self.customers.keys_of)

    def erase(self, what: str, **column: object) -> None:
        with self.filled.mirror.cursor() as cursor:
            cursor.register("incoming", pa.table({name: pa.array([value]) for name, value in column.items()}))
            for statement in DELETE[what]:
                cursor.execute(statement)

    def persons(self) -> list[str]:
        """Behind each event that came in, as reports see it."""
        with self.filled.scan() as scan:
            links = scan.links()
        visitor = np.array([self.visitors.get(event.visitor or "", 0) for event in self.events], np.int64)
        customer = np.array([self.customers.get(event.customer or "", 0) for event in self.events], np.int64)
        at = np.array([event.at for event in self.events], np.int64)
        found = person_ids(visitor, customer, at, links.visitor_id, links.customer_id, links.linked_at_us)
        keys = {-number: key for key, number in self.customers.items()}
        keys |= {number: f"visitor {key}" for key, number in self.visitors.items()}
        return [keys[number] for number in found.tolist()]

    def runs(self) -> list[tuple[str, str, int, int]]:
        """Visitor, customer, first and last, in order."""
        with self.filled.mirror.cursor() as cursor:
            query = "SELECT visitor_id, customer_id, since_us, until_us FROM visitor_link ORDER BY visitor_id, place"
            found = cursor.execute(query).fetchall()
        visitors, customers = (
            {number: key for key, number in each.items()} for each in (self.visitors, self.customers)
        )
        return [(visitors[visitor], customers[customer], *times) for visitor, customer, *times in found]

    def _row(self, event: Naming) -> Row:
        return Row(
            visitor_id=self.visitors.of(event.visitor),
            customer_id=self.customers.of(event.customer),
            occurred_at=event.at,
            seq=event.seq,
        )


class _Point(NamedTuple):
    storefront_id: int
    visitor_id: int | None
    customer_id: int | None
    occurred_at: int
    seq: int


def _point(row: Row) -> _Point:
    return _Point(row.storefront_id, row.visitor_id, row.customer_id, row.occurred_at, row.seq)


def login(visitor: str, customer: str, *times: int) -> list[Naming]:
    return [Naming(visitor, customer, at) for at in times]


def seen(visitor: str, *times: int) -> list[Naming]:
    return [Naming(visitor, None, at) for at in times]


def after(*looks: Sequence[Naming]) -> Follower:
    follower = Follower()
    for events in looks:
        follower.look(events)
    return follower


def test_events_of_one_customer_in_a_row_are_one_run() -> None:
    follower = after(login("phone", "ana", 5, 3), login("phone", "ana", 9), login("phone", "ana", 4, 1))
    assert follower.runs() == [("phone", "ana", 1, 9)]


def test_a_device_that_goes_to_and_fro_has_a_run_each_time() -> None:
    follower = after(login("tablet", "ana", 1, 2), login("tablet", "ben", 5), login("tablet", "ana", 8, 9))
    assert follower.runs() == [("tablet", "ana", 1, 2), ("tablet", "ben", 5, 5), ("tablet", "ana", 8, 9)]
    follower.look(seen("tablet", 0, 4, 6, 99))
    assert follower.persons()[-4:] == ["ana", "ana", "ben", "ana"]


def test_a_login_that_comes_late_divides_a_run_where_it_belongs() -> None:
    follower = after(login("tablet", "ana", 1, 3, 7, 9), login("tablet", "ben", 5))
    assert follower.runs() == [("tablet", "ana", 1, 3), ("tablet", "ben", 5, 5), ("tablet", "ana", 7, 9)]


def test_logins_at_the_same_instant_take_effect_in_the_order_of_seq_then_of_the_customers_names() -> None:
    by_seq = after([Naming("tablet", "ana", 5, seq=2), Naming("tablet", "ben", 5, seq=1)])
    by_name = after(login("tablet", "zoë", 5), login("tablet", "ben", 5))
    assert by_seq.runs() == [("tablet", "ben", 5, 5), ("tablet", "ana", 5, 5)]
    assert by_name.runs() == [("tablet", "ben", 5, 5), ("tablet", "zoë", 5, 5)]


def test_a_link_undone_gives_the_visitor_back_until_the_next_login() -> None:
    follower = after(login("phone", "ana", 1, 4) + seen("phone", 2, 6))
    follower.look([], [Undoing("phone", "ana", 5)])
    assert follower.persons() == ["ana", "ana", "visitor phone", "visitor phone"]
    assert follower.runs() == []
    follower.look(login("phone", "ana", 3))  # late, of before
    assert follower.runs() == []
    follower.look(login("phone", "ana", 8))
    assert follower.runs() == [("phone", "ana", 8, 8)]


def test_a_link_undone_leaves_the_other_customers_of_the_device_alone() -> None:
    follower = after(login("tablet", "ana", 1) + login("tablet", "ben", 3) + login("tablet", "ana", 5))
    follower.look([], [Undoing("tablet", "ben", 9)])
    assert follower.runs() == [("tablet", "ana", 1, 5)]


def test_what_is_erased_of_one_customer_leaves_the_times_of_the_others() -> None:
    follower = after(login("tablet", "ana", 1) + login("tablet", "ben", 3) + login("tablet", "ana", 5))
    follower.erase("customers", customer_id=follower.customers["ana"])
    assert follower.runs() == [("tablet", "ben", 3, 3)]


def test_of_a_run_that_has_expired_in_part_the_rest_goes_on() -> None:
    follower = after(login("tablet", "ana", 1) + login("tablet", "ben", 3, 8) + login("tablet", "ana", 9))
    follower.erase("expired", storefront_id=1, occurred_before=pa.scalar(5, pa.timestamp("us")))
    assert follower.runs() == [("tablet", "ben", 5, 8), ("tablet", "ana", 9, 9)]


# As the oracle says


times = st.integers(0, 6)
namings = st.builds(
    Naming,
    st.sampled_from(VISITORS),
    st.sampled_from((None, *CUSTOMERS)),
    times,
    st.sampled_from((0, 0, 1)),
)
undoings = st.builds(Undoing, st.sampled_from(VISITORS), st.sampled_from(CUSTOMERS), times)
looks = st.lists(st.tuples(st.lists(namings, max_size=5), st.lists(undoings, max_size=1)), min_size=1, max_size=6)


def known(undone: Iterable[Undoing], events: Iterable[Naming]) -> list[Undoing]:
    """Only what linked two can be undone."""
    pairs = {(event.visitor, event.customer) for event in events}
    return [each for each in undone if (each.visitor, each.customer) in pairs]


@settings(max_examples=30)
@given(looks)
def test_after_every_look_each_event_is_whose_the_oracle_says(looks: list[tuple[list[Naming], list[Undoing]]]) -> None:
    follower = Follower()
    for events, undone in looks:
        follower.look(events, known(undone, [*follower.events, *events]))
        assert follower.persons() == persons_oracle(follower.events, follower.undone)
    in_steps = follower.runs()
    with follower.filled.mirror.cursor() as cursor:
        make_links(cursor, follower.customers.keys_of)
    assert follower.runs() == in_steps


@settings(max_examples=25)
@given(st.lists(namings, max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
def test_in_any_order_of_arrival_the_persons_are_the_same(events: list[Naming], random: object, size: int) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    follower = after(*(shuffled[start : start + size] for start in range(0, len(shuffled), size)))
    expected = dict(zip(events, persons_oracle(events), strict=True))
    assert dict(zip(follower.events, follower.persons(), strict=True)) == expected


@settings(max_examples=25)
@given(looks, st.sampled_from(CUSTOMERS), times, st.lists(namings, max_size=4))
def test_after_an_erasure_and_an_expiry_the_rest_is_whose_it_was_made_of_the_rest_alone(
    looks: list[tuple[list[Naming], list[Undoing]]], erased: str, before: int, later: list[Naming]
) -> None:
    follower = Follower()
    for events, undone in looks:
        follower.look(events, known(undone, [*follower.events, *events]))
    follower.erase("customers", customer_id=follower.customers.setdefault(erased, 99))
    follower.erase("expired", storefront_id=1, occurred_before=pa.scalar(before, pa.timestamp("us")))
    follower.undone = [each for each in follower.undone if each.customer != erased]
    follower.events = [each for each in follower.events if each.customer != erased and each.at >= before]
    follower.look([each for each in later if each.customer != erased and each.at >= before])
    assert follower.persons() == persons_oracle(follower.events, follower.undone)


@pytest.mark.parametrize("visitor", [None, "phone"])
def test_events_that_name_only_one_of_both_link_nobody(visitor: str | None) -> None:
    follower = after([Naming(visitor, None if visitor else "ana", 1)])
    assert follower.runs() == []
