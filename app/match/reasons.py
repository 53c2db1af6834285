"""Why chains went no further: compiled passes over those that stopped, each of which gets one reason.

What is looked at are the actor's events that match the step which the chain did not come to, the target. Each of them
says one thing (too late, another lane ...); of all they say, the first in the order of the codes is the reason.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from app.match.any_order import augment
from app.match.rules import NEVER, Chains, Exclusions, Int64s, Lanes, Rules, Sequences, UInt64s

UInt8s = npt.NDArray[np.uint8]

EXCLUDED, TOO_LATE, TOO_EARLY, OTHER_SAME, NOT_NEXT, BEFORE, NEVER_DONE = range(7)


class Whys(NamedTuple):
    """One element per chain. code: the reason. late_us: by how much the first event too late was.
    excluded_position: of the excluded event, or -1. missing: in any order, the steps that have no event, as bits."""

    code: UInt8s
    late_us: Int64s
    excluded_position: Int64s
    missing: UInt64s


def why_stopped(
    targets: Int64s, sequences: Sequences, lanes: Lanes, rules: Rules, chains: Chains, stop: UInt8s
) -> Whys:
    """targets: per chain the index of the step it did not come to. Ends early at stop[0]."""
    count = len(chains.depth)
    whys = Whys(
        np.full(count, NEVER_DONE, np.uint8),
        np.full(count, -1, np.int64),
        np.full(count, -1, np.int64),
        np.zeros(count, np.uint64),
    )
    if rules.is_any_order:
        _any_order(sequences, lanes, rules, chains, stop, whys)
        return whys
    for target in np.unique(targets).tolist():
        doing = np.flatnonzero((sequences.mask >> np.uint64(target)) & np.uint64(1))
        _in_order(target, np.flatnonzero(targets == target), doing, sequences, lanes, rules, chains, stop, whys)
    return whys


@njit(cache=True, nogil=True)
def _in_order(
    target: int,
    which: Int64s,
    doing: Int64s,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    chains: Chains,
    stop: UInt8s,
    whys: Whys,
) -> None:
    """Of the chains `which`. doing: the positions of all events that match the target, ascending."""
    times = sequences.occurred_at_us
    for index in which:
        if stop[0]:
            break
        actor, depth = chains.actor[index], chains.depth[index]
        chain = chains.position[chains.start[index] : chains.start[index] + depth]
        last = chain[depth - 1]
        due_us = min(times[chain[0]] + rules.window_us, times[last] + rules.within_us[target])
        excluded_at = _ended_at(chain[0], depth, rules.exclusions) if chains.open_until_us[index] == -NEVER else NEVER
        for x in range(len(rules.exclusions.after_step)):
            if rules.exclusions.before_step[x] == target:
                after = chain[rules.exclusions.after_step[x]]
                excluded_at = min(excluded_at, _first_excluded(x, after, rules.exclusions))
        following = np.searchsorted(doing, last, side="right")
        for at in range(following, len(doing)):
            position = doing[at]
            if position >= sequences.offsets[actor + 1]:
                break
            is_same = _is_same_lane(position, last, lanes)
            if times[position] > due_us:
                if is_same:
                    whys.late_us[index] = times[position] - due_us
                    _say(TOO_LATE, index, whys)
                    break
            elif not is_same:
                _say(OTHER_SAME, index, whys)
            elif times[position] - times[last] < rules.not_before_us[target]:
                _say(TOO_EARLY, index, whys)
            elif excluded_at < position:
                whys.excluded_position[index] = excluded_at
                _say(EXCLUDED, index, whys)
                break
            else:  # the steps are strict
                _say(NOT_NEXT, index, whys)
        since = chain[0] if rules.counts_entries else sequences.offsets[actor]
        if whys.code[index] == NEVER_DONE:
            for at in range(following - 1, -1, -1):
                if doing[at] < since or times[doing[at]] < rules.start_us:
                    break
                if _is_same_lane(doing[at], last, lanes) and not _is_in(doing[at], chain):
                    _say(BEFORE, index, whys)
                    break


@njit(cache=True, nogil=True)
def _any_order(sequences: Sequences, lanes: Lanes, rules: Rules, chains: Chains, stop: UInt8s, whys: Whys) -> None:
    """Each step without an event of its own is a target."""
    times, mask = sequences.occurred_at_us, sequences.mask
    for index in range(len(chains.depth)):
        if stop[0]:
            break
        actor = chains.actor[index]
        chain = chains.position[chains.start[index] : chains.start[index] + chains.depth[index]]
        missing = whys.missing[index] = _missing(chain, mask, rules.step_count)
        due_us = times[chain[0]] + rules.window_us
        since = chain[0] if rules.counts_entries else sequences.offsets[actor]
        for position in range(since, sequences.offsets[actor + 1]):
            if not mask[position] & missing or _is_in(position, chain):
                continue
            is_same = _is_same_lane(position, chain[0], lanes)
            if times[position] > due_us:
                if is_same:
                    whys.late_us[index] = times[position] - due_us
                    _say(TOO_LATE, index, whys)
                    break
            elif position > chain[0] and not is_same:
                _say(OTHER_SAME, index, whys)
            elif position < chain[0] and is_same and times[position] >= rules.start_us:
                _say(BEFORE, index, whys)


@njit(cache=True, nogil=True)
def _missing(chain: Int64s, mask: UInt64s, step_count: int) -> np.uint64:
    """The steps that are left when each event of the chain is given one of its own."""
    holder = np.full(step_count, -1, np.int64)
    come_from, queue = np.empty(step_count, np.int64), np.empty(step_count, np.int64)
    for position in chain:
        augment(position, mask, holder, come_from, queue)
    missing = np.uint64(0)
    for step in range(step_count):
        if holder[step] < 0:
            missing |= np.uint64(1) << np.uint64(step)
    return missing


@njit(cache=True, nogil=True)
def _say(code: int, index: int, whys: Whys) -> None:
    whys.code[index] = min(whys.code[index], code)


@njit(cache=True, nogil=True)
def _is_same_lane(position: int, other: int, lanes: Lanes) -> bool:
    return not len(lanes.offsets) or lanes.lane[position] == lanes.lane[other]


@njit(cache=True, nogil=True)
def _is_in(position: int, chain: Int64s) -> bool:
    for each in chain:  # noqa: SIM110  # any() is not compiled
        if each == position:
            return True
    return False


@njit(cache=True, nogil=True)
def _first_excluded(x: int, after: int, exclusions: Exclusions) -> int:
    """Position of the first event of exclusion x after a position; NEVER when there is none."""
    own = exclusions.position[exclusions.offsets[x] : exclusions.offsets[x + 1]]
    index = np.searchsorted(own, after, side="right")
    return own[index] if index < len(own) else NEVER


@njit(cache=True, nogil=True)
def _ended_at(entry: int, depth: int, exclusions: Exclusions) -> int:
    """Of an attempt that an excluded event ended, the position of that event."""
    ended_at = NEVER
    for x in range(len(exclusions.after_step)):
        if exclusions.after_step[x] == 0 and depth <= exclusions.before_step[x]:
            ended_at = min(ended_at, _first_excluded(x, entry, exclusions))
    return ended_at
