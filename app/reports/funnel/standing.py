"""Where each attempt stood when it first got to a step: what was known then does not depend on what came after.

The reported chain will not do for that: of those who went on it is the one that got furthest, so it often begins later
than that of the others, after more visits.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.funnel import Count, Order
from app.match.chains import match_chains
from app.match.rules import Chains, Int64s, Lanes, Rules, Sequences
from app.reports.funnel.matching import Attempts, exclusions_at, lanes_of


class Standing(NamedTuple):
    """Per attempt the positions of the entry and of the step's event, of the chain that was first there."""

    entry: Int64s
    step: Int64s


def stood_at(attempts: Attempts, step_index: int, stop: npt.NDArray[np.uint8]) -> Standing:
    """attempts: that reached the step, which is not optional (or the steps come in any order)."""
    sequences, lanes, rules = attempts.sequences, attempts.lanes, attempts.rules
    part = attempts.chains.actor
    if attempts.definition.count is Count.ENTRIES:  # each attempt by itself: from its entry until the next one's
        entries = attempts.positions(0)
        sequences = sequences._replace(offsets=np.unique(np.concatenate((sequences.offsets, entries))))
        part = np.searchsorted(sequences.offsets, entries)
        if len(lanes.position):
            lanes = lanes_of(np.sort(lanes.position), lanes.lane, sequences.offsets)
    if attempts.definition.order is Order.ANY_ORDER:
        latest = attempts.positions(step_index)
        chains = _cut_short(sequences, lanes, rules, part, latest, step_index, stop)
    else:
        mask = sequences.mask & np.uint64((1 << step_index + 1) - 1)
        chains = match_chains(sequences._replace(mask=mask), lanes, _first_steps(attempts, step_index + 1), stop)
    start = chains.start[np.searchsorted(chains.actor, part)]  # of the first chain of each
    return Standing(chains.position[start], chains.position[start + step_index])


def _first_steps(attempts: Attempts, count: int) -> Rules:
    """The rules of a funnel that ends after so many steps."""
    rules, exclude = attempts.rules, attempts.definition.exclude
    kept = [number for number, each in enumerate(exclude) if each.before_step < count]
    found = np.split(rules.exclusions.position, rules.exclusions.offsets[1:-1])
    return rules._replace(
        step_count=count,
        within_us=rules.within_us[:count],
        not_before_us=rules.not_before_us[:count],
        optional=rules.optional[:count],
        exclusions=exclusions_at([exclude[number] for number in kept], [found[number] for number in kept], count),
    )


def _cut_short(
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    part: Int64s,
    latest: Int64s,
    step_index: int,
    stop: npt.NDArray[np.uint8],
) -> Chains:
    """The chains of the parts' events up to the one with which that many steps were first done.

    Found by halving. latest: one by which they were done.
    """
    earliest, latest = sequences.offsets[part], latest.copy()
    positions, lengths = np.arange(len(sequences.mask)), np.diff(sequences.offsets)

    def up_to(last: Int64s) -> Chains:
        last_of_part = np.full(len(lengths), -1, np.int64)
        last_of_part[part] = last
        mask = np.where(positions <= np.repeat(last_of_part, lengths), sequences.mask, np.uint64(0))
        return match_chains(sequences._replace(mask=mask), lanes, rules, stop)

    while (earliest < latest).any() and not stop[0]:
        middle = (earliest + latest) // 2
        chains = up_to(middle)
        depth_of_part = np.zeros(len(lengths), np.int32)
        number = np.flatnonzero(np.diff(chains.actor, prepend=-1))  # the first of each part
        depth_of_part[chains.actor[number]] = chains.depth[number]
        is_done = depth_of_part[part] > step_index
        latest = np.where(is_done, middle, latest)
        earliest = np.where(is_done, earliest, middle + 1)
    return up_to(latest)
