"""Actors' events written by hand, as the compiled passes take them, and what they make of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from app.match import chains as module
from app.match.chains import match_chains
from app.match.rules import NEVER, Chains, Exclusions, Int64s, Lanes, Rules, Sequences

A, B, C = 1, 2, 4  # masks of an event that matches the first, second, third step

Event = tuple[int, int] | tuple[int, int, int]  # time, mask, and the value of `same`
Chain = list[int | None]


class Exclusion(NamedTuple):
    """Events at these times, which stand at positions of the one actor there is."""

    after: int
    before: int
    times: tuple[int, ...]


def matched(*actors: Sequence[Event], is_stopped: bool = False, **options: Any) -> Chains:
    """Both ways where there are two of them, which must not differ. options: see `as_columns`."""
    asked = (*as_columns(*actors, **options), np.array([is_stopped], np.uint8))
    found = match_chains(*asked)
    with patch.object(module, "is_plain", return_value=False):
        assert told_by(found, asked[2]) == told_by(match_chains(*asked), asked[2])
    return found


def told_by(found: Chains, rules: Rules) -> list[list[int]]:
    """Until when a chain is open says nothing of one that is complete."""
    open_until_us = np.where(found.depth < rules.step_count, found.open_until_us, 0)
    return [column.tolist() for column in found._replace(open_until_us=open_until_us)]


def as_columns(
    *actors: Sequence[Event], steps: int = 3, exclude: Sequence[Exclusion] = (), **options: Any
) -> tuple[Sequences, Lanes, Rules]:
    """Each actor's events in order. Exclusions are for a single actor whose events are at different times.

    options: see `rules_of`.
    """
    events = [(*event, 0)[:3] for actor in actors for event in actor]
    at, mask, same = np.array(events, np.int64).reshape(-1, 3).T
    offsets = np.cumsum([0, *map(len, actors)]).astype(np.int64)
    rules = rules_of(steps, exclusions(exclude, at, steps), **options)
    sequences = Sequences(offsets, np.arange(len(at)), at.copy(), mask.astype(np.uint64))
    return sequences, lanes(offsets, mask, same), rules


def rules_of(
    steps: int,
    exclusions: Exclusions,
    *,
    window: int = 100,
    start: int = 0,
    end: int = 1000,
    within: Sequence[int | None] = (),
    not_before: Sequence[int] = (),
    optional: Sequence[bool] = (),
    is_strict: bool = False,
    is_any_order: bool = False,
    counts_entries: bool = False,
) -> Rules:
    return Rules(
        step_count=steps,
        start_us=start,
        end_us=end,
        window_us=window,
        is_strict=is_strict,
        is_any_order=is_any_order,
        counts_entries=counts_entries,
        within_us=np.array([NEVER if each is None else each for each in within or [None] * steps], np.int64),
        not_before_us=np.array(not_before or [0] * steps, np.int64),
        optional=np.array(optional or [False] * steps, np.bool_),
        exclusions=exclusions,
    )


def exclusions(exclude: Sequence[Exclusion], at: Int64s, steps: int) -> Exclusions:
    found = [np.flatnonzero(np.isin(at, each.times)) for each in exclude]
    limits = sorted({each.before for each in exclude if each.before - each.after > 1} | {steps})
    taints = [limits.index(each.before) if each.before - each.after > 1 else len(limits) - 1 for each in exclude]
    return Exclusions(
        np.array([each.after for each in exclude], np.int32),
        np.array([each.before for each in exclude], np.int32),
        np.cumsum([0, *map(len, found)]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int64), *found]),
        np.array(taints, np.int32),
        np.array(limits, np.int32),
    )


def lanes(offsets: Int64s, mask: Int64s, same: Int64s) -> Lanes:
    """Of the events that match a step."""
    if not same.any():
        return Lanes(*(np.zeros(0, np.int64) for _ in Lanes._fields))
    position = np.flatnonzero(mask)
    actor = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    in_lanes = position[np.lexsort((position, same[position], actor[position]))]
    place = np.full(len(same), -1, np.int64)
    place[in_lanes] = np.arange(len(in_lanes))
    return Lanes(np.searchsorted(position, offsets), in_lanes, same.copy(), place)


def positions(chains: Chains) -> list[list[int]]:
    """Of each reported chain; -1 for a step it skipped."""
    pairs = zip(chains.start, chains.depth, strict=True)
    return [chains.position[start : start + depth].tolist() for start, depth in pairs]


def times(chains: Chains, *actors: Sequence[Event]) -> list[Chain]:
    """When the events of each reported chain happened; None for a step it skipped."""
    at = [event[0] for actor in actors for event in actor]
    return [[None if position < 0 else at[position] for position in chain] for chain in positions(chains)]


def chains(*actors: Sequence[Event], **rules: Any) -> list[Chain]:
    """The times of each reported chain."""
    return times(matched(*actors, **rules), *actors)


def chain(*events: Event, **rules: Any) -> Chain:
    """Of the only actor, who entered."""
    (only,) = chains(list(events), **rules)
    return only
