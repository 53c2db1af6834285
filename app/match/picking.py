"""Picks from timelines the events that a report wants, person by person and in order."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.actors import order_some
from app.match.rooms import add_by_part, closed_up
from app.match.rules import Bools, Int32s, Int64s, Sequences, UInt64s
from app.match.timelines import IS_BOT, IS_FIRST, MARKS_PER_NAME, Timelines
from app.parallel import at_once, parts_of, split_evenly


class Asked(NamedTuple):
    """Which events are wanted. By name_id: the mask, and the times [from_us, to_us) at which it is wanted.

    Besides, events of any name from every_from_us on, with what mask their name has; none at end_us or later, nor of
    row_number row_count or more.
    """

    mask_of_name: UInt64s
    from_us: Int64s
    to_us: Int64s
    every_from_us: int
    end_us: int
    row_count: int
    include_bots: bool


class Picked(NamedTuple):
    """The wanted events of those persons who have any.

    offsets, person: as in Timelines. is_tied: by person, whether two of the events are at the same time. The rest is by
    event.
    """

    offsets: Int64s
    person: Int64s
    is_tied: Bools
    row_number: Int64s
    occurred_at_us: Int64s
    mask: UInt64s


class Source(NamedTuple):
    """left_out: places of persons of whom nothing is wanted, ascending."""

    timelines: Timelines
    left_out: Int64s


class _Wants(NamedTuple):
    """`Asked`, by an event's mark. is_wanted: whether at any time."""

    is_wanted: Bools
    mask: UInt64s
    from_us: Int64s
    to_us: Int64s
    every_from_us: int
    end_us: int
    row_count: int


class _Stretches(NamedTuple):
    """Events that lie together: of each stretch where it begins and ends, and the place of its first person."""

    start: Int64s
    end: Int64s
    person: Int64s


class _Candidates(NamedTuple):
    """Events wanted at some time: where in `timelines` they and their persons are."""

    timelines: Timelines
    event_place: Int32s
    person_place: Int32s


def pick(sources: Sequence[Source], asked: Asked) -> Picked:
    """From sources that have no person in common but those left out."""
    wants = _by_mark(asked)
    found = at_once(
        [
            partial(_candidates, timelines, _stretches(timelines.offsets, left_out, *share), wants.is_wanted)
            for timelines, left_out in sources
            for share in _shares(timelines.offsets)
        ]
    )
    bounds = np.cumsum([0, *(len(each.event_place) for each in found)]).tolist()
    room = _room(bounds[-1])
    rooms = [Picked._make(column[start:end] for column in room) for start, end in pairwise(bounds)]
    counts = at_once([partial(_take, each, wants, part) for each, part in zip(found, rooms, strict=True)])
    person_ends, event_ends = np.cumsum([(0, 0), *counts], axis=0).T.tolist()
    closed_up(room.offsets, bounds, person_ends)
    add_by_part(room.offsets, person_ends, event_ends)
    room.offsets[person_ends[-1]] = event_ends[-1]
    return Picked(
        room.offsets[: person_ends[-1] + 1],
        closed_up(room.person, bounds, person_ends),
        closed_up(room.is_tied, bounds, person_ends),
        closed_up(room.row_number, bounds, event_ends),
        closed_up(room.occurred_at_us, bounds, event_ends),
        closed_up(room.mask, bounds, event_ends),
    )


def _by_mark(asked: Asked) -> _Wants:
    per_mark = partial(np.repeat, repeats=MARKS_PER_NAME)
    mask = per_mark(asked.mask_of_name)
    is_wanted = (mask != 0) | (asked.every_from_us < asked.end_us)
    if not asked.include_bots:
        is_wanted &= np.arange(len(mask)) & IS_BOT == 0
    times = (per_mark(asked.from_us), per_mark(asked.to_us), asked.every_from_us, asked.end_us)
    return _Wants(is_wanted, mask, *times, asked.row_count)


def _stretches(offsets: Int64s, left_out: Int64s, first: int, last: int) -> _Stretches:
    """Of the persons [first, last)."""
    gaps = left_out[(left_out >= first) & (left_out < last)]
    person = np.concatenate([[first], gaps + 1])
    return _Stretches(offsets[person], offsets[np.append(gaps, last)], person)


