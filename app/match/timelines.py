"""All events of a storefront by person and time, so that a pass over some of them need neither group nor sort."""

from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.actors import group_by_actor
from app.match.rules import Bools, Int32s, Int64s

# What an event's mark says beside its name. One number, as it is all that a pass reads of the events it does not want.
IS_FIRST, IS_BOT, MARKS_PER_NAME = 1, 2, 4


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
    and mark, which is name_id * 4, plus IS_BOT, plus IS_FIRST for the first event of its person.
    """

    offsets: Int64s
    person: Int64s
    row_number: Int32s
    mark: Int32s
    occurred_at_us: Int64s

    @property
    def size_bytes(self) -> int:
        return sum(int(column.nbytes) for column in self)


def timelines_of(person: Int64s, rows: Rows) -> Timelines:
    """person: per event, see `person_ids`."""
    grouped = group_by_actor(person, rows.occurred_at_us, rows.seq, rows.stored, np.zeros(len(person), np.uint64))
    has_any = np.flatnonzero(np.diff(grouped.offsets))
    row = grouped.row
    starts = grouped.offsets[has_any]
    mark = rows.name_id[row] * MARKS_PER_NAME + rows.is_bot[row] * IS_BOT
    mark[starts] += IS_FIRST
    return Timelines(
        offsets=np.append(starts, len(row)),
        person=person[row[starts]],
        row_number=rows.row_number[row].astype(np.int32),
        mark=mark.astype(np.int32),
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
            if timelines.row_number[i] < row_count and (include_bots or not timelines.mark[i] & IS_BOT):
                found[each] = timelines.row_number[i]
                break


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
