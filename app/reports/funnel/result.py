"""The answer of a funnel report, made from one result per actor."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel

from app.domain.time_range import from_us
from app.mirror.scan import Scan
from app.reports.base import NEVER_US, ReportResult
from app.reports.funnel.between import Between
from app.reports.funnel.breakdown import Group
from app.reports.funnel.compare import Comparison
from app.reports.funnel.curve import CurvePoint
from app.reports.funnel.matching import Attempts
from app.reports.funnel.steps import FunnelStep, funnel_steps
from app.reports.funnel.times import Durations
from app.reports.funnel.trend import TrendPeriod
from app.reports.funnel.value import Values
from app.reports.tables import Cell, Table, table_of


class ReachedStep(BaseModel):
    """What is known of a step in a period."""

    step_number: int
    label: str
    reached_count: int


class FunnelResult(ReportResult):
    """groups, trend, compare, between and curve: null when they were not asked for."""

    steps: list[FunnelStep]
    seconds_to_convert: Durations | None
    groups: list[Group] | None = None
    trend: list[TrendPeriod] | None = None
    compare: Comparison | None = None
    between: list[Between] | None = None
    curve: list[CurvePoint] | None = None

    def table(self) -> Table:
        """A row for each step of the whole, of each group and of each period; the other leading cells are empty."""
        return table_of(FunnelStep, self._rows(), group=str, group_kind=str, period_start=datetime, complete=bool)

    def _rows(self) -> Iterator[tuple[dict[str, Cell], BaseModel]]:
        leading: dict[str, Cell] = {}
        yield from ((leading, step) for step in self.steps)
        for group in self.groups or []:
            leading = {"group": group.value, "group_kind": group.kind}
            yield from ((leading, step) for step in group.steps)
        for period in self.trend or []:
            leading = {"period_start": period.period_start, "complete": period.complete}
            for step, reached_count in zip(self.steps, period.reached_counts, strict=True):
                yield leading, ReachedStep(step_number=step.step_number, label=step.label, reached_count=reached_count)


def shape_funnel(attempts: Attempts, scan: Scan, values: Values | None = None) -> FunnelResult:
    steps = funnel_steps(attempts, values)
    return FunnelResult(
        as_of=from_us(attempts.now_us),
        events_read=scan.events_read,
        steps=steps,
        seconds_to_convert=steps[-1].seconds_from_entry,
    ).stays_valid_until(valid_until_us(attempts, scan))


def valid_until_us(attempts: Attempts, scan: Scan) -> int:
    """Until then time alone closes no window, nor comes to the `as_of` that was asked for."""
    asked_us = attempts.definition.as_of_us
    if asked_us is not None and asked_us <= scan.as_of_us:
        return NEVER_US
    open_until_us = attempts.chains.open_until_us[attempts.is_open]
    return int(open_until_us.min(initial=NEVER_US if asked_us is None else asked_us))
