"""Whose event is it: puts the events of each actor together and in order."""

from functools import partial

import numpy as np
from numba import njit

from app.match.rules import Int32s, Int64s, Sequences, UInt64s
from app.parallel import at_once, parts_of, split_evenly

# Counting by actor needs an array as long as the range of actor ids; a range wider than this many times the number
# of events is sorted instead.
SPARSE_FACTOR = 16


def person_ids(
    visitor_id: Int64s,
    customer_id: Int64s,
    occurred_at_us: Int64s,
    link_visitor: Int64s,
    link_customer: Int64s,
    linked_at_us: Int64s,
) -> Int64s:
    """The person behind each event: a customer as the negative of its id, or an unlinked visitor as its id.

    An event that names a customer is that customer's. Otherwise a visitor is the customer it was last linked to at
    the event's time, and before its first link the one of that first link, so that a login works back in time.
    Links are sorted by visitor, then time; one customer may have several of a visitor's, as when a device goes to and
    fro between two.
    """
    first_link = np.full(int(visitor_id.max(initial=0)) + 1, -1, np.int32)
    firsts = np.flatnonzero(np.diff(link_visitor, prepend=-1))
    firsts = firsts[link_visitor[firsts] < len(first_link)]
    first_link[link_visitor[firsts]] = firsts
    return _resolve(visitor_id, customer_id, occurred_at_us, first_link, link_visitor, link_customer, linked_at_us)


@njit(cache=True, nogil=True)
def _resolve(
    visitor_id: Int64s,
    customer_id: Int64s,
    occurred_at_us: Int64s,
    first_link: Int32s,
    link_visitor: Int64s,
    link_customer: Int64s,
    linked_at_us: Int64s,
) -> Int64s:
    persons = np.empty(len(visitor_id), np.int64)
    for i in range(len(visitor_id)):
        visitor, link = visitor_id[i], first_link[visitor_id[i]]
        if customer_id[i] != 0:
            persons[i] = -customer_id[i]
        elif link == -1:
            persons[i] = visitor
        else:
            persons[i] = -link_customer[_link_at(link, occurred_at_us[i], link_visitor, linked_at_us)]
    return persons


@njit(cache=True, nogil=True)
def _link_at(first: int, at_us: int, link_visitor: Int64s, linked_at_us: Int64s) -> int:
    """The last of the visitor's links by at_us, `first` if none is. In steps that double: most visitors have one link,
    but a device that everybody shares may have a million."""
    visitor, link, step = link_visitor[first], first, 1
    while step:
        following = link + step
        if following < len(link_visitor) and link_visitor[following] == visitor and linked_at_us[following] <= at_us:
            link = following
            step *= 2
        else:
            step //= 2
    return link


def group_by_actor(actor: Int64s, occurred_at_us: Int64s, seq: Int32s, stored: Int64s, mask: UInt64s) -> Sequences:
    """Group events by actor and put each actor's in the total order of semantics, section 1.

    mask: per event the steps it can match, as bits; decides ties of time and seq.
    """
    if not len(actor):
        return Sequences(np.zeros(1, np.int64), np.zeros(0, np.int64), occurred_at_us, mask)
    lowest, highest = int(actor.min()), int(actor.max())
    if highest - lowest > SPARSE_FACTOR * len(actor) + 1024:
        _, actor = np.unique(actor, return_inverse=True)
        lowest, highest = 0, int(actor.max())
    actor_count = highest - lowest + 1
    # 32 bits, as they are looked up at random: half the memory is twice the speed. There are never 2^31 rows in memory.
    offsets = np.zeros(actor_count + 1, np.int32)
    parts = split_evenly(actor_count, parts_of(len(actor)))
    at_once([partial(_count, actor, lowest, first, last, offsets) for first, last in parts])
    for first, last in parts:
        offsets[first + 1 : last + 1] += offsets[first]
    grouped = Sequences(
        offsets.astype(np.int64),
        np.empty(len(actor), np.int64),
        np.empty(len(actor), np.int64),
        np.empty(len(actor), np.uint64),
    )
    columns = (actor, occurred_at_us, seq, stored, mask)
    at_once([partial(_place, first, last, lowest, offsets, *columns, grouped) for first, last in parts])
    return grouped


@njit(cache=True, nogil=True)
def _count(actor: Int64s, lowest: int, first: int, last: int, offsets: Int32s) -> None:
    """Where the rows of each actor in [first, last) end, counted from where those of `first` begin."""
    for i in range(len(actor)):
        number = actor[i] - lowest
        if first <= number < last:
            offsets[number + 1] += 1
    for number in range(first + 1, last):
        offsets[number + 1] += offsets[number]


