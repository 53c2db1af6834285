"""Which kinds of events lie in the spans of attempts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.match.presence import Spans, mark_presence, no_presence, spans_with


class Span(NamedTuple):
    """Of a person's attempt: from a time on, that included, to the event with this time and seq, that not."""

    person: int
    start: int
    end: int
    end_seq: int = 0


class Seen(NamedTuple):
    person: int
    at: int
    kind: int = 0
    seq: int = 0


def marked(
    spans: Sequence[Span], events: Sequence[Seen], persons: tuple[int, int] = (0, 2), kinds: int = 1, stop: bool = False
) -> list[list[int]]:
    """Per kind the numbers of the spans in which it lies. persons: from the first on, up to the last, not included."""
    lowest, last = persons
    person = np.array([span.person for span in spans])
    columns = Spans(
        lowest,
        np.searchsorted(person, np.arange(lowest, last + 1)),
        np.array([span.start for span in spans]),
        np.array([span.end for span in spans]),
        np.array([span.end_seq for span in spans], np.int32),
    )
    present = no_presence(len(spans), kinds)
    mark_presence(
        present,
        columns,
        np.array([event.person for event in events]),
        np.array([event.at for event in events]),
        np.array([event.seq for event in events], np.int32),
        np.array([event.kind for event in events], np.int32),
        np.array([stop], np.uint8),
    )
    return [np.flatnonzero(spans_with(present, kind)).tolist() for kind in range(kinds)]


def test_a_span_includes_its_start_but_not_the_event_it_ends_with() -> None:
    def is_in(at: int, seq: int = 0) -> bool:
        return marked([Span(0, 10, 20, end_seq=3)], [Seen(0, at, seq=seq)]) == [[0]]

    assert [is_in(9), is_in(10), is_in(19, seq=9), is_in(20, seq=2), is_in(20, seq=3), is_in(20, seq=4)] == [
        False, True, True, True, False, False,
    ]  # fmt: skip
    assert not is_in(21)


def test_an_event_lies_in_every_span_of_its_person_around_it() -> None:
    spans = [Span(0, 0, 10), Span(0, 4, 6), Span(0, 5, 10), Span(0, 6, 10), Span(1, 0, 10)]
    assert marked(spans, [Seen(0, 5)]) == [[0, 1, 2]]
    assert marked(spans, [Seen(1, 5)]) == [[4]]


def test_kinds_are_told_apart_beyond_the_first_eight() -> None:
    spans = [Span(0, 0, 10), Span(1, 0, 10)]
    events = [Seen(0, 1, kind=0), Seen(0, 2, kind=7), Seen(1, 1, kind=8), Seen(0, 3, kind=8), Seen(1, 2, kind=16)]
    found = marked(spans, events, kinds=17)
    assert {kind: numbers for kind, numbers in enumerate(found) if numbers} == {0: [0], 7: [0], 8: [0, 1], 16: [1]}


def test_a_kind_more_than_eight_needs_another_byte() -> None:
    assert [no_presence(3, kinds).shape for kinds in (0, 1, 8, 9, 16, 17)] == [
        (3, 0), (3, 1), (3, 1), (3, 2), (3, 2), (3, 3),
    ]  # fmt: skip


def test_events_of_no_kind_and_of_other_persons_are_passed_over() -> None:
    spans = [Span(5, 0, 10), Span(6, 0, 10)]
    events = [Seen(4, 1), Seen(7, 1), Seen(6, 1, kind=-1), Seen(-5, 1)]
    assert marked(spans, events, persons=(5, 7), kinds=8) == [[]] * 8
    assert marked(spans, [*events, Seen(6, 1), Seen(5, 1)], persons=(5, 7)) == [[0, 1]]


def test_when_stopped_it_ends() -> None:
    assert marked([Span(0, 0, 10)], [Seen(0, 5)], stop=True) == [[]]
