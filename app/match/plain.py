"""Chains of which nothing is asked but the order of the steps and the window: one pass with nothing to look up.

Most funnels are so, and it takes less than half of the time of `in_order`, which says why the latest chain of each step
is enough.
"""

import numpy as np
import numpy.typing as npt

from app.match.compiled import compiled
from app.match.in_order import is_entry
from app.match.rules import NEVER, Chains, Int64s, Lanes, Rules, Sequences


def is_plain(lanes: Lanes, rules: Rules) -> bool:
    has_other_order = rules.is_strict or rules.is_any_order or rules.counts_entries or rules.optional.any()
    has_gaps = (rules.within_us != NEVER).any() or rules.not_before_us.any()
    return not (has_other_order or has_gaps or len(rules.exclusions.after_step) or len(lanes.offsets))


def match_plain(
    first: int, last: int, sequences: Sequences, rules: Rules, stop: npt.NDArray[np.uint8], room: Chains
) -> tuple[int, int]:
    """Of the actors [first, last): how many chains they have, and how many positions those."""
    latest = np.empty((rules.step_count, rules.step_count), np.int64)
    return _match(first, last, sequences, rules, stop, latest, room)


@compiled
def _match(
    first: int,
    last: int,
    sequences: Sequences,
    rules: Rules,
    stop: npt.NDArray[np.uint8],
    latest: Int64s,
    room: Chains,
) -> tuple[int, int]:
    chain_count, slot_count = 0, 0
    for actor in range(first, last):
        if stop[0]:
            break
        depth, last_entry = _follow(actor, sequences, rules, latest, room.position, slot_count)
        if depth:
            room.actor[chain_count] = actor
            room.depth[chain_count] = depth
            room.open_until_us[chain_count] = sequences.occurred_at_us[last_entry] + rules.window_us
            room.start[chain_count] = slot_count
            chain_count += 1
            slot_count += depth
    return chain_count, slot_count


@compiled
def _follow(
    actor: int, sequences: Sequences, rules: Rules, latest: Int64s, found: Int64s, start: int
) -> tuple[int, int]:
    """Writes the positions of the chain to report to found[start:]; returns how many steps it has, and the last entry.

    latest: room; by step, the positions of the latest chain that came there.
    """
    times, mask = sequences.occurred_at_us, sequences.mask
    depth, last_entry = 0, -1
    for position in range(sequences.offsets[actor], sequences.offsets[actor + 1]):
        steps = mask[position]
        # From the last step down, so that the event is not used for two steps of one chain.
        for step in range(depth, 0, -1):
            if not (steps >> np.uint64(step)) & np.uint64(1):
                continue
            entry = latest[step - 1, 0]
            if step < depth and latest[step, 0] >= entry:
                continue  # the chain that got here with this entry first stays
            if times[position] - times[entry] > rules.window_us:
                continue
            for earlier in range(step):
                latest[step, earlier] = latest[step - 1, earlier]
            latest[step, step] = position
            if step == depth:
                depth = step + 1
                for earlier in range(depth):
                    found[start + earlier] = latest[step, earlier]
        if is_entry(position, times, mask, rules):
            latest[0, 0] = last_entry = position
            if not depth:
                depth, found[start] = 1, position
        if depth == rules.step_count:
            break
    return depth, last_entry
