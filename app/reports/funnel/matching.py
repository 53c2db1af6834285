"""From a funnel definition to one result per person: scan and match, shared by every report that is a funnel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.domain.funnel import Alternative, FunnelDefinition
from app.errors import Invalid
from app.match.actors import group_by_actor, person_ids
from app.match.sequence import Bounds, MatchResult, StepBits, match_in_order
from app.mirror.scan import BITS_MAX, TIME_MAX_US, Matches, Scan, Wanted


@dataclass(frozen=True, slots=True)
class Bit:
    """What one bit of the mask stands for: alternatives of a target (a step, or step_count + a gate) that all
    need the same gate (-1: none)."""

    target: int
    gate: int
    any_of: tuple[Alternative, ...]


def match_funnel(definition: FunnelDefinition, scan: Scan, *, include_bots: bool = False) -> MatchResult:
    """Raises Invalid when the steps have more distinct conditions than a mask has bits."""
    bits, gate_count = _bits(definition)
    step_count = len(definition.steps)
    end_us = min(definition.end_us + definition.conversion_window_us, TIME_MAX_US - 1)
    wanted = [Wanted(bit.any_of, definition.start_us if bit.target < step_count else -TIME_MAX_US) for bit in bits]
    matches = scan.matches(wanted, end_us + 1, include_bots=include_bots)
    sequences = group_by_actor(
        _persons(matches, scan),
        matches.occurred_at_us,
        matches.seq,
        matches.stored,
        matches.mask,
        _step_mask(matches, bits, step_count),
    )
    step_bits = StepBits(
        np.array([bit.target for bit in bits], np.int32),
        np.array([bit.gate for bit in bits], np.int32),
        step_count,
        gate_count,
    )
    bounds = Bounds(definition.start_us, definition.end_us, definition.conversion_window_us)
    return match_in_order(sequences, step_bits, bounds)


def _persons(matches: Matches, scan: Scan) -> npt.NDArray[np.int64]:
    links = scan.links()
    return person_ids(
        matches.visitor_id,
        matches.customer_id,
        matches.occurred_at_us,
        links.visitor_id,
        links.customer_id,
        links.linked_at_us,
    )


def _bits(definition: FunnelDefinition) -> tuple[list[Bit], int]:
    """The bits, and how many gates there are. A gate is a set of alternatives that an `after` names."""
    gates: list[tuple[Alternative, ...]] = []
    bits: list[Bit] = []
    targets: list[tuple[Alternative, ...]] = [step.any_of for step in definition.steps]
    step_count = len(targets)
    for target, any_of in enumerate(targets):  # grows while it is walked: gates can have gates
        for after in dict.fromkeys(alternative.after for alternative in any_of):
            gate = -1
            if after:
                if after not in gates:
                    gates.append(after)
                    targets.append(after)
                gate = gates.index(after)
            bits.append(Bit(target, gate, tuple(a for a in any_of if a.after == after)))
    if len(bits) > BITS_MAX:
        raise Invalid(f"The steps and the stages they come after make {len(bits)} conditions; {BITS_MAX} are possible.")
    assert step_count + len(gates) == len(targets)
    return bits, len(gates)


def _step_mask(matches: Matches, bits: list[Bit], step_count: int) -> npt.NDArray[np.uint64]:
    """Per event the steps it can match, gates aside: what the order of ties goes by."""
    if all(bit.target == place for place, bit in enumerate(bits)) and len(bits) == step_count:
        return matches.mask
    steps = np.zeros_like(matches.mask)
    for place, bit in enumerate(bits):
        if bit.target < step_count:
            steps |= ((matches.mask >> np.uint64(place)) & np.uint64(1)) << np.uint64(bit.target)
    return steps
