"""How far the chains of each group came, and how long it took them."""

from functools import partial
from typing import NamedTuple

import numpy as np

from app.match.compiled import compiled
from app.match.rules import Chains, Int32s, Int64s, Rules
from app.parallel import at_once, parts_of, split_evenly

SKIPPED = -1  # in place of a time


class Elapsed(NamedTuple):
    """Microseconds, of the chains that have an event for a step.

    from_previous: from the event before in the chain, which may not be that of the step before.
    """

    from_entry: Int64s
    from_previous: Int64s


class Reach(NamedTuple):
    """By group and index of the step. in_progress: those of `stopped` that could still go further.

    elapsed: of a group, one for each step but the first.
    """

    stopped: Int64s
    in_progress: Int64s
    elapsed: list[list[Elapsed]]


def reach_of(
    chains: Chains, group: Int32s, group_count: int, occurred_at_us: Int64s, rules: Rules, now_us: int
) -> Reach:
    """group: by chain. occurred_at_us: by position. now_us: what is open then is in progress."""
    parts = split_evenly(len(chains.depth), parts_of(len(chains.depth)))
    shape = (group_count, rules.step_count)
    counts = at_once([partial(_counted, *part, shape, chains, group, now_us) for part in parts])
    stopped = np.stack([part[0] for part in counts], axis=2)
    reached = np.cumsum(stopped[:, ::-1], axis=1)[:, ::-1]
    # A group's times to a step lie together: those of the first part, then those of the second ...
    ends = np.cumsum(reached[:, 1:]).reshape(group_count, rules.step_count - 1, len(parts))
    room = Elapsed(*(np.empty(int(reached[:, 1:].sum()), np.int64) for _ in Elapsed._fields))
    at_once(
        [
            partial(_fill, *part, chains, group, occurred_at_us, ends[:, :, place] - reached[:, 1:, place], room)
            for place, part in enumerate(parts)
        ]
    )
    starts = ends[:, :, -1] - reached[:, 1:].sum(axis=2)
    elapsed = [
        [_of_step(room, *each) for each in zip(first, last, rules.optional[1:].tolist(), strict=True)]
        for first, last in zip(starts.tolist(), ends[:, :, -1].tolist(), strict=True)
    ]
    return Reach(stopped.sum(axis=2), np.sum([part[1] for part in counts], axis=0), elapsed)


def _of_step(room: Elapsed, start: int, end: int, is_optional: bool) -> Elapsed:
    some = Elapsed(*(column[start:end] for column in room))
    return Elapsed(*(column[column != SKIPPED] for column in some)) if is_optional else some


def _counted(
    first: int, last: int, shape: tuple[int, int], chains: Chains, group: Int32s, now_us: int
) -> tuple[Int64s, Int64s]:
    stopped, in_progress = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    _count(first, last, chains, group, now_us, stopped, in_progress)
    return stopped, in_progress


@compiled
def _count(
    first: int, last: int, chains: Chains, group: Int32s, now_us: int, stopped: Int64s, in_progress: Int64s
) -> None:
    """Of the chains [first, last)."""
    for chain in range(first, last):
        step = chains.depth[chain] - 1
        stopped[group[chain], step] += 1
        if step + 1 < stopped.shape[1] and chains.open_until_us[chain] >= now_us:
            in_progress[group[chain], step] += 1


@compiled
def _fill(
    first: int, last: int, chains: Chains, group: Int32s, occurred_at_us: Int64s, following: Int64s, room: Elapsed
) -> None:
    """Of the chains [first, last). following: by group and step, from the second on, where the next time goes."""
    for chain in range(first, last):
        if chains.depth[chain] == 1:
            continue
        start, of_group = chains.start[chain], group[chain]
        entered_at_us = occurred_at_us[chains.position[start]]
        before_us = entered_at_us
        for later in range(chains.depth[chain] - 1):
            position = chains.position[start + 1 + later]
            place = following[of_group, later]
            following[of_group, later] = place + 1
            if position < 0:
                room.from_entry[place] = SKIPPED
                room.from_previous[place] = SKIPPED
                continue
            at_us = occurred_at_us[position]
            room.from_entry[place] = at_us - entered_at_us
            room.from_previous[place] = at_us - before_us
            before_us = at_us
