"""The funnel of each value of a property or a dimension, and how sure it is that one converts unlike the others."""

from functools import partial
from heapq import nsmallest
from typing import Literal

import numpy as np
from pydantic import BaseModel

from app.domain.statistics import benjamini_hochberg, two_proportions
from app.match.rules import Int32s
from app.mirror.columns import Texts
from app.mirror.scan import Scan
from app.parallel import at_once, parts_of, split_evenly
from app.reports.funnel.first_touch import first_touch_rows
from app.reports.funnel.matching import Attempts
from app.reports.funnel.questions import BreakdownParams, Of
from app.reports.funnel.steps import FunnelStep, steps_by_group
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
    if asked.step is not None:
        attempts = attempts.only(attempts.positions(asked.step - 1) >= 0)
    column = scan.column(asked.subject())
    codes = _codes(attempts, asked, scan, column.codes, include_bots=include_bots)
    named, group = _grouped(codes, column.texts, asked.limit)
    steps = steps_by_group(attempts, group, len(named), values)
    found = [(*name, of_group) for name, of_group in zip(named, steps, strict=True) if of_group[0].reached_count]
    significances = _significances([(each[0].reached_count, each[-1].reached_count) for _, _, each in found])
    return [
        Group(value=value, kind=kind, steps=each, conversion_ratio=each[-1].conversion_ratio, significance=significance)
        for (value, kind, each), significance in zip(found, significances, strict=True)
    ]


def _codes(
    attempts: Attempts, asked: BreakdownParams, scan: Scan, code_of_row: Int32s, *, include_bots: bool
) -> Int32s:
    """Of each attempt."""
    if asked.of is Of.FIRST_TOUCH:
        return code_of_row[first_touch_rows(attempts, scan, include_bots=include_bots)]
    step_index = asked.step - 1 if asked.step else 0

    def codes_of(first: int, last: int) -> Int32s:
        rows = attempts.rows(attempts.positions_of(slice(first, last), step_index))
        return code_of_row.take(attempts.events.row_number[rows])

    # In threads, as the codes are looked up at random.
    count = len(attempts.depth)
    return np.concatenate(at_once([partial(codes_of, *part) for part in split_evenly(count, parts_of(count))]))


def _grouped(codes: Int32s, texts: Texts, limit: int) -> tuple[list[tuple[str, Kind]], Int32s]:
    """The groups, that of the others and that of no value last, whether anybody is in them or not; and of each attempt
    the number of its group. codes: of each attempt."""
    largest = _largest(codes, texts, limit)
    named: list[tuple[str, Kind]] = [(text, "value") for text in largest.values()]
    group_of_code = np.full(len(texts) + 1, len(largest), np.int32)  # the last is that of no value, whose code is -1
    group_of_code[list(largest)] = np.arange(len(largest))
    group_of_code[-1] = len(largest) + 1
    return [*named, (OTHER, "other"), (NOT_SET, "not_set")], group_of_code[codes]


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
