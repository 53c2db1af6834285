"""Follows all chains of one actor at once, steps in order (semantics, section 3, rules 2, 3, 5 and 6).

A chain with a later entry and a later last event can do whatever another one can. So of the chains that have come to
a step the latest is enough, but for rules that can make an older one the better (Plan.looks_at_all).
"""

from typing import NamedTuple

import numpy as np

from app.match.compiled import compiled
from app.match.nodes import Nodes, append, first_from, first_since, goes_first, write_chain
from app.match.rules import NEVER, Bools, Exclusions, Int64s, Lanes, Rules, Sequences, UInt64s
from app.match.scratch import Followed, Scratch


class Plan(NamedTuple):
    """looks_at_all: an older chain at a step may do what the latest one can't. keeps_all: per step, whether more than
    the first of the chains with the same entry must be kept."""

    looks_at_all: bool
    keeps_all: Bools


def plan_for(rules: Rules) -> Plan:
    exclusions = rules.exclusions
    has_within = rules.within_us != NEVER
    looks_at_all = len(exclusions.limits) > 1 or bool(rules.optional.any() and has_within.any())
    keeps_all = np.full(rules.step_count, rules.is_strict or looks_at_all)
    keeps_all[:-1] |= has_within[1:]
    keeps_all[exclusions.after_step] = True
    return Plan(looks_at_all, keeps_all)


@compiled
def follow(
    place: int,
    place_end: int,
    attempt_end: int,
    sequences: Sequences,
    lanes: Lanes,
    rules: Rules,
    plan: Plan,
    scratch: Scratch,
) -> Followed:
    """Follow the chains of one lane, which has the places [place, place_end), and write the one to report to `chain`.

    attempt_end: -1, or for an attempt, whose only entry is the event at `place`, the first position after its window;
    place_end is not after it then.
    """
    times, mask, exclusions, nodes = sequences.occurred_at_us, sequences.mask, rules.exclusions, scratch.nodes
    has_lanes, is_attempt, is_bound = bool(len(lanes.offsets)), attempt_end != -1, bool(len(exclusions.after_step))
    entry_list = len(exclusions.limits) - 1  # of clean chains at the first step
    first_position = lanes.position[place] if has_lanes else place
    if is_bound:
        _begin_excluded(first_position, exclusions, scratch.excluded, scratch.following)
    depth, last_entry, reported_list, reported = 0, -1, -1, -1
    nodes.length[:] = 0

    for i in range(place, place_end):
        position = lanes.position[i] if has_lanes else i
        if scratch.stop[0]:
            break
        if is_bound:
            _pass_excluded(position, exclusions, scratch.excluded, scratch.following)
            if is_attempt:
                excluded_at = _attempt_ended_at(first_position, depth, exclusions)
                if excluded_at < position:
                    write_chain(nodes, entry_list + 1, reported_list, reported, scratch.chain)
                    return Followed(depth, first_position, excluded_at)
        steps = mask[position]
        # From the last step down, so that the event is not used for two steps of one chain.
        for step in range(rules.step_count - 1, 0, -1):
            if not (steps >> np.uint64(step)) & np.uint64(1):
                continue
            if plan.looks_at_all:
                come_to = _extend_any(step, position, times, rules, nodes, scratch.excluded, scratch.best_of_taint)
            else:
                come_to = _extend_latest(step, position, times, rules, plan, nodes, scratch.excluded)
            if come_to != -1 and step >= depth:
                depth, reported_list, reported = step + 1, come_to, nodes.length[come_to] - 1
        if i == place if is_attempt else is_entry(position, times, mask, rules):
            last_entry = position
            append(nodes, entry_list, position, position, -1, -1)
            if depth == 0:
                depth, reported_list, reported = 1, entry_list, nodes.length[entry_list] - 1
        if depth == rules.step_count:
            break
    write_chain(nodes, entry_list + 1, reported_list, reported, scratch.chain)
    if is_attempt:
        excluded_at = _attempt_ended_at(first_position, depth, exclusions)
        if excluded_at < attempt_end:
            return Followed(depth, last_entry, excluded_at)
    return Followed(depth, last_entry, -1)


@compiled
def is_entry(position: int, times: Int64s, mask: UInt64s, rules: Rules) -> bool:
    return bool(mask[position] & np.uint64(1)) and rules.start_us <= times[position] < rules.end_us


