"""Follows the events of one actor where steps may come in any order (semantics, section 3, rule 4).

From every event on that may be the earliest of a chain, events are taken in their order as long as another one can be
given a step of its own: a matching of events to steps, made larger by augmenting paths. Taking what can be taken, in
order, leads to every size as early as any choice does (the matched events form a matroid).
"""

import numpy as np
from numba import njit

from app.match.in_order import Followed
from app.match.rules import Int64s, Lanes, Rules, Sequences, UInt64s


@njit(cache=True, nogil=True)
def gather(
    place: int, place_end: int, attempt_end: int, sequences: Sequences, lanes: Lanes, rules: Rules, chain: Int64s
) -> Followed:
    """As `in_order.follow`; `chain` gets the positions of the events in their order.

    An attempt begins with the event at `place`, and uses events before attempt_end.
    """
    times, mask = sequences.occurred_at_us, sequences.mask
    of_step, ends, is_single = _positions_by_step(place, place_end, sequences, lanes, rules.step_count)
    following = np.zeros(rules.step_count, np.int64)
    following[1:] = ends[:-1]
    # Of the events of a step more than one can be needed only where events match several steps, which others then take.
    needed = 1 if is_single else rules.step_count
    found = np.empty(rules.step_count, np.int64)
    depth, last_start = 0, -1
    for i in range(place, place + 1 if attempt_end >= 0 else place_end):
        start = lanes.position[i] if len(lanes.offsets) else i
        if not is_start(start, times, mask, rules):
            continue
        last_start = start
        if depth == rules.step_count and start > chain[depth - 1]:
            continue  # what begins later gets there later
        for step in range(rules.step_count):
            while following[step] < ends[step] and of_step[following[step]] < start:
                following[step] += 1
        candidates = _candidates(following, ends, of_step, needed)
        size = _match(candidates, times[start] + rules.window_us, times, mask, found)
        if size > depth or (size == depth and found[size - 1] <= chain[size - 1]):
            depth = size
            chain[:size] = found[:size]
    return Followed(depth, last_start, -1)


@njit(cache=True, nogil=True)
def is_start(position: int, times: Int64s, mask: UInt64s, rules: Rules) -> bool:
    """Whether a chain can begin with the event."""
    return mask[position] != 0 and rules.start_us <= times[position] < rules.end_us


@njit(cache=True, nogil=True)
def _positions_by_step(
    place: int, place_end: int, sequences: Sequences, lanes: Lanes, step_count: int
) -> tuple[Int64s, Int64s, bool]:
    """The positions that match each step, in order, step k's up to ends[k]; and whether each matches but one."""
    ends = np.zeros(step_count, np.int64)
    is_single = True
    for i in range(place, place_end):
        steps = sequences.mask[lanes.position[i] if len(lanes.offsets) else i]
        is_single &= (steps & (steps - np.uint64(1))) == 0
        for step in range(step_count):
            if (steps >> np.uint64(step)) & np.uint64(1):
                ends[step] += 1
    ends = np.cumsum(ends)
    of_step = np.empty(ends[-1], np.int64)
    at = np.zeros(step_count, np.int64)
    at[1:] = ends[:-1]
    for i in range(place, place_end):
        position = lanes.position[i] if len(lanes.offsets) else i
        for step in range(step_count):
            if (sequences.mask[position] >> np.uint64(step)) & np.uint64(1):
                of_step[at[step]] = position
                at[step] += 1
    return of_step, ends, is_single


@njit(cache=True, nogil=True)
def _candidates(following: Int64s, ends: Int64s, of_step: Int64s, needed: int) -> Int64s:
    """The next `needed` positions of each step, together, in order, each once."""
    candidates = np.empty(len(following) * needed, np.int64)
    count = 0
    for step in range(len(following)):
        for index in range(following[step], min(following[step] + needed, ends[step])):
            candidates[count] = of_step[index]
            count += 1
    return np.unique(candidates[:count])


@njit(cache=True, nogil=True)
def _match(candidates: Int64s, closes_us: int, times: Int64s, mask: UInt64s, found: Int64s) -> int:
    """Give candidates steps of their own, as many as possible up to closes_us; those that made the matching larger are
    written to `found`. Returns how many."""
    step_count = len(found)
    holder = np.full(step_count, -1, np.int64)  # of each step, the candidate that has it
    come_from = np.empty(step_count, np.int64)
    queue = np.empty(step_count, np.int64)
    size = 0
    for candidate in range(len(candidates)):
        if size == step_count or times[candidates[candidate]] > closes_us:
            break
        if augment(candidate, candidates, mask, holder, come_from, queue):
            found[size] = candidates[candidate]
            size += 1
    return size


@njit(cache=True, nogil=True)
def augment(
    candidate: int, candidates: Int64s, mask: UInt64s, holder: Int64s, come_from: Int64s, queue: Int64s
) -> bool:
    """Whether the candidate could be given a step, others moving to other steps of theirs (breadth first)."""
    step_count = len(holder)
    come_from[:] = -2  # not seen
    first, last = 0, 0
    taker, taken_from = candidate, -1
    while True:
        steps = mask[candidates[taker]]
        for step in range(step_count):
            if come_from[step] != -2 or not (steps >> np.uint64(step)) & np.uint64(1):
                continue
            come_from[step] = taken_from
            if holder[step] < 0:
                to = step
                while to >= 0:  # everybody on the way moves on
                    before = come_from[to]
                    holder[to] = candidate if before < 0 else holder[before]
                    to = before
                return True
            queue[last] = step
            last += 1
        if first == last:
            return False
        taken_from = queue[first]
        taker = holder[taken_from]
        first += 1
