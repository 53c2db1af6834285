"""The funnel of each value of a property or a dimension, and how sure it is that one converts unlike the others."""

from collections.abc import Iterator
from functools import partial
from heapq import nsmallest
from typing import Literal

import numpy as np
from pydantic import BaseModel

from app.domain.statistics import benjamini_hochberg, two_proportions
from app.match.rules import Int32s, Int64s
from app.mirror.columns import Texts
from app.mirror.scan import Scan
from app.parallel import spread
from app.reports.funnel.first_touch import first_touch_rows
from app.reports.funnel.matching import Attempts
from app.reports.funnel.questions import BreakdownParams, Of
from app.reports.funnel.steps import FunnelStep, funnel_steps
from app.reports.funnel.value import Values

OTHER, NOT_SET = "(other)", "(not set)"
SIGNIFICANT_BELOW = 0.05  # adjusted p-value: one in twenty of the groups called significant is a false alarm

Kind = Literal["value", "other", "not_set"]


class Significance(BaseModel):
    """Whether the group converts unlike all the others together. p_value_adjusted: for the number of groups."""

    p_value: float
    p_value_adjusted: float
    is_significant: bool


class Group(BaseModel):
    """kind tells a value that reads `(other)` from all the others. significance: null when there is no other group."""

    value: str
    kind: Kind
    steps: list[FunnelStep]
    conversion_ratio: float | None
    significance: Significance | None


def groups_of(
    attempts: Attempts, asked: BreakdownParams, scan: Scan, values: Values | None, *, include_bots: bool
) -> list[Group]:
    """The values most who entered have, largest group first; then the other values, and those without one.

    Of the event of a step: only those who have one.
    """
    if asked.of is Of.FIRST_TOUCH:
        row_numbers = first_touch_rows(attempts, scan, include_bots=include_bots)
    else:
        if asked.step is not None:
            attempts = attempts.only(attempts.positions(asked.step - 1) >= 0)
        positions = attempts.positions_of(slice(None), asked.step - 1 if asked.step else 0)
        row_numbers = attempts.events.row_number[attempts.rows(positions)]
    column = scan.column(asked.subject())
    parts = list(_parts(column.codes[row_numbers], column.texts, asked.limit))
    steps = spread(
        [partial(_steps_of, attempts, members, values) for _, _, members in parts],
        [len(members) for _, _, members in parts],
    )
    significances = _significances([(each[0].reached_count, each[-1].reached_count) for each in steps])
    return [
        Group(
            value=value, kind=kind, steps=found, conversion_ratio=found[-1].conversion_ratio, significance=significance
        )
        for (value, kind, _), found, significance in zip(parts, steps, significances, strict=True)
    ]


def _steps_of(attempts: Attempts, members: Int64s, values: Values | None) -> list[FunnelStep]:
    return funnel_steps(attempts.only(members), values)


def _parts(codes: Int32s, texts: Texts, limit: int) -> Iterator[tuple[str, Kind, Int64s]]:
    """The attempts that have each of the largest values, another one, or none; where there are any. codes: of each."""
    largest = _largest(codes, texts, limit)
    other, not_set = len(largest), len(largest) + 1
    group_of_code = np.full(len(texts) + 1, other, np.int16)  # the last is that of no value, whose code is -1
    group_of_code[list(largest)] = np.arange(len(largest))
    group_of_code[-1] = not_set
    group = group_of_code[codes]
    by_group = np.argsort(group, kind="stable")
    bounds = np.cumsum([0, *np.bincount(group, minlength=not_set + 1)]).tolist()
    named: list[tuple[str, Kind]] = [(text, "value") for text in largest.values()]
    for number, (value, kind) in enumerate([*named, (OTHER, "other"), (NOT_SET, "not_set")]):
        members = by_group[bounds[number] : bounds[number + 1]]
        if len(members):
            yield value, kind, members


def _largest(codes: Int32s, texts: Texts, limit: int) -> dict[int, str]:
    """Text by code of the most frequent ones, in the order of their number, then of their text."""
    counts = np.bincount(codes + 1)[1:]  # without those that have none, whose code is -1
    used = np.flatnonzero(counts)
    if len(used) > limit:
        least = np.partition(counts[used], -limit)[-limit]
        used = used[counts[used] >= least]
    candidates = zip((-counts[used]).tolist(), texts.array.take(used).to_pylist(), used.tolist(), strict=True)
    return {code: text for _, text, code in nsmallest(limit, candidates)}


def _significances(counts: list[tuple[int, int]]) -> list[Significance | None]:
    """counts: per group how many entered, and how many of them converted."""
    all_entered, all_converted = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    p_values = [
        two_proportions(converted, entered, all_converted - converted, all_entered - entered)
        for entered, converted in counts
    ]
    return [
        None
        if p_value is None or adjusted is None
        else Significance(p_value=p_value, p_value_adjusted=adjusted, is_significant=adjusted < SIGNIFICANT_BELOW)
        for p_value, adjusted in zip(p_values, benjamini_hochberg(p_values), strict=True)
    ]
