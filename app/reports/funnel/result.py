"""The answer of a funnel report, made from one result per person."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, BaseModel

from app.domain.funnel import FunnelDefinition, step_results
from app.domain.time_range import MICROSECONDS_PER_SECOND, from_us
from app.match.sequence import MatchResult
from app.mirror.scan import Scan


class Durations(BaseModel):
    """Of `count` persons; percentiles interpolate linearly between the two nearest."""

    count: int
    mean: float
    median: float
    p75: float
    p90: float
    p95: float
    min: float
    max: float


class FunnelStep(BaseModel):
    """Counts are persons. drop_off figures: those who did not reach the next step; null on the last one.
    seconds_*: of those who reached this step, null on the first one or when nobody did."""

    step_number: int
    label: str
    reached_count: int
    conversion_ratio: float | None
    step_conversion_ratio: float | None
    drop_off_count: int | None
    lost_count: int | None
    in_progress_count: int | None
    drop_off_ratio: float | None
    seconds_from_previous: Durations | None
    seconds_from_entry: Durations | None


class FunnelResult(BaseModel):
    """as_of: every event stored before it is in. seconds: time the answer took."""

    as_of: AwareDatetime
    events_read: int
    seconds: float = 0.0
    steps: list[FunnelStep]
    seconds_to_convert: Durations | None


def shape_funnel(definition: FunnelDefinition, found: MatchResult, scan: Scan) -> FunnelResult:
    from_entry = [_seconds_between(found, 0, index) for index in range(len(definition.steps))]
    steps = [
        FunnelStep(
            step_number=index + 1,
            label=definition.steps[index].label,
            reached_count=counts.reached_count,
            conversion_ratio=counts.conversion_ratio,
            step_conversion_ratio=counts.step_conversion_ratio,
            drop_off_count=counts.drop_off_count,
            lost_count=counts.lost_count,
            in_progress_count=counts.in_progress_count,
            drop_off_ratio=counts.drop_off_ratio,
            seconds_from_previous=from_entry[1] if index == 1 else _seconds_between(found, index - 1, index),
            seconds_from_entry=from_entry[index],
        )
        for index, counts in enumerate(_counts(definition, found, scan.as_of_us))
    ]
    return FunnelResult(
        as_of=from_us(scan.as_of_us),
        events_read=scan.events_read,
        steps=steps,
        seconds_to_convert=from_entry[-1],
    )


def _counts(definition: FunnelDefinition, found: MatchResult, as_of_us: int) -> list[Any]:
    step_count = len(definition.steps)
    # A window is open until as_of has passed its last instant, which still belongs to it.
    is_open = found.last_entry_us + definition.conversion_window_us >= as_of_us
    stopped = np.bincount(found.depth, minlength=step_count + 1)[1:]
    in_progress = np.bincount(found.depth[is_open], minlength=step_count + 1)[1:]
    return step_results(stopped.tolist(), [*in_progress.tolist()[:-1], 0])


def _seconds_between(found: MatchResult, earlier: int, later: int) -> Durations | None:
    """Between two steps (from 0) of the reported chains that reach the later one."""
    if later <= earlier or later < 1:
        return None
    starts = found.chain_start[found.depth > later]
    return _durations((found.chain_us[starts + later] - found.chain_us[starts + earlier]) / MICROSECONDS_PER_SECOND)


def _durations(seconds: npt.NDArray[np.float64]) -> Durations | None:
    if not len(seconds):
        return None
    median, p75, p90, p95 = np.percentile(seconds, [50, 75, 90, 95]).tolist()
    return Durations(
        count=len(seconds),
        mean=float(seconds.mean()),
        median=median,
        p75=p75,
        p90=p90,
        p95=p95,
        min=float(seconds.min()),
        max=float(seconds.max()),
    )
