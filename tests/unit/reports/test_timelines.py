"""Persons' events picked from memory are those that DuckDB finds, in the same order, whatever came since."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.funnel import Alternative
from app.match.actors import group_by_actor
from app.match.picking import in_order
from app.mirror.resident import BYTES_PER_EVENT
from app.mirror.scan import Scan, Wanted
from app.reports import timelines
from app.reports.funnel.matching import persons_of
from app.reports.timelines import first_touches, pick_wanted
from tests.unit.mirror.rows import FilledMirror, Row

NAMES = ("product_viewed", "product_added", "order_completed", "never sent")
VIEWED = Wanted((Alternative("product_viewed"),), 0)

# Per person the events in order: row_number, time and mask.
Found = dict[int, list[tuple[int, int, int]]]


@pytest.fixture
def filled() -> Iterator[FilledMirror]:
    mirror = FilledMirror(cache_bytes=1 << 20)
    yield mirror
    mirror.mirror.close()


@contextmanager
def new_rows_max(count: int) -> Iterator[None]:
    """So many rows may be new before everything is put in order again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timelines, "NEW_ROWS", count)
        yield


def from_memory(scan: Scan, wanted: Sequence[Wanted], end_us: int, **options: object) -> Found:
    found = pick_wanted(scan, wanted, end_us, **options)  # type: ignore[arg-type]  # the tests' own
    assert found is not None
    picked, rows = found
    sequences = in_order(picked, picked.mask, rows.seq, rows.stored)
    return grouped(picked.person, sequences.offsets, picked.row_number[sequences.row], sequences)


def from_file(scan: Scan, wanted: Sequence[Wanted], end_us: int, **options: object) -> Found:
    events = scan.matches(wanted, end_us, **options)  # type: ignore[arg-type]  # the tests' own
    person = persons_of(events, scan.links())
    sequences = group_by_actor(person, events.occurred_at_us, events.seq, events.stored, events.mask)
    has_any = np.flatnonzero(np.diff(sequences.offsets))
    offsets = np.append(sequences.offsets[has_any], len(person))
    persons = person[sequences.row[offsets[:-1]]] if len(person) else person
    return grouped(persons, offsets, events.row_number[sequences.row], sequences)


def first_events(scan: Scan, end_us: int, *, include_bots: bool) -> dict[int, int]:
    persons = np.arange(-10, 1_001)
    found = first_touches(scan, persons, end_us, include_bots=include_bots)
    assert found is not None
    return {person: row for person, row in zip(persons.tolist(), found.tolist(), strict=True) if row >= 0}


def grouped(persons: np.ndarray, offsets: np.ndarray, row_number: np.ndarray, sequences: object) -> Found:
    times, mask = sequences.occurred_at_us.tolist(), sequences.mask.tolist()  # type: ignore[attr-defined]
    events = list(zip(row_number.tolist(), times, mask, strict=True))
    bounds = offsets.tolist()
    assert len(bounds) == len(persons) + 1
    return {
        person: events[start:end] for person, start, end in zip(persons.tolist(), bounds[:-1], bounds[1:], strict=True)
    }


def link(filled: FilledMirror, links: Sequence[tuple[int, int, int]]) -> None:
    """As if events had said so: visitor, customer, since when."""
    filled.execute("DELETE FROM visitor_link")
    places: dict[int, int] = {}
    for visitor, customer, since in sorted(links, key=lambda each: (each[0], each[2])):
        place = places.setdefault(visitor, 0)
        places[visitor] += 1
        filled.execute(f"INSERT INTO visitor_link VALUES ({visitor}, {customer}, 1, {since}, {since}, {place})")


def rows() -> st.SearchStrategy[list[Row]]:
    times = st.integers(0, 9)
    row = st.builds(
        Row,
        st.sampled_from(NAMES[:3]),
        occurred_at=times,
        received_at=times,
        visitor_id=st.sampled_from((None, 1, 2, 3, 1_000)),
        customer_id=st.sampled_from((None, None, 7, 8)),
        storefront_id=st.sampled_from((1, 1, 2)),
        seq=st.integers(0, 2),
        is_bot=st.sampled_from((None, None, True)),
    ).filter(lambda row: row.visitor_id is not None or row.customer_id is not None)
    return st.lists(row, min_size=1, max_size=12)


