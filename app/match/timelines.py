"""All events of a storefront by person and time, so that a pass over some of them need neither group nor sort."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.actors import group_by_actor, order_some
from app.match.rules import Bools, Int32s, Int64s, Sequences, UInt64s
from app.parallel import at_once, parts_of, split_evenly


class Rows(NamedTuple):
    """Events; one element each in every column. row_number: what they are called by. name_id: never negative."""

    row_number: Int64s
    name_id: Int32s
    occurred_at_us: Int64s
    seq: Int32s
    stored: Int64s
    is_bot: Bools


class Timelines(NamedTuple):
    """Each person's events in order of time, seq and storing.

    offsets: where those of each person begin, and the end. person: per person its id, ascending. By event: row_number,
    and marked_name, which is the name_id, or -1 - name_id for a bot's event.
    """

    offsets: Int64s
    person: Int64s
    row_number: Int32s
    marked_name: Int32s
    occurred_at_us: Int64s

    @property
    def size_bytes(self) -> int:
        return sum(int(column.nbytes) for column in self)


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
    """The wanted events of those persons who have any. offsets, person: as in Timelines; the rest by event."""

    offsets: Int64s
    person: Int64s
    row_number: Int64s
    occurred_at_us: Int64s
    mask: UInt64s


def timelines_of(person: Int64s, rows: Rows) -> Timelines:
    """person: per event, see `person_ids`."""
    grouped = group_by_actor(person, rows.occurred_at_us, rows.seq, rows.stored, np.zeros(len(person), np.uint64))
    has_any = np.flatnonzero(np.diff(grouped.offsets))
    row = grouped.row
    name_id, is_bot = rows.name_id[row], rows.is_bot[row]
    return Timelines(
        offsets=np.append(grouped.offsets[has_any], len(row)),
        person=person[row[grouped.offsets[has_any]]],
        row_number=rows.row_number[row].astype(np.int32),
        marked_name=np.where(is_bot, -1 - name_id, name_id),
        occurred_at_us=grouped.occurred_at_us,
    )


def events_of(timelines: Timelines, places: Int64s) -> Int64s:
    """The row_numbers of the persons at these places."""
    starts, lengths = timelines.offsets[places], timelines.offsets[places + 1] - timelines.offsets[places]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    row_numbers: Int32s = timelines.row_number[np.repeat(starts, lengths) + within]
    return row_numbers.astype(np.int64)


def places_of(timelines: Timelines, persons: Int64s) -> Int64s:
    """Where those of the persons are who are there at all."""
    places, known = _look_up(timelines, persons)
    return places[known]


def pick(timelines: Timelines, asked: Asked, left_out: Int64s) -> Picked:
    """left_out: places of persons of whom nothing is wanted, ascending."""
    is_left_out = np.zeros(len(timelines.person), np.bool_)
    is_left_out[left_out] = True
    pieces = at_once([partial(_pick_part, *part, timelines, asked, is_left_out) for part in _shares(timelines.offsets)])
    return join(pieces)


def join(pieces: list[Picked]) -> Picked:
    if len(pieces) == 1:
        return pieces[0]
    ends = np.cumsum([0, *(len(piece.mask) for piece in pieces)]).tolist()
    offsets = [piece.offsets[:-1] + start for piece, start in zip(pieces, ends, strict=False)]
    whole = Picked(
        np.append(np.concatenate(offsets), ends[-1]),
        np.concatenate([piece.person for piece in pieces]),
        np.empty(ends[-1], np.int64),
        np.empty(ends[-1], np.int64),
        np.empty(ends[-1], np.uint64),
    )
    at_once([partial(_copy, piece, start, whole) for piece, start in zip(pieces, ends, strict=False)])
    return whole


def in_order(picked: Picked, step_mask: UInt64s, seq: Int32s, stored: Int64s) -> Sequences:
    """As actors' events, ties in time and seq decided by what they match; `row` is the place in `picked`.

    step_mask: by place. seq, stored: by row_number.
    """
    count = len(step_mask)
    sequences = Sequences(picked.offsets, np.arange(count), picked.occurred_at_us, step_mask)
    # Written where it will be read: what is left as it is takes no memory.
    tied_seq, tied_stored = np.empty(count, np.int32), np.empty(count, np.int64)
    is_tied = np.zeros(len(picked.person), np.bool_)
    at_once(
        [
            partial(_find_ties, *part, sequences, picked.row_number, seq, stored, tied_seq, tied_stored, is_tied)
            for part in _shares(picked.offsets)
        ]
    )
    if is_tied.any():
        sequences = sequences._replace(mask=step_mask.copy())
        order_some(np.flatnonzero(is_tied), sequences, tied_seq, tied_stored, step_mask)
    return sequences


def first_rows(timelines: Timelines, persons: Int64s, end_us: int, row_count: int, *, include_bots: bool) -> Int64s:
    """Per person the row_number of the first event before end_us; -1 for none."""
    found = np.full(len(persons), -1, np.int64)
    places, known = _look_up(timelines, persons)
    _find_firsts(np.flatnonzero(known), places, timelines, end_us, row_count, include_bots, found)
    return found


def _look_up(timelines: Timelines, persons: Int64s) -> tuple[Int64s, Bools]:
    """Where each of the persons would be, and who is there."""
    places = np.searchsorted(timelines.person, persons)
    known = places < len(timelines.person)
    known[known] = timelines.person[places[known]] == persons[known]
    return places, known


@njit(cache=True, nogil=True)
def _find_firsts(
    known: Int64s,
    places: Int64s,
    timelines: Timelines,
    end_us: int,
    row_count: int,
    include_bots: bool,
    found: Int64s,
) -> None:
    for each in known:
        place = places[each]
        for i in range(timelines.offsets[place], timelines.offsets[place + 1]):
            if timelines.occurred_at_us[i] >= end_us:
                break
            if timelines.row_number[i] < row_count and (include_bots or timelines.marked_name[i] >= 0):
                found[each] = timelines.row_number[i]
                break


def _shares(offsets: Int64s) -> list[tuple[int, int]]:
    """Ranges of persons with about as many events each."""
    parts = split_evenly(int(offsets[-1]), parts_of(int(offsets[-1])))
    bounds = np.searchsorted(offsets, [first for first, _ in parts[1:]])
    return list(pairwise([0, *bounds.tolist(), len(offsets) - 1]))


def _pick_part(first: int, last: int, timelines: Timelines, asked: Asked, is_left_out: Bools) -> Picked:
    # As much room as there can be need of; what is not written to takes no memory.
    count = int(timelines.offsets[last] - timelines.offsets[first])
    room = Picked(
        np.zeros(last - first + 1, np.int64),
        np.empty(last - first, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.uint64),
    )
    persons, events = _pick(first, last, timelines, asked, is_left_out, room)
    return Picked(
        room.offsets[: persons + 1],
        room.person[:persons],
        room.row_number[:events],
        room.occurred_at_us[:events],
        room.mask[:events],
    )


@njit(cache=True, nogil=True)
def _pick(
    first: int, last: int, timelines: Timelines, asked: Asked, is_left_out: Bools, room: Picked
) -> tuple[int, int]:
    """Of the persons [first, last). Returns how many have wanted events, and how many those are."""
    persons, events = 0, 0
    offsets, names, times, row_numbers = (
        timelines.offsets,
        timelines.marked_name,
        timelines.occurred_at_us,
        timelines.row_number,
    )
    mask_of_name, from_us, to_us = asked.mask_of_name, asked.from_us, asked.to_us
    every_from_us, end_us, row_count, include_bots = (
        asked.every_from_us,
        asked.end_us,
        asked.row_count,
        asked.include_bots,
    )
    out_rows, out_times, out_masks = room.row_number, room.occurred_at_us, room.mask
    wants_every = every_from_us < end_us
    for person in range(first, last):
        if is_left_out[person]:
            continue
        before = events
        for place in range(offsets[person], offsets[person + 1]):
            name = names[place]
            if name < 0:
                if not include_bots:
                    continue
                name = -1 - name
            mask = mask_of_name[name]
            # Most events are of other names, so nothing else of them is read.
            if mask == 0 and not wants_every:
                continue
            at = times[place]
            if at >= end_us or not ((mask != 0 and from_us[name] <= at < to_us[name]) or at >= every_from_us):
                continue
            if row_numbers[place] >= row_count:
                continue
            out_rows[events], out_times[events], out_masks[events] = row_numbers[place], at, mask
            events += 1
        if events > before:
            room.person[persons] = timelines.person[person]
            persons += 1
            room.offsets[persons] = events
    return persons, events


def _copy(piece: Picked, start: int, whole: Picked) -> None:
    for name in ("row_number", "occurred_at_us", "mask"):
        column = getattr(piece, name)
        getattr(whole, name)[start : start + len(column)] = column


@njit(cache=True, nogil=True)
def _find_ties(
    first: int,
    last: int,
    sequences: Sequences,
    row_number: Int64s,
    seq: Int32s,
    stored: Int64s,
    tied_seq: Int32s,
    tied_stored: Int64s,
    is_tied: Bools,
) -> None:
    """Of the actors [first, last): who has two events at the same time, and what else decides between those."""
    times = sequences.occurred_at_us
    for actor in range(first, last):
        for place in range(sequences.offsets[actor] + 1, sequences.offsets[actor + 1]):
            if times[place] == times[place - 1]:
                is_tied[actor] = True
                for each in (place - 1, place):
                    tied_seq[each] = seq[row_number[each]]
                    tied_stored[each] = stored[row_number[each]]


@njit(cache=True, nogil=True)
def changed_visitors(
    visitor: Int64s, customer: Int64s, at_us: Int64s, visitor2: Int64s, customer2: Int64s, at_us2: Int64s
) -> Int64s:
    """Whose links differ between two states, each sorted by visitor."""
    found = np.empty(len(visitor) + len(visitor2), np.int64)
    count, i, j = 0, 0, 0
    while i < len(visitor) or j < len(visitor2):
        if j == len(visitor2) or (i < len(visitor) and visitor[i] < visitor2[j]):
            each = visitor[i]
            i += 1
        elif i == len(visitor) or visitor2[j] < visitor[i]:
            each = visitor2[j]
            j += 1
        else:
            each = visitor[i]
            same = customer[i] == customer2[j] and at_us[i] == at_us2[j]
            i, j = i + 1, j + 1
            if same:
                continue
        if not count or found[count - 1] != each:
            found[count] = each
            count += 1
    return found[:count]
