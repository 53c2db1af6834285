"""Chains on their way: per step the ones that have come there, in the order of their last events."""

from typing import NamedTuple

import numpy as np

from app.match.compiled import compiled
from app.match.rules import Int32s, Int64s


class Nodes(NamedTuple):
    """A list of chains per step and taint (list = step * taint_count + taint), each in order of position.

    One element per list, then one row per list.
    length: of each list. position: of the chain's last event. entry: position of its first.
    same_entry: index of the first chain of the list with this entry, all between have it too.
    parent_list, parent: the chain without its last event; parent_list is -1 for an entry.
    """

    length: Int64s
    position: Int64s
    entry: Int64s
    same_entry: Int64s
    parent_list: Int32s
    parent: Int64s


def new_nodes(list_count: int, capacity: int) -> Nodes:
    """Empty lists for up to `capacity` chains each; what is not written to takes no memory."""
    shape = (list_count, capacity)
    return Nodes(
        np.zeros(list_count, np.int64),
        np.empty(shape, np.int64),
        np.empty(shape, np.int64),
        np.empty(shape, np.int64),
        np.empty(shape, np.int32),
        np.empty(shape, np.int64),
    )


@compiled
def append(nodes: Nodes, to: int, position: int, entry: int, parent_list: int, parent: int) -> None:
    index = nodes.length[to]
    is_same = index > 0 and nodes.entry[to, index - 1] == entry
    nodes.position[to, index] = position
    nodes.entry[to, index] = entry
    nodes.same_entry[to, index] = nodes.same_entry[to, index - 1] if is_same else index
    nodes.parent_list[to, index] = parent_list
    nodes.parent[to, index] = parent
    nodes.length[to] = index + 1


@compiled
def first_since(nodes: Nodes, which: int, low: int, high: int, since_us: int, times: Int64s) -> int:
    """Index of the first chain in [low, high) whose last event was at since_us or later; high when there is none."""
    while low < high:
        middle = (low + high) // 2
        if times[nodes.position[which, middle]] < since_us:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def first_from(nodes: Nodes, which: int, low: int, high: int, position: int) -> int:
    """Index of the first chain in [low, high) whose last event is at `position` or later; high when there is none."""
    while low < high:
        middle = (low + high) // 2
        if nodes.position[which, middle] < position:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def write_chain(nodes: Nodes, taint_count: int, which: int, index: int, chain: Int64s) -> None:
    """The positions of a chain's events by step, -1 for steps it skipped; as far as the step it has come to."""
    if which != -1:
        chain[: which // taint_count] = -1
    while which != -1:
        chain[which // taint_count] = nodes.position[which, index]
        which, index = nodes.parent_list[which, index], nodes.parent[which, index]


@compiled
def goes_first(nodes: Nodes, taint_count: int, one: int, index: int, other: int, other_index: int) -> bool:
    """Of two chains with the same entry, whether the one is to be reported: from the last step back, a step done
    rather than skipped, and as early as possible."""
    while one != -1:  # as long as the other, then
        step, other_step = one // taint_count, other // taint_count
        if step != other_step:
            return step > other_step
        position, other_position = nodes.position[one, index], nodes.position[other, other_index]
        if position != other_position:
            return bool(position < other_position)
        one, index = nodes.parent_list[one, index], nodes.parent[one, index]
        other, other_index = nodes.parent_list[other, other_index], nodes.parent[other, other_index]
    return False