@compiled
def _extend_latest(
    step: int, position: int, times: Int64s, rules: Rules, plan: Plan, nodes: Nodes, excluded: Int64s
) -> int:
    """Where the latest chain that the event can take to `step` is put: its list (= step); -1 when there is none.

    One list per step: no exclusion spans more than two steps. Later chains of a list have later entries.
    """
    at, within_us = times[position], rules.within_us[step]
    best_list, best, best_entry, since = -1, -1, -1, -1
    which = step
    while which == step or rules.optional[which]:
        which -= 1
        index = nodes.length[which] - 1
        if rules.not_before_us[step]:
            index = first_since(nodes, which, 0, index + 1, at - rules.not_before_us[step] + 1, times) - 1
        if index < 0:
            continue
        last, entry = nodes.position[which, index], nodes.entry[which, index]
        if entry <= best_entry or at - times[entry] > rules.window_us or at - times[last] > within_us:
            continue
        if rules.is_strict and last != position - 1:
            continue
        barrier = 0
        for x in range(len(excluded)):
            if rules.exclusions.after_step[x] == which:
                barrier = max(barrier, excluded[x])
        if last < barrier:
            continue
        best_list, best, best_entry, since = which, index, entry, barrier
    if best_list == -1:
        return -1
    length = nodes.length[step]
    if not plan.keeps_all[step] and length and nodes.entry[step, length - 1] >= best_entry:
        return step  # the chain that got here with this entry first stays
    if plan.keeps_all[best_list] and not rules.is_strict:
        earliest = first_since(nodes, best_list, nodes.same_entry[best_list, best], best, at - within_us, times)
        best = first_from(nodes, best_list, earliest, best, since)
    append(nodes, step, position, best_entry, best_list, best)
    return step


@compiled
def _extend_any(
    step: int, position: int, times: Int64s, rules: Rules, nodes: Nodes, excluded: Int64s, best: Int64s
) -> int:
    """As `_extend_latest`, looking at every chain that can go on: the best of each taint is put into its list.

    Returns the list of the one with the latest entry.
    """
    at, taint_count = times[position], len(rules.exclusions.limits)
    since_us = at - min(rules.within_us[step], rules.window_us)
    best[:] = -1  # per taint: entry, the list of the chain before, its index there
    which = step
    while which == step or rules.optional[which]:
        which -= 1
        for taint in range(taint_count):
            if rules.exclusions.limits[taint] <= step:
                continue
            source = which * taint_count + taint
            length = nodes.length[source]
            low = first_since(nodes, source, 0, length, since_us, times)
            high = first_since(nodes, source, low, length, at - rules.not_before_us[step] + 1, times)
            for index in range(low, high):
                last, entry = nodes.position[source, index], nodes.entry[source, index]
                if at - times[entry] > rules.window_us or (rules.is_strict and last != position - 1):
                    continue
                to = _taint(which, step, last, taint, rules.exclusions, excluded)
                if to != -1 and (
                    entry > best[to, 0]
                    or (
                        entry == best[to, 0] and goes_first(nodes, taint_count, source, index, best[to, 1], best[to, 2])
                    )
                ):
                    best[to, 0], best[to, 1], best[to, 2] = entry, source, index
    come_to, latest = -1, -1
    for to in range(taint_count):
        if best[to, 0] == -1:
            continue
        append(nodes, step * taint_count + to, position, best[to, 0], best[to, 1], best[to, 2])
        if (
            latest == -1
            or best[to, 0] > best[latest, 0]
            or (
                best[to, 0] == best[latest, 0]
                and goes_first(nodes, taint_count, best[to, 1], best[to, 2], best[latest, 1], best[latest, 2])
            )
        ):
            come_to, latest = step * taint_count + to, to
    return come_to


@compiled
def _taint(which: int, step: int, last: int, taint: int, exclusions: Exclusions, excluded: Int64s) -> int:
    """The taint of a chain whose event for step `which` is at `last`, when it goes on to `step`; -1: it can't."""
    for x in range(len(excluded)):
        after, before = exclusions.after_step[x], exclusions.before_step[x]
        if not after <= which < before:
            continue
        # The event of the step `after` is no hindrance to itself; that of a step between is.
        if excluded[x] > last or (excluded[x] == last and after < which):
            if before == step:
                return -1
            taint = min(taint, exclusions.taint[x])
    return taint


@compiled
def _begin_excluded(position: int, exclusions: Exclusions, excluded: Int64s, following: Int64s) -> None:
    """What lies before `position` is of no concern."""
    for x in range(len(excluded)):
        start, end = exclusions.offsets[x], exclusions.offsets[x + 1]
        following[x] = start + np.searchsorted(exclusions.position[start:end], position)
        excluded[x] = -1


@compiled
def _pass_excluded(position: int, exclusions: Exclusions, excluded: Int64s, following: Int64s) -> None:
    """Move on to `position`."""
    for x in range(len(excluded)):
        while following[x] < exclusions.offsets[x + 1] and exclusions.position[following[x]] < position:
            excluded[x] = exclusions.position[following[x]]
            following[x] += 1


@compiled
def _attempt_ended_at(entry: int, depth: int, exclusions: Exclusions) -> int:
    """Position of the first event that no chain of the attempt may have before a step it has not come to; or NEVER."""
    ended_at = NEVER
    for x in range(len(exclusions.after_step)):
        if exclusions.after_step[x] > 0 or depth > exclusions.before_step[x]:
            continue
        own = exclusions.position[exclusions.offsets[x] : exclusions.offsets[x + 1]]
        index = np.searchsorted(own, entry, side="right")
        if index < len(own):
            ended_at = min(ended_at, own[index])
    return ended_at
