"""Events held in memory are picked as DuckDB would: the same rows, extended by what is new, without what is gone."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.funnel import Alternative
from app.mirror.resident import BYTES_PER_EVENT
from app.mirror.scan import Matches, Wanted
from tests.unit.mirror.rows import FilledMirror, Row

NAMES = ("product_viewed", "product_added", "order_completed", "never sent")
VIEWED = Wanted((Alternative("product_viewed"),), 0)


def columns(matches: Matches) -> list[tuple[object, ...]]:
    """One tuple per event, in the order of their row numbers."""
    given = astuple(matches)[:-1]  # without account_id, which was not asked for
    return sorted(zip(*(column.tolist() for column in given), strict=True), key=lambda event: event[-1])


@pytest.fixture
def nothing_held() -> Iterator[FilledMirror]:
    filled = FilledMirror(cache_bytes=0)
    yield filled
    filled.mirror.close()


def rows() -> st.SearchStrategy[list[Row]]:
    times = st.integers(0, 9)
    row = st.builds(
        Row,
        st.sampled_from(NAMES[:3]),
        occurred_at=times,
        received_at=times,
        visitor_id=st.sampled_from((None, 1, 2**40)),
        customer_id=st.sampled_from((None, 7)),
        storefront_id=st.sampled_from((1, 1, 2)),
        seq=st.integers(0, 2),
        is_bot=st.sampled_from((None, None, True)),
    )
    return st.lists(row, min_size=1, max_size=12)


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows(), rows(), wanted(), st.integers(0, 11), st.booleans(), st.none() | st.integers(0, 9))
def test_the_same_events_come_from_memory_as_from_the_file(
    filled: FilledMirror,
    nothing_held: FilledMirror,
    first: Sequence[Row],
    later: Sequence[Row],
    wanted: Sequence[Wanted],
    end_us: int,
    include_bots: bool,
    every_event_from_us: int | None,
) -> None:
    for rows in (first, later):
        found = []
        for mirror in (filled, nothing_held):
            mirror.add(*rows)
            with mirror.scan() as scan:
                matches = scan.matches(
                    wanted, end_us, include_bots=include_bots, every_event_from_us=every_event_from_us
                )
                found.append((columns(matches), scan.events_read))
        assert found[0] == found[1]


def test_what_is_added_during_a_look_does_not_show_in_it(filled: FilledMirror) -> None:
    filled.add(Row())
    with filled.scan() as scan:
        filled.add(Row())
        with filled.scan() as later:
            assert len(later.matches([VIEWED], 10).mask) == 2
        assert len(scan.matches([VIEWED], 10).mask) == 1
        assert len(scan.matches([VIEWED], 10).mask) == 1


def test_what_was_erased_is_not_held_any_more(filled: FilledMirror) -> None:
    filled.add(Row(occurred_at=1), Row(occurred_at=2), Row(occurred_at=3))
    with filled.scan() as scan:
        assert scan.matches([VIEWED], 10).occurred_at_us.tolist() == [1, 2, 3]
    filled.execute("DELETE FROM event WHERE row_number = 1")
    filled.mirror.columns.clear()
    with filled.scan() as scan:
        matches = scan.matches([VIEWED], 10)
        assert (matches.occurred_at_us.tolist(), matches.row_number.tolist()) == ([1, 3], [0, 2])


def test_no_more_is_held_than_may_be() -> None:
    filled = FilledMirror(cache_bytes=2 * BYTES_PER_EVENT)
    filled.add(Row(), Row())
    with filled.scan() as scan:
        assert len(scan.matches([VIEWED], 10).mask) == 2
    assert filled.mirror.columns._entries
    filled.add(Row())
    with filled.scan() as scan:
        assert len(scan.matches([VIEWED], 10).mask) == 3
    filled.mirror.close()
