"""Keeps a storefront's events in order of person and time, and picks from them what a report asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from app.match import timelines as match
from app.match.actors import person_ids
from app.match.picking import Asked, Picked, Source, pick
from app.match.rules import Int64s
from app.match.timelines import Timelines, changed_visitors, events_of, places_of, timelines_of
from app.mirror.scan import TIME_MAX_US, Links, Rows, Scan, Wanted

BYTES_PER_EVENT = 20  # of timelines; a person's own take as much again, of eight events or so
# What came since they were made is put in order for each report anew, together with all that its persons did before.
# Beyond a 32nd of all, or so many rows, everything is: a second for 8 million events.
NEW_SHARE, NEW_ROWS = 32, 50_000

NO_LINKS = Links(*(np.zeros(0, np.int64) for _ in range(3)))
NO_PERSON = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Kept:
    """The timelines of the first row_count rows, with persons as the links then made them."""

    timelines: Timelines
    row_count: int
    links: Links

    @property
    def size_bytes(self) -> int:
        return self.timelines.size_bytes + sum(column.nbytes for column in _columns(self.links))


class Look(NamedTuple):
    """All events that a look sees: those of `kept`, but for the persons at the places in left_out, and of `recent`."""

    rows: Rows
    kept: Timelines
    left_out: Int64s
    recent: Timelines


def look_at(scan: Scan) -> Look | None:
    """None when so many events are not held in memory."""
    rows = scan.rows(beside_bytes=BYTES_PER_EVENT)
    if rows is None:
        return None
    links = scan.links()
    kept = scan.held("timelines", _nothing(), partial(_up_to_date, rows=rows, links=links))
    persons, row_numbers = _touched(kept, rows, links)
    places = places_of(kept.timelines, persons)
    before = events_of(kept.timelines, places)
    recent = _made(rows, np.concatenate([before[before < len(rows.name_id)], row_numbers]), links)
    return Look(rows, kept.timelines, places, recent)


def pick_wanted(
    scan: Scan,
    wanted: Sequence[Wanted],
    end_us: int,
    *,
    every_event_from_us: int | None = None,
    include_bots: bool = False,
) -> tuple[Picked, Rows] | None:
    """As `Scan.matches`; None when that has to be asked."""
    by_name = scan.by_name(wanted)
    look = look_at(scan) if by_name else None
    if by_name is None or look is None:
        return None
    every_from_us = TIME_MAX_US if every_event_from_us is None else every_event_from_us
    asked = Asked(*by_name, every_from_us, min(end_us, TIME_MAX_US), len(look.rows.name_id), include_bots)
    picked = pick([Source(look.kept, look.left_out), Source(look.recent, NO_PERSON)], asked)
    scan.events_read += len(picked.mask)
    return picked, look.rows


def first_touches(scan: Scan, persons: Int64s, end_us: int, *, include_bots: bool) -> Int64s | None:
    """Per person the row_number of the first event ever, of any name, before end_us; None when it has to be asked."""
    look = look_at(scan)
    if look is None:
        return None
    find = partial(
        match.first_rows, persons=persons, end_us=end_us, row_count=len(look.rows.name_id), include_bots=include_bots
    )
    recent, kept = find(look.recent), find(look.kept)
    kept[np.isin(persons, look.kept.person[look.left_out])] = -1
    return np.where(recent >= 0, recent, kept)


def _nothing() -> Kept:
    none = np.zeros(0, np.int64)
    few = np.zeros(0, np.int32)
    return Kept(Timelines(np.zeros(1, np.int64), none, few, few, none), 0, NO_LINKS)


def _up_to_date(held: Kept, *, rows: Rows, links: Links) -> Kept:
    count = len(rows.name_id)
    new_max = max(NEW_ROWS, held.row_count // NEW_SHARE)
    if count - held.row_count + len(_changed(held.links, links)) <= new_max and held.row_count:
        return held
    return Kept(_made(rows, np.flatnonzero(rows.name_id >= 0), links), count, links)


def _touched(kept: Kept, rows: Rows, links: Links) -> tuple[Int64s, Int64s]:
    """The persons who have or had events that `kept` does not hold as they are now; and the rows that came since."""
    count = len(rows.name_id)
    new = np.arange(min(kept.row_count, count), count)
    new = new[rows.name_id[new] >= 0]
    changed = _changed(kept.links, links)
    linked = (
        [-each.customer_id[np.isin(each.visitor_id, changed)] for each in (kept.links, links)] if len(changed) else []
    )
    return np.unique(np.concatenate([_persons(rows, new, links), changed, *linked])), new


def _changed(before: Links, now: Links) -> Int64s:
    columns, others = _columns(before), _columns(now)
    if all(map(np.array_equal, columns, others)):
        return NO_PERSON
    return changed_visitors(*columns, *others)


def _columns(links: Links) -> tuple[Int64s, Int64s, Int64s]:
    return links.visitor_id, links.customer_id, links.linked_at_us


def _made(rows: Rows, row_numbers: Int64s, links: Links) -> Timelines:
    chosen = Rows._make(column[row_numbers] for column in rows)
    person = person_ids(chosen.visitor_id, chosen.customer_id, chosen.occurred_at_us, *_columns(links))
    columns = (chosen.name_id, chosen.occurred_at_us, chosen.seq, chosen.stored, chosen.is_bot)
    return timelines_of(person, match.Rows(row_numbers, *columns))


def _persons(rows: Rows, row_numbers: Int64s, links: Links) -> Int64s:
    columns = (rows.visitor_id[row_numbers], rows.customer_id[row_numbers], rows.occurred_at_us[row_numbers])
    return person_ids(*columns, *_columns(links))
