"""The funnel matcher: one pass over each actor's events, one result per actor who entered, or per attempt."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from app.match.any_order import gather, is_start
from app.match.compiled import compiled, copy
from app.match.in_order import Plan, follow, is_entry, plan_for
from app.match.plain import is_plain, match_plain
from app.match.rooms import add_by_part, closed_up
from app.match.rules import NEVER, Chains, Int64s, Lanes, Rules, Sequences
from app.match.scratch import Followed, Scratch, new_scratch
from app.parallel import at_once, parts_of


def match_chains(sequences: Sequences, lanes: Lanes, rules: Rules, stop: npt.NDArray[np.uint8]) -> Chains:
    """The reported chain of each actor who entered, or of each attempt. Ends early, with what it has, at stop[0]."""
    plan, shares = plan_for(rules), _split_actors(sequences.offsets)
    chain_bounds, slot_bounds = _bounds([0, *(last for _, last in shares)], sequences.offsets, rules)
    room = _room(chain_bounds[-1], slot_bounds[-1])
    parts = [
        partial(_match_part, *share, sequences, lanes, rules, plan, stop, _cut(room, slice(*chains), slice(*slots)))
        for share, chains, slots in zip(shares, pairwise(chain_bounds), pairwise(slot_bounds), strict=True)
    ]
    chain_ends, slot_ends = np.cumsum([(0, 0), *at_once(parts)], axis=0).T.tolist()
    start = closed_up(room.start, chain_bounds, chain_ends)
    add_by_part(start, chain_ends, slot_ends)
    return Chains(
        closed_up(room.actor, chain_bounds, chain_ends),
        closed_up(room.depth, chain_bounds, chain_ends),
        closed_up(room.open_until_us, chain_bounds, chain_ends),
        start,
        closed_up(room.position, slot_bounds, slot_ends),
    )


def _split_actors(offsets: Int64s) -> list[tuple[int, int]]:
    """Ranges of actors with about as many events each."""
    parts = parts_of(int(offsets[-1]))
    shares = np.searchsorted(offsets, [int(offsets[-1]) * part // parts for part in range(1, parts)])
    return list(pairwise([0, *shares.tolist(), len(offsets) - 1]))


def _bounds(actors: Sequence[int], offsets: Int64s, rules: Rules) -> tuple[list[int], list[int]]:
    """Between the rooms for the chains of the parts, and for their positions. actors: between the parts.

    As much room as there can be need of: an event is in one chain at most, and a chain may skip the optional steps.
    """
    events = offsets[list(actors)]
    chains = events if rules.counts_entries else np.array(actors, np.int64)
    return chains.tolist(), (events + chains * rules.optional.sum()).tolist()


def _room(chain_count: int, slot_count: int) -> Chains:
    """What is not written to takes no memory."""
    return Chains(
        actor=np.empty(chain_count, np.int64),
        depth=np.empty(chain_count, np.int32),
        open_until_us=np.empty(chain_count, np.int64),
        start=np.empty(chain_count, np.int64),
        position=np.empty(slot_count, np.int64),
    )


def _cut(room: Chains, chains: slice, slots: slice) -> Chains:
    return Chains(
        room.actor[chains], room.depth[chains], room.open_until_us[chains], room.start[chains], room.position[slots]
    )


def _match_part(
    first: int,
    last: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    stop: npt.NDArray[np.uint8],
    room: Chains,
) -> tuple[int, int]:
    """Of the actors [first, last)."""
    if is_plain(lanes, rules):
        return match_plain(first, last, sequences, rules, stop, room)
    longest = int(np.diff(sequences.offsets[first : last + 1]).max(initial=0))
    return _match(first, last, sequences, lanes, rules, plan, new_scratch(rules, longest, stop), room)


@compiled
def _match(
    first: int,
    last: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    scratch: Scratch,
    room: Chains,
) -> tuple[int, int]:
    """Returns how many chains there are, and how many positions they have."""
    chain_count, slot_count = 0, 0
    best = scratch.best_chain
    for actor in range(first, last):
        if scratch.stop[0]:
            break
        position, end = sequences.offsets[actor], sequences.offsets[actor + 1]
        while position < end:
            if rules.counts_entries:
                position, depth, open_until_us = _next_attempt(
                    position, end, sequences, lanes, rules, plan, scratch, best
                )
            else:
                position = end
                depth, open_until_us = _best_of_lanes(actor, sequences, lanes, rules, plan, scratch, best)
            if depth:
                room.actor[chain_count] = actor
                room.depth[chain_count] = depth
                room.open_until_us[chain_count] = open_until_us
                room.start[chain_count] = slot_count
                copy(best, room.position, slot_count, depth)
                chain_count += 1
                slot_count += depth
    return chain_count, slot_count


@compiled
def _best_of_lanes(
    actor: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    scratch: Scratch,
    best: Int64s,
) -> tuple[int, int]:
    """Writes the actor's reported chain to `best`; returns its depth and until when the latest entry is open, which
    says nothing where the depth is 0."""
    if not rules.is_any_order:
        is_all, first_entry, last_entry = _entries_alone(
            sequences.offsets[actor], sequences.offsets[actor + 1], sequences, rules
        )
        if is_all:
            best[0] = first_entry
            return int(first_entry != -1), sequences.occurred_at_us[last_entry] + rules.window_us
    chain = scratch.chain
    has_lanes = bool(len(lanes.offsets))
    offsets = lanes.offsets if has_lanes else sequences.offsets
    best_depth, last_entry = 0, -1
    place, end = offsets[actor], offsets[actor + 1]
    while place < end:
        lane_end = _lane_end(place, end, lanes, NEVER) if has_lanes else end
        followed = _follow_lane(place, lane_end, -1, sequences, lanes, rules, plan, scratch)
        depth = followed.depth
        last_entry = max(last_entry, followed.last_entry)
        if depth > best_depth or (depth == best_depth and chain[depth - 1] < best[depth - 1]):
            best_depth = depth
            copy(chain, best, 0, depth)
        place = lane_end
    return best_depth, sequences.occurred_at_us[last_entry] + rules.window_us


@compiled
def _entries_alone(position: int, end: int, sequences: Sequences, rules: Rules) -> tuple[bool, int, int]:
    """Whether no event after the actor's first entry matches a later step, as is so for most; and the first and last
    entry, -1 when there is none."""
    times, mask = sequences.occurred_at_us, sequences.mask
    first, last = -1, -1
    for at in range(position, end):
        if first != -1 and mask[at] > np.uint64(1):
            return False, first, last
        if is_entry(at, times, mask, rules):
            last = at
            first = at if first == -1 else first
    return True, first, last


@compiled
def _next_attempt(
    position: int,
    end: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    scratch: Scratch,
    best: Int64s,
) -> tuple[int, int, int]:
    """The attempt of the first entry from `position` on: where to look for the next one, and as `_best_of_lanes`."""
    times = sequences.occurred_at_us
    while position < end and not _begins(position, sequences, rules):
        position += 1
    if position == end:
        return end, 0, NEVER
    closes_us = times[position] + rules.window_us
    attempt_end = position
    while attempt_end < end and times[attempt_end] <= closes_us:
        attempt_end += 1
    has_lanes = bool(len(lanes.offsets))
    place = lanes.place[position] if has_lanes else position
    place_end = _lane_end(place, len(lanes.position), lanes, attempt_end) if has_lanes else attempt_end
    followed = _follow_lane(place, place_end, attempt_end, sequences, lanes, rules, plan, scratch)
    copy(scratch.chain, best, 0, followed.depth)
    if followed.excluded_at != -1:
        return followed.excluded_at + 1, followed.depth, -NEVER
    if followed.depth == rules.step_count:
        attempt_end = best[followed.depth - 1] + 1
    return attempt_end, followed.depth, closes_us


@compiled
def _follow_lane(
    place: int,
    place_end: int,
    attempt_end: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    scratch: Scratch,
) -> Followed:
    if rules.is_any_order:
        return gather(place, place_end, attempt_end, sequences, lanes, rules, scratch)
    return follow(place, place_end, attempt_end, sequences, lanes, rules, plan, scratch)


@compiled
def _begins(position: int, sequences: Sequences, rules: Rules) -> bool:
    times, mask = sequences.occurred_at_us, sequences.mask
    if rules.is_any_order:
        return is_start(position, times, mask, rules)
    return is_entry(position, times, mask, rules)


@compiled
def _lane_end(place: int, end: int, lanes: Lanes, position_end: int) -> int:
    """The first place after those that are in the same lane as `place` and have positions before position_end."""
    lane = lanes.lane[lanes.position[place]]
    while place < end and lanes.position[place] < position_end and lanes.lane[lanes.position[place]] == lane:
        place += 1
    return place
