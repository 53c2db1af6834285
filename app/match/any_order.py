"""Follows the events of one actor where steps may come in any order (semantics, section 3, rule 4).

From every event on that may be the earliest of a chain, events are taken in their order as long as another one can be
given a step of its own: a matching of events to steps, made larger by augmenting paths. Taking what can be taken, in
order, leads to every size as early as any choice does (the matched events form a matroid).
"""

import numpy as np

from app.match.compiled import compiled, copy
from app.match.rules import NEVER, Int64s, Lanes, Rules, Sequences, UInt64s
from app.match.scratch import Followed, Scratch


@compiled
def gather(
    place: int, place_end: int, attempt_end: int, sequences: Sequences, lanes: Lanes, rules: Rules, scratch: Scratch
) -> Followed:
    """As `in_order.follow`; the chain gets the positions of the events in their order.

    An attempt begins with the event at `place`.
    """
    times, chain, next_of_step, ends = sequences.occurred_at_us, scratch.chain, scratch.next_of_step, scratch.ends
    step_count = rules.step_count
    is_single = _sort_by_step(place, place_end, sequences, lanes, scratch)
    # Of the events of a step more than one can be needed only where events match several steps, which others then take.
    needed = 1 if is_single else step_count
    depth, last_start = 0, -1
    for i in range(place, place + 1 if attempt_end != -1 else place_end):
        start = lanes.position[i] if len(lanes.offsets) else i
        if scratch.stop[0] or not is_start(start, times, sequences.mask, rules):
            continue
        if depth == step_count and start > chain[depth - 1]:
            break  # what begins later gets there later
        last_start = start
        for step in range(step_count):
            while next_of_step[step] < ends[step] and scratch.of_step[next_of_step[step]] < start:
                next_of_step[step] += 1
        size = _match(times[start] + rules.window_us, needed, times, sequences.mask, scratch)
        if size > depth or (size == depth and scratch.tried[size - 1] <= chain[size - 1]):
            depth = size
            copy(scratch.tried, chain, 0, size)
    return Followed(depth, last_start, -1)


@compiled
def is_start(position: int, times: Int64s, mask: UInt64s, rules: Rules) -> bool:
    """Whether a chain can begin with the event."""
    return bool(mask[position]) and rules.start_us <= times[position] < rules.end_us


@compiled
def _sort_by_step(place: int, place_end: int, sequences: Sequences, lanes: Lanes, scratch: Scratch) -> bool:
    """Fills of_step, ends and next_of_step; returns whether each event matches one step at most."""
    step_count, has_lanes = len(scratch.ends), bool(len(lanes.offsets))
    is_single = True
    scratch.next_of_step[:] = 0  # for the time being: how many there are
    for i in range(place, place_end):
        steps = sequences.mask[lanes.position[i] if has_lanes else i]
        is_single &= (steps & (steps - np.uint64(1))) == 0
        for step in range(step_count):
            if (steps >> np.uint64(step)) & np.uint64(1):
                scratch.next_of_step[step] += 1
    total = 0
    for step in range(step_count):
        count = scratch.next_of_step[step]
        scratch.next_of_step[step] = scratch.ends[step] = total
        total += count
    for i in range(place, place_end):
        position = lanes.position[i] if has_lanes else i
        for step in range(step_count):
            if (sequences.mask[position] >> np.uint64(step)) & np.uint64(1):
                scratch.of_step[scratch.ends[step]] = position
                scratch.ends[step] += 1
    return is_single


@compiled
def _match(closes_us: int, needed: int, times: Int64s, mask: UInt64s, scratch: Scratch) -> int:
    """Give events steps of their own, as many as possible up to closes_us, from the next `needed` of each step.

    Those that made the matching larger are written to `tried`. Returns how many.
    """
    step_count, head, of_step = len(scratch.head), scratch.head, scratch.of_step
    scratch.holder[:] = -1
    copy(scratch.next_of_step, head, 0, step_count)
    size = 0
    while size < step_count:
        position = NEVER
        for step in range(step_count):
            if head[step] < min(scratch.ends[step], scratch.next_of_step[step] + needed):
                position = min(position, of_step[head[step]])
        if position == NEVER or times[position] > closes_us:
            break
        for step in range(step_count):
            if head[step] < scratch.ends[step] and of_step[head[step]] == position:
                head[step] += 1
        if augment(position, mask, scratch.holder, scratch.come_from, scratch.queue):
            scratch.tried[size] = position
            size += 1
    return size


@compiled
def augment(position: int, mask: UInt64s, holder: Int64s, come_from: Int64s, queue: Int64s) -> bool:
    """Whether the event could be given a step, others moving to other steps of theirs (breadth first).

    holder: of each step the position of the event that has it, or -1. come_from, queue: room, an element per step.
    """
    come_from[:] = -2  # not seen
    first, last = 0, 0
    taker, taken_from = position, -1
    while True:
        steps = mask[taker]
        for step in range(len(holder)):
            if come_from[step] != -2 or not (steps >> np.uint64(step)) & np.uint64(1):
                continue
            come_from[step] = taken_from
            if holder[step] == -1:
                to = step
                while to != -1:  # everybody on the way moves on
                    before = come_from[to]
                    holder[to] = position if before == -1 else holder[before]
                    to = before
                return True
            queue[last] = step
            last += 1
        if first == last:
            return False
        taken_from = queue[first]
        taker = holder[taken_from]
        first += 1
