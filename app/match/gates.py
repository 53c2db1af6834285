"""What an event matches in the light of what its person did before, or did at all."""

from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.orders import NO_ORDER, OrderReports
from app.match.rules import Int32s, Int64s, UInt64s


class Bits(NamedTuple):
    """What the bits of an event's mask stand for.

    Bit b says that the event matches target bit_target[b], provided that gate bit_gate[b] was opened by an earlier
    event of the person (-1: no gate), and that this is not another report of the order by which it was opened. The
    targets from first_gate on are the gates; to match one is to open it. once: bits that an event does not have which
    an earlier report of its order had.
    """

    bit_target: Int32s
    bit_gate: Int32s
    first_gate: int
    once: np.uint64


@njit(cache=True, nogil=True)
def resolve(offsets: Int64s, mask: UInt64s, bits: Bits, reports: OrderReports) -> UInt64s:
    """Per event, bit t set = it matches target t. offsets, mask: of persons' events in their order."""
    resolved = np.zeros_like(mask)
    opened_by = np.empty(64, np.int32)  # by gate, the order that the event reports which opened it, or NO_ORDER
    report = 0  # the next one
    for person in range(len(offsets) - 1):
        opened = np.uint64(0)
        for position in range(offsets[person], offsets[person + 1]):
            fits, order = mask[position], NO_ORDER
            if report < len(reports.position) and reports.position[report] == position:
                fits, order = fits & ~(reports.told[report] & bits.once), reports.order[report]
                report += 1
            matched = np.uint64(0)
            for bit in range(len(bits.bit_target)):
                rest = fits >> np.uint64(bit)
                if not rest:
                    break
                if not rest & np.uint64(1):
                    continue
                gate = bits.bit_gate[bit]
                if gate == -1 or _is_after(gate, order, opened, opened_by):
                    matched |= np.uint64(1) << np.uint64(bits.bit_target[bit])
            opening = (matched >> np.uint64(bits.first_gate)) & ~opened
            if opening:
                opened |= opening
                for gate in range(64):
                    if (opening >> np.uint64(gate)) & np.uint64(1):
                        opened_by[gate] = order
            resolved[position] = matched & ((np.uint64(1) << np.uint64(bits.first_gate)) - np.uint64(1))
    return resolved


@njit(cache=True, nogil=True)
def _is_after(gate: int, order: int, opened: np.uint64, opened_by: Int32s) -> bool:
    """Whether the gate is open, and was so by something else than a report of this order."""
    is_open = (opened >> np.uint64(gate)) & np.uint64(1) != 0
    return is_open and (order == NO_ORDER or order != opened_by[gate])


@njit(cache=True, nogil=True)
def blank_persons(offsets: Int64s, resolved: UInt64s, wanted: int, unwanted: int, steps: int) -> None:
    """Take the bits `steps` from all events of persons who have not all of the bits `wanted`, or one of `unwanted`."""
    have, have_not, kept = np.uint64(wanted), np.uint64(unwanted), ~np.uint64(steps)
    for person in range(len(offsets) - 1):
        seen = np.uint64(0)
        for position in range(offsets[person], offsets[person + 1]):
            seen |= resolved[position]
        if (seen & have) != have or seen & have_not:
            for position in range(offsets[person], offsets[person + 1]):
                resolved[position] &= kept
