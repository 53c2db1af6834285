"""What the compiled passes keep track of: room made once and used again for every actor."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.match.nodes import Nodes, new_nodes
from app.match.rules import Int64s, Rules


class Followed(NamedTuple):
    """depth: steps reached, 0 when nobody entered. last_entry: position. excluded_at: position of the excluded event
    that ended an attempt, or -1."""

    depth: int
    last_entry: int
    excluded_at: int


class Scratch(NamedTuple):
    """stop: set from outside when nobody waits for the answer any more; looked at with every event.

    chain, best_chain: positions by step, of the chain to report of a lane and of the actor.

    In order. best_of_taint: while a step is looked at. excluded, following: per exclusion the position of its latest
    event so far (-1: none), and where in Exclusions.position the next one stands.

    In any order. tried: as chain, from one start. of_step: the positions that match each step, step k's up to ends[k];
    next_of_step: the first of them not before the chain's start; head: the first not tried yet. holder: of each step
    the position that has it; come_from, queue: of the search for an augmenting path.
    """

    stop: npt.NDArray[np.uint8]
    chain: Int64s
    best_chain: Int64s
    nodes: Nodes
    best_of_taint: Int64s
    excluded: Int64s
    following: Int64s
    tried: Int64s
    of_step: Int64s
    ends: Int64s
    next_of_step: Int64s
    head: Int64s
    holder: Int64s
    come_from: Int64s
    queue: Int64s


def new_scratch(rules: Rules, longest: int, stop: npt.NDArray[np.uint8]) -> Scratch:
    """As much room as there can be need of; what is not written to takes no memory. longest: events of an actor."""
    step_count, taint_count = rules.step_count, len(rules.exclusions.limits)
    by_step = (np.empty(step_count, np.int64) for _ in range(9))
    chain, best_chain, tried, ends, next_of_step, head, holder, come_from, queue = by_step
    return Scratch(
        stop=stop,
        chain=chain,
        best_chain=best_chain,
        nodes=new_nodes(step_count * taint_count, longest),
        best_of_taint=np.empty((taint_count, 3), np.int64),
        excluded=np.empty(len(rules.exclusions.after_step), np.int64),
        following=np.empty(len(rules.exclusions.after_step), np.int64),
        tried=tried,
        of_step=np.empty(longest * step_count if rules.is_any_order else 0, np.int64),
        ends=ends,
        next_of_step=next_of_step,
        head=head,
        holder=holder,
        come_from=come_from,
        queue=queue,
    )