def _candidates(timelines: Timelines, stretches: _Stretches, is_wanted: Bools) -> _Candidates:
    # As much room as there can be need of; what is not written to takes no memory.
    count = int((stretches.end - stretches.start).sum())
    event_place, person_place = np.empty(count, np.int32), np.empty(count, np.int32)
    count = _find(stretches, timelines.mark, is_wanted, event_place, person_place)
    return _Candidates(timelines, event_place[:count], person_place[:count])


@njit(cache=True, nogil=True)
def _find(stretches: _Stretches, marks: Int32s, is_wanted: Bools, event_place: Int32s, person_place: Int32s) -> int:
    """Fills event_place and person_place; returns how many there are."""
    count = 0
    for stretch in range(len(stretches.person)):
        person = stretches.person[stretch] - 1
        for place in range(stretches.start[stretch], stretches.end[stretch]):
            mark = marks[place]
            person += mark & IS_FIRST
            # Written whether wanted or not, which nobody can foresee: to decide takes four times as long.
            event_place[count], person_place[count] = place, person
            count += is_wanted[mark]
    return count


def _room(count: int) -> Picked:
    return Picked(
        offsets=np.empty(count + 1, np.int64),
        person=np.empty(count, np.int64),
        is_tied=np.empty(count, np.bool_),
        row_number=np.empty(count, np.int64),
        occurred_at_us=np.empty(count, np.int64),
        mask=np.empty(count, np.uint64),
    )


@njit(cache=True, nogil=True)
def _take(found: _Candidates, wants: _Wants, room: Picked) -> tuple[int, int]:
    """Of the candidates what is wanted at its time. Returns how many persons have any, and how many those are.

    room: for as many as there are candidates, in every column; offsets without the last one.
    """
    persons, events, last_person, last_at = 0, 0, -1, 0
    timelines = found.timelines
    for i in range(len(found.event_place)):
        place, person = found.event_place[i], found.person_place[i]
        mark, at, row_number = timelines.mark[place], timelines.occurred_at_us[place], timelines.row_number[place]
        mask = wants.mask[mark]
        is_in_time = (mask != 0) & (wants.from_us[mark] <= at) & (at < wants.to_us[mark])
        is_kept = (is_in_time | (at >= wants.every_from_us)) & (at < wants.end_us) & (row_number < wants.row_count)
        # As in _find.
        room.row_number[events], room.occurred_at_us[events], room.mask[events] = row_number, at, mask
        room.person[persons], room.offsets[persons] = timelines.person[person], events
        room.is_tied[persons] = False
        if is_kept & (at == last_at) & (person == last_person):
            room.is_tied[persons - 1] = True
        persons += is_kept & (person != last_person)
        events += is_kept
        last_person, last_at = (person, at) if is_kept else (last_person, last_at)
    return persons, events


def in_order(picked: Picked, step_mask: UInt64s, seq: Int32s, stored: Int64s) -> Sequences:
    """As actors' events, ties in time and seq decided by what they match; `row` is the place in `picked`.

    step_mask: by place. seq, stored: by row_number.
    """
    count = len(step_mask)
    sequences = Sequences(picked.offsets, np.arange(count), picked.occurred_at_us, step_mask)
    tied = np.flatnonzero(picked.is_tied)
    if len(tied):
        sequences = sequences._replace(mask=step_mask.copy())
        # Written where it will be read: what is left as it is takes no memory.
        tied_seq, tied_stored = np.empty(count, np.int32), np.empty(count, np.int64)
        _look_up(tied, picked, seq, stored, tied_seq, tied_stored)
        order_some(tied, sequences, tied_seq, tied_stored, step_mask)
    return sequences


@njit(cache=True, nogil=True)
def _look_up(tied: Int64s, picked: Picked, seq: Int32s, stored: Int64s, tied_seq: Int32s, tied_stored: Int64s) -> None:
    """What decides between events of the same time, of these persons' events."""
    for person in tied:
        for place in range(picked.offsets[person], picked.offsets[person + 1]):
            tied_seq[place] = seq[picked.row_number[place]]
            tied_stored[place] = stored[picked.row_number[place]]


def _shares(offsets: Int64s) -> list[tuple[int, int]]:
    """Ranges of persons with about as many events each."""
    parts = split_evenly(int(offsets[-1]), parts_of(int(offsets[-1])))
    bounds = np.searchsorted(offsets, [first for first, _ in parts[1:]])
    return list(pairwise([0, *bounds.tolist(), len(offsets) - 1]))
