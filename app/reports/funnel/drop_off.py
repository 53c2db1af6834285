"""What became of those who stopped at a step: why they stopped, and what they did next."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.match.rules import Int64s
from app.mirror.scan import Scan
from app.reports.base import ReportResult
from app.reports.conditions import Params
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.next_events import EVENT, PAGE_PATH, find_next, top_counts
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.people import check_step, choose
from app.reports.funnel.people_rows import Outcome
from app.reports.funnel.questions import StepNumber
from app.reports.funnel.reasons import REASONS, ReasonName, Reasons, find_reasons
from app.reports.funnel.result import valid_until_us
from app.reports.funnel.steps import label_of
from app.reports.funnel.times import Durations, durations_of
from app.reports.tables import Table, table_of


class DropOffQuery(Params):
    step: Annotated[
        StepNumber, Field(description="number of the step, from 1, that was the last one reached; not the last of all")
    ]


class DropOffParams(BaseModel):
    funnel: FunnelParams
    query: DropOffQuery


class EventCount(BaseModel):
    event: str
    count: int


class ReasonCount(BaseModel):
    """ratio: of all who dropped. seconds_late: of those too late. excluded_by: the events that excluded, by name."""

    reason: ReasonName
    count: int
    ratio: float
    seconds_late: Durations | None
    excluded_by: list[EventCount]


class NextEvent(BaseModel):
    event: str
    count: int
    ratio: float


class NextPage(BaseModel):
    page_path: str
    count: int


class DropOffResult(ReportResult):
    """Of those who reached this step and not the next one. reasons: their counts add up to dropped_count.
    next_events, next_pages: the first event of any name, and the first page viewed, after the chain's last event and
    within the window; the 20 most frequent, then the others together, and those who did nothing."""

    step_number: int
    label: str
    dropped_count: int
    lost_count: int
    in_progress_count: int
    reasons: list[ReasonCount]
    next_events: list[NextEvent]
    next_pages: list[NextPage]

    def table(self) -> Table:
        """A row for each reason; the rest is left out."""
        return table_of(ReasonCount, (({}, each) for each in self.reasons))


class DropOffReport:
    name = "drop_off"
    Params = DropOffParams
    Result = DropOffResult

    def run(self, params: DropOffParams, scan: Scan, storefront: Storefront) -> DropOffResult:
        definition, step_number = params.funnel.definition(storefront), params.query.step
        include_bots = params.funnel.include_bots
        check_step(step_number, definition, drops=True)
        everybody = match_funnel(definition, scan, include_bots=include_bots)
        stopped = everybody.only(choose(everybody, step_number - 1, Outcome.DROPPED))
        following = find_next(stopped, scan, include_bots=include_bots)
        dropped_count, open_count = len(stopped.depth), int(stopped.is_open.sum())
        return DropOffResult(
            as_of=from_us(everybody.now_us),
            step_number=step_number,
            label=label_of(everybody, step_number - 1),
            dropped_count=dropped_count,
            lost_count=dropped_count - open_count,
            in_progress_count=open_count,
            reasons=_reason_counts(stopped, find_reasons(stopped, scan, include_bots=include_bots), scan),
            next_events=[
                NextEvent(event=name, count=count, ratio=count / dropped_count)
                for name, count in top_counts(following.event, EVENT, scan)
            ],
            next_pages=[
                NextPage(page_path=path, count=count)
                for path, count in top_counts(following.page_view, PAGE_PATH, scan)
            ],
            events_read=scan.events_read,
        ).stays_valid_until(valid_until_us(everybody, scan))


DROP_OFF = DropOffReport()


def _reason_counts(stopped: Attempts, reasons: Reasons, scan: Scan) -> list[ReasonCount]:
    """The largest first."""
    counts = np.bincount(reasons.code, minlength=len(REASONS)).tolist()
    late_us = reasons.late_us[reasons.code == REASONS.index(ReasonName.TOO_LATE)]
    found = [
        ReasonCount(
            reason=name,
            count=count,
            ratio=count / len(stopped.depth),
            seconds_late=durations_of(late_us) if name is ReasonName.TOO_LATE else None,
            excluded_by=_excluded_by(reasons.excluded_row, scan) if name is ReasonName.EXCLUDED else [],
        )
        for name, count in zip(REASONS, counts, strict=True)
        if count
    ]
    return sorted(found, key=lambda each: -each.count)


def _excluded_by(row: Int64s, scan: Scan) -> list[EventCount]:
    return [EventCount(event=name, count=count) for name, count in top_counts(row[row >= 0], EVENT, scan)]