def links() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    one = st.tuples(st.sampled_from((1, 2, 3, 5)), st.sampled_from((7, 8, 9)), st.integers(0, 9))
    return st.lists(one, max_size=4)


def wanted() -> st.SearchStrategy[list[Wanted]]:
    names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)
    alternatives = names.map(lambda chosen: tuple(Alternative(name) for name in chosen))
    bit = st.builds(
        lambda any_of, start, length: Wanted(any_of, start, start + length),
        alternatives,
        st.integers(-1, 8),
        st.integers(0, 10),
    )
    return st.lists(bit, min_size=1, max_size=3)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(rows(), links()), min_size=1, max_size=4),
    st.sampled_from((0, 5, 100)),
    wanted(),
    st.integers(0, 11),
    st.booleans(),
    st.none() | st.integers(0, 9),
)
def test_the_same_events_come_from_memory_as_from_the_file(
    filled: FilledMirror,
    arrivals: Sequence[tuple[Sequence[Row], Sequence[tuple[int, int, int]]]],
    new_max: int,
    wanted: Sequence[Wanted],
    end_us: int,
    include_bots: bool,
    every_event_from_us: int | None,
) -> None:
    options = {"include_bots": include_bots, "every_event_from_us": every_event_from_us}
    for rows, linked in arrivals:
        filled.add(*rows)
        link(filled, linked)
        with new_rows_max(new_max), filled.scan() as scan:
            one_range_per_name = scan.by_name(wanted) is not None
            assert pick_wanted(scan, wanted, end_us, **options) is None or one_range_per_name  # type: ignore[arg-type]
            if one_range_per_name:
                assert from_memory(scan, wanted, end_us, **options) == from_file(scan, wanted, end_us, **options)
            assert first_events(scan, end_us, include_bots=include_bots) == {
                person: events[0][0]
                for person, events in from_file(
                    scan, [], end_us, include_bots=include_bots, every_event_from_us=-1
                ).items()
            }


def test_what_is_added_during_a_look_does_not_show_in_it(filled: FilledMirror) -> None:
    filled.add(Row())
    for new_max in (0, 100):
        with new_rows_max(new_max), filled.scan() as scan:
            before = from_memory(scan, [VIEWED], 10)
            filled.add(Row())
            with filled.scan() as later:
                assert len(from_memory(later, [VIEWED], 10)[1]) == len(before[1]) + 1
            assert from_memory(scan, [VIEWED], 10) == before


def test_what_was_erased_is_not_held_any_more(filled: FilledMirror) -> None:
    filled.add(Row(occurred_at=1), Row(occurred_at=2), Row(occurred_at=3))
    with filled.scan() as scan:
        assert from_memory(scan, [VIEWED], 10) == {1: [(0, 1, 1), (1, 2, 1), (2, 3, 1)]}
    filled.execute("DELETE FROM event WHERE row_number = 1")
    filled.mirror.columns.clear()
    with filled.scan() as scan:
        assert from_memory(scan, [VIEWED], 10) == {1: [(0, 1, 1), (2, 3, 1)]}


def test_no_more_is_held_than_may_be() -> None:
    filled = FilledMirror(cache_bytes=2 * (BYTES_PER_EVENT + timelines.BYTES_PER_EVENT))
    filled.add(Row(), Row())
    with filled.scan() as scan:
        assert pick_wanted(scan, [VIEWED], 10) is not None
    filled.add(Row())
    with filled.scan() as scan:
        assert pick_wanted(scan, [VIEWED], 10) is None
    filled.mirror.close()


def test_conditions_are_asked_of_the_file(filled: FilledMirror) -> None:
    two_ranges = [Wanted((Alternative("product_viewed"),), 0, 2), Wanted((Alternative("product_viewed"),), 5, 7)]
    filled.add(Row())
    with filled.scan() as scan:
        assert pick_wanted(scan, two_ranges, 10) is None
