"""The funnel matcher: one pass over each actor's events, one result per actor who entered (semantics, section 3)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from app.match.actors import Sequences

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


class StepBits(NamedTuple):
    """What the bits of an event's mask stand for.

    A bit b says that the event matches target bit_target[b]: a step (below step_count) or a gate (step_count + gate),
    provided that gate bit_gate[b] was opened by an earlier event of the actor (-1: no gate). Opening it is what an
    event that matches a gate does.
    """

    bit_target: Int32s
    bit_gate: Int32s
    step_count: int
    gate_count: int


class Bounds(NamedTuple):
    """Entries lie in [start_us, end_us); the last step comes at most window_us after the entry."""

    start_us: int
    end_us: int
    window_us: int


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
def match_in_order(sequences: Sequences, bits: StepBits, bounds: Bounds) -> MatchResult:
    """Follow, for every step k at once, the chain to k whose entry is latest: nothing else can reach further later."""
    offsets, occurred_at_us, mask = sequences
    step_count = bits.step_count
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
    has_step = np.empty(step_count, np.bool_)
    gate_open = np.empty(bits.gate_count, np.bool_)

    for actor in range(actor_count):
        best[:] = -1
        gate_open[:] = False
        reached = 0
        for row in range(offsets[actor], offsets[actor + 1]):
            at = occurred_at_us[row]
            _read_mask(mask[row], bits, gate_open, has_step)
            # From the last step down, so that the event is not used for two steps of one chain.
            for step in range(step_count - 1, 0, -1):
                entry = best[step - 1]
                if not has_step[step] or entry < 0 or at - occurred_at_us[entry] > bounds.window_us:
                    continue
                if best[step] >= entry:
                    continue  # the chain that got here with this entry first stays
                best[step] = entry
                times[step, :step] = times[step - 1, :step]
                times[step, step] = at
                if step + 1 > reached:
                    reached = step + 1
                    chain_us[chain_end : chain_end + reached] = times[step, :reached]
            if has_step[0] and bounds.start_us <= at < bounds.end_us:
                best[0] = row
                times[0, 0] = at
                last_entry_us[entered] = at
                if reached == 0:
                    reached = 1
                    chain_us[chain_end] = at
        if reached:
            depth[entered] = reached
            chain_start[entered] = chain_end
            chain_end += reached
            entered += 1
    return MatchResult(depth[:entered], last_entry_us[:entered], chain_start[:entered], chain_us[:chain_end])


@njit(cache=True, nogil=True)
def _read_mask(
    mask: np.uint64, bits: StepBits, gate_open: npt.NDArray[np.bool_], has_step: npt.NDArray[np.bool_]
) -> None:
    """Which steps an event matches, by the gates that were open before it; then opens those that it opens."""
    has_step[:] = False
    opened = np.uint64(0)
    for bit in range(len(bits.bit_target)):
        if not (mask >> np.uint64(bit)) & np.uint64(1):
            continue
        gate = bits.bit_gate[bit]
        if gate >= 0 and not gate_open[gate]:
            continue
        target = bits.bit_target[bit]
        if target < bits.step_count:
            has_step[target] = True
        else:
            opened |= np.uint64(1) << np.uint64(target - bits.step_count)
    if opened:
        for gate in range(bits.gate_count):
            if (opened >> np.uint64(gate)) & np.uint64(1):
                gate_open[gate] = True
