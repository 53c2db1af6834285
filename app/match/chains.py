"""The funnel matcher: one pass over each actor's events, one result per actor who entered, or per attempt."""

import numpy as np
import numpy.typing as npt
from numba import njit

from app.match.any_order import gather, is_start
from app.match.in_order import Followed, Plan, follow, is_entry, plan_for
from app.match.nodes import Nodes, new_nodes
from app.match.rules import NEVER, Chains, Int64s, Lanes, Rules, Sequences

FIRST_CAPACITY = 16  # chains per step; grows with the longest journey


def match_chains(sequences: Sequences, lanes: Lanes, rules: Rules, stop: npt.NDArray[np.uint8]) -> Chains:
    """The reported chain of each actor who entered, or of each attempt. Ends early, with what it has, at stop[0]."""
    nodes = new_nodes(rules.step_count * len(rules.exclusions.limits), FIRST_CAPACITY)
    return _match(sequences, lanes, rules, plan_for(rules), nodes, stop)


@njit(cache=True, nogil=True)
def _match(
    sequences: Sequences, lanes: Lanes, rules: Rules, plan: Plan, nodes: Nodes, stop: npt.NDArray[np.uint8]
) -> Chains:
    actor_count = len(sequences.offsets) - 1
    chains = _room(max(actor_count, 1), max(actor_count, rules.step_count))
    chain_count, slot_count = 0, 0
    chain, best = np.empty(rules.step_count, np.int64), np.empty(rules.step_count, np.int64)
    for actor in range(actor_count):
        if stop[0]:
            break
        position, end = sequences.offsets[actor], sequences.offsets[actor + 1]
        while position < end:
            if rules.counts_entries:
                position, nodes, depth, open_until_us = _next_attempt(
                    position, end, actor, sequences, lanes, rules, plan, nodes, best
                )
            else:
                position = end
                nodes, depth, open_until_us = _best_of_lanes(actor, sequences, lanes, rules, plan, nodes, chain, best)
            if depth == 0:
                continue
            if chain_count == len(chains.actor) or slot_count + depth > len(chains.position):
                chains = _more_room(chains)
            chains.actor[chain_count] = actor
            chains.depth[chain_count] = depth
            chains.open_until_us[chain_count] = open_until_us
            chains.start[chain_count] = slot_count
            chains.position[slot_count : slot_count + depth] = best[:depth]
            chain_count += 1
            slot_count += depth
    return Chains(
        chains.actor[:chain_count],
        chains.depth[:chain_count],
        chains.open_until_us[:chain_count],
        chains.start[:chain_count],
        chains.position[:slot_count],
    )


@njit(cache=True, nogil=True)
def _best_of_lanes(
    actor: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    nodes: Nodes,
    chain: Int64s,
    best: Int64s,
) -> tuple[Nodes, int, int]:
    """Writes the actor's reported chain to `best`; returns its depth and until when the latest entry is open."""
    has_lanes = len(lanes.offsets) > 0
    offsets = lanes.offsets if has_lanes else sequences.offsets
    best_depth, last_entry = 0, -1
    place, end = offsets[actor], offsets[actor + 1]
    while place < end:
        lane_end = _lane_end(place, end, lanes) if has_lanes else end
        nodes, followed = _follow_lane(place, lane_end, -1, sequences, lanes, rules, plan, nodes, chain)
        depth = followed.depth
        last_entry = max(last_entry, followed.last_entry)
        if depth > best_depth or (depth == best_depth and depth and chain[depth - 1] < best[depth - 1]):
            best_depth = depth
            best[:depth] = chain[:depth]
        place = lane_end
    open_until_us = sequences.occurred_at_us[last_entry] + rules.window_us if best_depth else -NEVER
    return nodes, best_depth, open_until_us


@njit(cache=True, nogil=True)
def _next_attempt(
    position: int,
    end: int,
    actor: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    nodes: Nodes,
    best: Int64s,
) -> tuple[int, Nodes, int, int]:
    """The attempt of the first entry from `position` on: where to look for the next one, and as `_best_of_lanes`."""
    times = sequences.occurred_at_us
    while position < end and not _begins(position, sequences, rules):
        position += 1
    if position == end:
        return end, nodes, 0, -NEVER
    closes_us = times[position] + rules.window_us
    attempt_end = position + 1
    while attempt_end < end and times[attempt_end] <= closes_us:
        attempt_end += 1
    has_lanes = len(lanes.offsets) > 0
    place = lanes.place[position] if has_lanes else position
    lane_end = _lane_end(place, lanes.offsets[actor + 1], lanes) if has_lanes else end
    nodes, followed = _follow_lane(place, lane_end, attempt_end, sequences, lanes, rules, plan, nodes, best)
    if followed.excluded_at >= 0:
        return followed.excluded_at + 1, nodes, followed.depth, -NEVER
    if followed.depth == rules.step_count:
        attempt_end = best[followed.depth - 1] + 1
    return attempt_end, nodes, followed.depth, closes_us


@njit(cache=True, nogil=True)
def _follow_lane(
    place: int,
    lane_end: int,
    attempt_end: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    nodes: Nodes,
    chain: Int64s,
) -> tuple[Nodes, Followed]:
    if rules.is_any_order:
        return nodes, gather(place, lane_end, attempt_end, sequences, lanes, rules, chain)
    return follow(place, lane_end, attempt_end, sequences, lanes, rules, plan, nodes, chain)


@njit(cache=True, nogil=True)
def _begins(position: int, sequences: Sequences, rules: Rules) -> bool:
    times, mask = sequences.occurred_at_us, sequences.mask
    if rules.is_any_order:
        return is_start(position, times, mask, rules)
    return is_entry(position, times, mask, rules)


@njit(cache=True, nogil=True)
def _lane_end(place: int, end: int, lanes: Lanes) -> int:
    lane = lanes.lane[lanes.position[place]]
    while place < end and lanes.lane[lanes.position[place]] == lane:
        place += 1
    return place


@njit(cache=True, nogil=True)
def _room(chain_count: int, slot_count: int) -> Chains:
    return Chains(
        np.empty(chain_count, np.int64),
        np.empty(chain_count, np.int32),
        np.empty(chain_count, np.int64),
        np.empty(chain_count, np.int64),
        np.empty(slot_count, np.int64),
    )


@njit(cache=True, nogil=True)
def _more_room(chains: Chains) -> Chains:
    """Twice as much, with what is there already."""
    count, slots = len(chains.actor), len(chains.position)
    larger = _room(2 * count, 2 * slots)
    larger.actor[:count] = chains.actor
    larger.depth[:count] = chains.depth
    larger.open_until_us[:count] = chains.open_until_us
    larger.start[:count] = chains.start
    larger.position[:slots] = chains.position
    return larger