@njit(cache=True, nogil=True)
def _place(
    first: int,
    last: int,
    lowest: int,
    offsets: Int32s,
    actor: Int64s,
    occurred_at_us: Int64s,
    seq: Int32s,
    stored: Int64s,
    mask: UInt64s,
    grouped: Sequences,
) -> None:
    """Counting sort: the rows of the actors in [first, last) to where they belong, then in order."""
    base = offsets[first]
    rows = np.empty(offsets[last] - base, np.int32)
    following = offsets[first:last] - base
    for i in range(len(actor)):
        number = actor[i] - lowest
        if first <= number < last:
            place = following[number - first]
            following[number - first] = place + 1
            rows[place] = i
    for i in range(len(rows)):
        grouped.row[base + i] = rows[i]
        grouped.occurred_at_us[base + i] = occurred_at_us[rows[i]]
    _order(grouped.offsets[first : last + 1], grouped.row, grouped.occurred_at_us, seq, stored, mask)
    for place in range(grouped.offsets[first], grouped.offsets[last]):
        grouped.mask[place] = mask[grouped.row[place]]


@njit(cache=True, nogil=True)
def order_some(actors: Int64s, sequences: Sequences, seq: Int32s, stored: Int64s, step_mask: UInt64s) -> None:
    """Put the events of some actors in order, in place. seq, stored, step_mask: by `row`, for these actors at least."""
    for i in range(len(actors)):
        bounds = sequences.offsets[actors[i] : actors[i] + 2]
        _order(bounds, sequences.row, sequences.occurred_at_us, seq, stored, step_mask)
        for place in range(bounds[0], bounds[1]):
            sequences.mask[place] = step_mask[sequences.row[place]]


@njit(cache=True, nogil=True)
def _order(offsets: Int64s, rows: Int64s, times: Int64s, seq: Int32s, stored: Int64s, step_mask: UInt64s) -> None:
    """Sort each actor's rows in place, and `times`, which holds their times, with them.

    Merge sort, bottom up; skipped where an actor's rows are in order already, as they mostly are.
    """
    longest = np.diff(offsets).max() if len(offsets) > 1 else 0
    spare_rows, spare_times = np.empty(longest, np.int64), np.empty(longest, np.int64)
    for actor in range(len(offsets) - 1):
        start, end = offsets[actor], offsets[actor + 1]
        in_order = True
        for i in range(start + 1, end):
            if times[i] <= times[i - 1] and _comes_first(i, i - 1, rows, times, seq, stored, step_mask):
                in_order = False
                break
        if in_order:
            continue
        width = 1
        while width < end - start:
            for left in range(start, end, 2 * width):
                middle = min(left + width, end)
                right = min(left + 2 * width, end)
                i, j = left, middle
                for place in range(left, right):
                    if i < middle and (j >= right or not _comes_first(j, i, rows, times, seq, stored, step_mask)):
                        spare_rows[place - start], spare_times[place - start] = rows[i], times[i]
                        i += 1
                    else:
                        spare_rows[place - start], spare_times[place - start] = rows[j], times[j]
                        j += 1
            rows[start:end] = spare_rows[: end - start]
            times[start:end] = spare_times[: end - start]
            width *= 2


@njit(cache=True, nogil=True)
def _comes_first(i: int, j: int, rows: Int64s, times: Int64s, seq: Int32s, stored: Int64s, step_mask: UInt64s) -> bool:
    """Whether rows[i] comes before rows[j]: time, seq, lowest step, highest step (none last), order of storing."""
    if times[i] != times[j]:
        return bool(times[i] < times[j])
    a, b = rows[i], rows[j]
    if seq[a] != seq[b]:
        return bool(seq[a] < seq[b])
    steps_a, steps_b = step_mask[a], step_mask[b]
    if steps_a != steps_b:
        if steps_a == 0 or steps_b == 0:
            return bool(steps_b == 0)
        lowest_a, lowest_b = steps_a & (~steps_a + np.uint64(1)), steps_b & (~steps_b + np.uint64(1))
        if lowest_a != lowest_b:
            return bool(lowest_a < lowest_b)
        if min(steps_a, steps_b) < steps_a ^ steps_b:  # so it is exactly if their highest steps differ
            return bool(steps_a < steps_b)
    return bool(stored[a] < stored[b])
