"""Entries over time: how many came in each period, and how far they got."""

import numpy as np
from pydantic import AwareDatetime, BaseModel

from app.domain.funnel import FunnelDefinition
from app.domain.periods import Granularity, local, period_edges
from app.errors import FieldError, Invalid
from app.reports.base import NEVER_US
from app.reports.funnel.matching import Attempts

PERIODS_MAX = 1_000


class TrendPeriod(BaseModel):
    """Those who entered in [period_start, period_end). complete: all of them have had their whole conversion window.
    reached_counts: one per step."""

    period_start: AwareDatetime
    period_end: AwareDatetime
    complete: bool
    entered_count: int
    converted_count: int
    conversion_ratio: float | None
    reached_counts: list[int]


def trend_edges(definition: FunnelDefinition, granularity: Granularity, time_zone: str) -> list[int]:
    """Where the periods of the range begin, and last where it ends. Raises Invalid when there are too many."""
    fitting = [
        each
        for each in list(Granularity)[list(Granularity).index(granularity) :]
        if period_edges(definition.start_us, definition.end_us, each, time_zone, PERIODS_MAX)
    ]
    edges = period_edges(definition.start_us, definition.end_us, granularity, time_zone, PERIODS_MAX)
    if edges is None:
        advice = f"ask for `{fitting[0]}`" if fitting else "shorten the range"
        fault = f"The range has more than {PERIODS_MAX:,} periods of a {granularity}; {advice}."
        raise Invalid("The trend would have too many periods.", errors=[FieldError(fault, "/trend")])
    return edges


def trend_of(attempts: Attempts, edges: list[int], time_zone: str) -> list[TrendPeriod]:
    """By the entry of the reported chain. edges: of trend_edges, for the same definition."""
    period_count, step_count = len(edges) - 1, len(attempts.definition.steps)
    entry_us = attempts.times_us(attempts.positions(0))
    period = np.searchsorted(np.array(edges, np.int64), entry_us, side="right") - 1
    stopped = np.bincount(period * step_count + attempts.depth - 1, minlength=period_count * step_count)
    reached = stopped.reshape(period_count, step_count)[:, ::-1].cumsum(axis=1)[:, ::-1].tolist()
    return [
        TrendPeriod(
            period_start=local(start_us, time_zone),
            period_end=local(end_us, time_zone),
            complete=end_us + attempts.definition.conversion_window_us <= attempts.now_us,
            entered_count=counts[0],
            converted_count=counts[-1],
            conversion_ratio=counts[-1] / counts[0] if counts[0] else None,
            reached_counts=counts,
        )
        for start_us, end_us, counts in zip(edges[:-1], edges[1:], reached, strict=True)
    ]


def trend_until_us(attempts: Attempts, edges: list[int]) -> int:
    """The last instant before another period is complete."""
    if attempts.is_past:
        return NEVER_US
    completed_us = (edge + attempts.definition.conversion_window_us for edge in edges[1:])
    return next((us - 1 for us in completed_us if us > attempts.now_us), NEVER_US)
