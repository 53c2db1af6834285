"""What is missing between numbered events: whatever the order they came in, twice, or counted anew."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.match.gaps import missing_before

Numbered = tuple[int, int, int]  # visitor, number, time


def missing(*events: Numbered) -> list[int | None]:
    """Per event how many are missing before it; None: it is another one once more."""
    visitor, seq, at_us = (np.array(column, np.int64) for column in zip(*events, strict=True))
    found, is_repeated = missing_before(visitor, seq.astype(np.int32), at_us)
    return [None if repeated else gap for gap, repeated in zip(found.tolist(), is_repeated.tolist(), strict=True)]


def test_each_visitor_is_counted_by_itself() -> None:
    assert missing((1, 1, 0), (2, 1, 0), (1, 2, 1), (2, 4, 1), (1, 4, 2)) == [0, 0, 0, 2, 1]


def test_nothing_is_known_to_be_missing_before_the_first_event() -> None:
    assert missing((1, 7, 0), (1, 8, 1)) == [0, 0]


def test_events_that_came_late_fill_their_gaps() -> None:
    assert missing((1, 1, 10), (1, 5, 50), (1, 2, 20), (1, 4, 40)) == [0, 0, 0, 1]


def test_an_event_that_came_twice_counts_once() -> None:
    assert missing((1, 1, 10), (1, 3, 30), (1, 3, 30), (1, 4, 40)) == [0, 1, None, 0]


def test_an_event_that_came_twice_is_not_of_a_second_count() -> None:
    first, second = [(1, 1, 10), (1, 2, 20), (1, 3, 30), (1, 3, 30)], [(1, 1, 60), (1, 3, 80)]
    assert missing(*first, *second) == [0, 0, 0, None, 0, 1]


def test_who_begins_anew_has_a_second_count() -> None:
    first, second = [(1, 1, 10), (1, 2, 20), (1, 3, 30), (1, 5, 50)], [(1, 1, 60), (1, 2, 70), (1, 3, 80), (1, 5, 90)]
    assert missing(*first, *second) == [0, 0, 0, 1, 0, 0, 0, 1]


def test_a_number_of_the_second_count_can_hide_that_the_first_lacks_it() -> None:
    assert missing((1, 1, 10), (1, 2, 20), (1, 4, 40), (1, 1, 50), (1, 2, 60), (1, 3, 70)) == [0, 0, 0, 0, 0, 0]


def test_a_jump_of_more_than_a_thousand_is_no_loss() -> None:
    assert missing((1, 1, 0), (1, 1_001, 1), (2, 1, 0), (2, 1_002, 1)) == [0, 999, 0, 0]
    assert missing((1, 1, 1), (1, 2**31 - 1, 0)) == [0, 0]
    assert missing((1, 1, 0), (1, 1, 5), (1, 1_001, 10)) == [0, 0, 999]
    assert missing((1, 1, 0), (1, 1, 5), (1, 1_002, 10)) == [0, 0, 0]


def test_ids_of_visitors_may_be_anything() -> None:
    assert missing((2**62, 1, 0), (1, 1, 0), (2**62, 3, 1)) == [0, 0, 1]


def test_without_events_there_is_nothing() -> None:
    nothing = np.zeros(0, np.int64)
    assert [len(each) for each in missing_before(nothing, nothing.astype(np.int32), nothing)] == [0, 0]


@settings(max_examples=60)
@given(st.sets(st.tuples(st.sampled_from([1, 2]), st.integers(1, 12)), min_size=1), st.randoms(use_true_random=False))
def test_the_order_in_which_they_came_does_not_matter(sent: set[tuple[int, int]], random: object) -> None:
    """Of visitors that count once, the lost are those between the first and the last that came."""
    events = [(visitor, number, number * 10) for visitor, number in sorted(sent)]
    random.shuffle(events)  # type: ignore[attr-defined]
    lost = 0
    for visitor in (1, 2):
        numbers = [number for each, number in sent if each == visitor]
        lost += max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    assert sum(each or 0 for each in missing(*events)) == lost
