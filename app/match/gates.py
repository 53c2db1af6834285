"""What an event matches in the light of what its person did before, or did at all."""

from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.rules import Int32s, Int64s, UInt64s


class Bits(NamedTuple):
    """What the bits of an event's mask stand for.

    Bit b says that the event matches target bit_target[b], provided that gate bit_gate[b] was opened by an earlier
    event of the person (-1: no gate). The targets from first_gate on are the gates; to match one is to open it.
    """

    bit_target: Int32s
    bit_gate: Int32s
    first_gate: int


@njit(cache=True, nogil=True)
def resolve(offsets: Int64s, mask: UInt64s, bits: Bits) -> UInt64s:
    """Per event, bit t set = it matches target t. offsets, mask: of persons' events in their order."""
    resolved = np.zeros_like(mask)
    for person in range(len(offsets) - 1):
        opened = np.uint64(0)
        for position in range(offsets[person], offsets[person + 1]):
            matched = np.uint64(0)
            for bit in range(len(bits.bit_target)):
                if not (mask[position] >> np.uint64(bit)) & np.uint64(1):
                    continue
                gate = bits.bit_gate[bit]
                if gate == -1 or (opened >> np.uint64(gate)) & np.uint64(1):
                    matched |= np.uint64(1) << np.uint64(bits.bit_target[bit])
            opened |= matched >> np.uint64(bits.first_gate)
            resolved[position] = matched & ((np.uint64(1) << np.uint64(bits.first_gate)) - np.uint64(1))
    return resolved


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
