"""What people did next after they had stopped: the first event of any name, and the first page view."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.match.actors import group_by_actor
from app.match.rules import Int32s, Int64s, Sequences, UInt64s
from app.mirror.columns import Subject
from app.mirror.scan import Links, Matches, Scan
from app.reports.funnel.matching import Attempts, persons_of, step_mask
from app.reports.funnel.reasons import last_positions
from app.reports.funnel.targets import targets_of

EVENT, PAGE_PATH = Subject("event", is_dimension=True), Subject("page_path", is_dimension=True)
PAGE_VIEW = "page_viewed"
TOP_MAX = 20
NOTHING, NOT_SET, OTHER = "(nothing)", "(not set)", "(other)"

Bools = npt.NDArray[np.bool_]


class Next(NamedTuple):
    """Per attempt the row_number of the first event, and of the first page view; -1: none within the window."""

    event: Int64s
    page_view: Int64s


class _Rows(NamedTuple):
    """Events, one element each. mask: the steps they match, which decides ties as in the funnel."""

    person: Int64s
    occurred_at_us: Int64s
    seq: Int32s
    stored: Int64s
    row_number: Int64s
    mask: UInt64s

    def only(self, chosen: Bools | Int64s) -> "_Rows":
        columns: Iterator[Any] = (column[chosen] for column in self)
        return _Rows(*columns)

    def and_also(self, others: "_Rows") -> "_Rows":
        pairs: Iterator[Any] = zip(self, others, strict=True)
        columns: Iterator[Any] = (np.concatenate(pair) for pair in pairs)
        return _Rows(*columns)


def find_next(stopped: Attempts, scan: Scan, *, include_bots: bool) -> Next:
    """Of the person behind each attempt, after the chain's last event and as long as the attempt's window is open.

    All events are looked at, some at a time; the best found so far compete with those that come.
    """
    definition, event = stopped.definition, scan.column(EVENT)
    can_match = step_mask(stopped.events.mask, targets_of(definition))  # what the order of ties goes by
    lasts = _rows_of(stopped, can_match)
    closes_us = stopped.times_us(stopped.positions(0)) + definition.conversion_window_us
    found = Next(np.full(len(closes_us), -1, np.int64), np.full(len(closes_us), -1, np.int64))
    if not len(closes_us):
        return found
    page_view = next((code for code, name in enumerate(event.texts) if name == PAGE_VIEW), len(event.texts))
    mask_by_row = np.zeros(len(event.codes), np.uint64)
    mask_by_row[stopped.events.row_number] = can_match
    is_asked = _Asked(lasts.person)
    known, links = lasts, scan.links()
    until_us = int(closes_us.max()) + 1
    for events in scan.every_event(until_us, include_bots=include_bots, as_of_us=definition.as_of_us):
        rows = _read(events, links, mask_by_row)
        is_known = np.zeros(len(event.codes), np.bool_)
        is_known[known.row_number] = True
        is_new = is_asked.persons(rows.person) & ~is_known[rows.row_number]
        rows = known.and_also(rows.only(is_new & (rows.occurred_at_us >= lasts.occurred_at_us.min())))
        sequences = group_by_actor(rows.person, rows.occurred_at_us, rows.seq, rows.stored, rows.mask)
        is_page_view = event.codes[rows.row_number] == page_view
        best = [
            _first_after(rows, sequences, closes_us, wanted) for wanted in (np.ones_like(is_page_view), is_page_view)
        ]
        for column, places in zip(found, best, strict=True):
            column[:] = np.where(places < 0, -1, rows.row_number[places])
        others = np.unique(np.concatenate(best))
        known = lasts.and_also(rows.only(others[others >= len(closes_us)]))
    return found


class _Asked:
    """Whether a person is one of some."""

    def __init__(self, persons: Int64s) -> None:
        self._lowest = persons.min()
        self._is_asked = np.zeros(persons.max() - self._lowest + 2, np.bool_)  # the last stands for all beyond
        self._is_asked[persons - self._lowest] = True

    def persons(self, person: Int64s) -> Bools:
        number = person - self._lowest
        beyond = len(self._is_asked) - 1
        found: Bools = self._is_asked[np.where((number < 0) | (number > beyond), beyond, number)]
        return found


def _rows_of(stopped: Attempts, can_match: UInt64s) -> _Rows:
    """The last event of each attempt's chain."""
    positions = last_positions(stopped)
    row, events = stopped.rows(positions), stopped.events
    return _Rows(
        stopped.person[row],
        events.occurred_at_us[row],
        events.seq[row],
        events.stored[row],
        events.row_number[row],
        can_match[row],
    )


def _read(events: Matches, links: Links, mask_by_row: UInt64s) -> _Rows:
    person = persons_of(events, links)
    mask = mask_by_row[events.row_number]
    return _Rows(person, events.occurred_at_us, events.seq, events.stored, events.row_number, mask)


def _first_after(rows: _Rows, sequences: Sequences, closes_us: Int64s, wanted: Bools) -> Int64s:
    """For each of the first len(closes_us) rows, the place of the same person's first wanted one after it; or -1."""
    position_of = np.empty(len(sequences.row), np.int64)
    position_of[sequences.row] = np.arange(len(sequences.row))
    candidates = np.append(sequences.row[wanted[sequences.row]], 0)  # the last one stands for none
    positions = position_of[candidates[:-1]]
    following = np.searchsorted(positions, position_of[: len(closes_us)], side="right")
    places = candidates[following]
    is_found = following < len(positions)
    is_found &= rows.person[places] == rows.person[: len(closes_us)]
    is_found &= rows.occurred_at_us[places] <= closes_us
    return np.where(is_found, places, -1)


def top_counts(row_numbers: Int64s, subject: Subject, scan: Scan) -> list[tuple[str, int]]:
    """How many events have each value, the largest first, equals by value; those beyond TOP_MAX together, then those
    without the value, then the rows -1, which stand for nothing at all."""
    column = scan.column(subject)
    codes = column.codes[row_numbers[row_numbers >= 0]]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.texts))
    named = [(column.texts[code], int(counts[code])) for code in np.flatnonzero(counts).tolist()]
    named.sort(key=lambda pair: (-pair[1], pair[0]))
    rest = {
        OTHER: sum(count for _, count in named[TOP_MAX:]),
        NOT_SET: int((codes < 0).sum()),
        NOTHING: int((row_numbers < 0).sum()),
    }
    return named[:TOP_MAX] + [(name, count) for name, count in rest.items() if count]
