"""What the bits of a scan's mask are to stand for: the steps of a funnel, its exclusions, filters and gates."""

from dataclasses import dataclass

import numpy as np

from app.domain.funnel import Alternative, FunnelDefinition
from app.domain.order import ORDER_COMPLETED
from app.errors import Invalid
from app.match.gates import Bits
from app.mirror.scan import BITS_MAX, TIME_MAX_US, Wanted


@dataclass(frozen=True, slots=True)
class Targets:
    """Target t is a step, then come the exclusions, the person filters, and from first_gate on the gates: sets of
    alternatives that an `after` names. Bit b of the scanned mask belongs to target bit_target[b]. once_bits: those that
    an event does not have which an earlier report of its order had."""

    step_count: int
    first_filter: int
    first_gate: int
    wanted: tuple[Wanted, ...]
    bit_target: tuple[int, ...]
    bit_gate: tuple[int, ...]
    once_bits: int

    @property
    def are_steps_alone(self) -> bool:
        """Whether bit b stands for step b and there is nothing else."""
        return self.bit_target == tuple(range(self.step_count))

    @property
    def order_bits(self) -> int:
        """Of the mask: those that events which report an order can have."""
        return sum(1 << bit for bit, want in enumerate(self.wanted) if _can_be_order(want.any_of))

    def bits(self) -> Bits:
        return Bits(
            np.array(self.bit_target, np.int32),
            np.array(self.bit_gate, np.int32),
            self.first_gate,
            np.uint64(self.once_bits),
        )


def _can_be_order(any_of: tuple[Alternative, ...]) -> bool:
    return any(alternative.event_name == ORDER_COMPLETED for alternative in any_of)


def targets_of(definition: FunnelDefinition) -> Targets:
    """Raises Invalid when there are more conditions than a mask has bits."""
    steps = [step.any_of for step in definition.steps]
    exclusions = [exclusion.any_of for exclusion in definition.exclude]
    filters = [each.any_of for each in definition.persons]
    targets = [*steps, *exclusions, *filters]
    first_filter, first_gate = len(steps) + len(exclusions), len(targets)
    gates: list[tuple[Alternative, ...]] = []
    wanted: list[Wanted] = []
    bit_target, bit_gate, once_bits = [], [], 0
    for target, any_of in enumerate(targets):  # grows while it is walked: gates can have gates
        start_us, end_us = definition.start_us, definition.last_us + 1
        if target >= first_gate:
            start_us, end_us = -TIME_MAX_US, TIME_MAX_US
        elif target >= first_filter:
            each = definition.persons[target - first_filter]
            start_us, end_us = each.start_us, each.end_us
        for after in dict.fromkeys(alternative.after for alternative in any_of):
            if after and after not in gates:
                gates.append(after)
                targets.append(after)
            alternatives = tuple(a for a in any_of if a.after == after)
            is_once = bool(after) and _can_be_order(alternatives)
            once_bits |= is_once << len(wanted)
            # Whether an order was reported before is known only when all reports are.
            wanted.append(Wanted(alternatives, -TIME_MAX_US if is_once else start_us, end_us))
            bit_target.append(target)
            bit_gate.append(gates.index(after) if after else -1)
    if max(len(bit_target), len(targets)) > BITS_MAX:
        raise Invalid(
            f"The steps, exclusions, filters and the stages they come after make {max(len(bit_target), len(targets))} "
            f"conditions; {BITS_MAX} are possible."
        )
    return Targets(len(steps), first_filter, first_gate, tuple(wanted), tuple(bit_target), tuple(bit_gate), once_bits)
