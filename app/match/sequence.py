"""The funnel matcher: one pass over each actor's events, one result per actor who entered (semantics, section 3)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]


class MatchResult(NamedTuple):
    """One element per actor who entered.

    depth: steps reached, from 1. last_entry_us: the actor's latest entry. chain_start: where the actor's reported
    chain begins in chain_us, which holds the times of its `depth` events.
    """

    depth: Int32s
    last_entry_us: Int64s
    chain_start: Int64s
    chain_us: Int64s


@njit(cache=True, nogil=True)
def match_in_order(
    offsets: Int64s,
    occurred_at_us: Int64s,
    mask: UInt64s,
    bit_target: Int32s,
    bit_gate: Int32s,
    step_count: int,
    gate_count: int,
    start_us: int,
    end_us: int,
    window_us: int,
) -> MatchResult:
    """Follow, for every step k at once, the chain to k whose entry is latest: nothing else can reach further later.

    A bit b of an event's mask says that it matches target bit_target[b]: a step (below step_count) or a gate
    (step_count + gate), provided that gate bit_gate[b] was opened by an earlier event of the actor (-1: no gate).
    Opening is what an event that matches a gate does.
    """
    actor_count, row_count = len(offsets) - 1, len(occurred_at_us)
    depth = np.empty(actor_count, np.int32)
    last_entry_us = np.empty(actor_count, np.int64)
    chain_start = np.empty(actor_count, np.int64)
    chain_us = np.empty(row_count, np.int64)  # a chain uses an event once, so all of them fit
    entered = 0
    chain_end = 0

    # best[k]: row of the entry of the best chain to step k, -1 if there is none; times[k, :k + 1]: that chain's times.
    best = np.empty(step_count, np.int64)
    times = np.empty((step_count, step_count), np.int64)
    gate_open = np.empty(gate_count, np.bool_)
    opening = np.empty(gate_count, np.bool_)
    has_step = np.empty(step_count, np.bool_)
    bit_count = len(bit_target)

    for actor in range(actor_count):
        best[:] = -1
        gate_open[:] = False
        reached = 0
        for row in range(offsets[actor], offsets[actor + 1]):
            at = occurred_at_us[row]
            has_step[:] = False
            opening[:] = False
            for bit in range(bit_count):
                if (mask[row] >> np.uint64(bit)) & np.uint64(1) and (
                    bit_gate[bit] < 0 or gate_open[bit_gate[bit]]
                ):
                    if bit_target[bit] < step_count:
                        has_step[bit_target[bit]] = True
                    else:
                        opening[bit_target[bit] - step_count] = True
            # From the last step down, so that the event is not used for two steps of one chain.
            for step in range(step_count - 1, 0, -1):
                entry = best[step - 1]
                if (
                    not has_step[step]
                    or entry < 0
                    or at - occurred_at_us[entry] > window_us
                    or best[step] >= entry
                ):
                    continue
                best[step] = entry
                times[step, :step] = times[step - 1, :step]
                times[step, step] = at
                if step + 1 > reached:
                    reached = step + 1
                    chain_us[chain_end : chain_end + reached] = times[step, :reached]
            if has_step[0] and start_us <= at < end_us:
                best[0] = row
                times[0, 0] = at
                last_entry_us[entered] = at
                if reached == 0:
                    reached = 1
                    chain_us[chain_end] = at
            gate_open |= opening
        if reached:
            depth[entered] = reached
            chain_start[entered] = chain_end
            chain_end += reached
            entered += 1
    return MatchResult(depth[:entered], last_entry_us[:entered], chain_start[:entered], chain_us[:chain_end])
