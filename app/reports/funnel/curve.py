"""The share that has converted by the time since the entry, when some have only just entered (Kaplan-Meier)."""

from dataclasses import asdict

import numpy as np
from pydantic import BaseModel

from app.domain.statistics import ROUND_SECONDS, conversion_curve
from app.domain.time_range import MICROSECONDS_PER_SECOND
from app.reports.base import NEVER_US
from app.reports.funnel.matching import Attempts

EVEN_POINTS_MAX = 40  # beside these, up to 20 round times show the first minutes, in which most convert


class CurvePoint(BaseModel):
    """seconds: since the entry of the reported chain. at_risk_count: had not converted just before, and had entered at
    least that long ago. Ratios are null where nobody had, the band (95 %) also where nobody or everybody has converted.
    """

    seconds: float
    at_risk_count: int
    converted_count: int
    conversion_ratio: float | None
    low_ratio: float | None
    high_ratio: float | None


def curve_of(attempts: Attempts) -> list[CurvePoint]:
    """Who has not converted is watched for as long as they could have been: until now, or until their window closed.

    That goes for an attempt that an excluded event ended, too. It can't convert any more, but to take it out then
    would be to say that it would have done as well as those who stayed: the curve would end above the conversion
    that is counted. And to keep it longer than others who entered at that time would make it count for more than
    them. As it is, those at risk at any time are all who entered at least that long ago and have not converted, and
    where every window has closed the curve ends at conversion_ratio.
    """
    definition = attempts.definition
    entry_us = attempts.times_us(attempts.positions(0))
    last = attempts.positions(len(definition.steps) - 1)
    has_converted = last >= 0
    watched_us = np.clip(attempts.now_us - entry_us, 0, definition.conversion_window_us)
    watched_us[has_converted] = attempts.times_us(last[has_converted]) - entry_us[has_converted]
    spans_us, place = np.unique(watched_us, return_inverse=True)
    points = conversion_curve(
        (spans_us / MICROSECONDS_PER_SECOND).tolist(),
        np.bincount(place[has_converted], minlength=len(spans_us)).tolist(),
        np.bincount(place[~has_converted], minlength=len(spans_us)).tolist(),
        curve_times(definition.conversion_window_us // MICROSECONDS_PER_SECOND),
    )
    return [CurvePoint(**asdict(point)) for point in points]


def curve_until_us(attempts: Attempts) -> int:
    """The curve changes all the time until the windows of all who have not converted are closed."""
    if attempts.is_past:
        return NEVER_US
    waiting = attempts.only(attempts.depth < len(attempts.definition.steps))
    closed_us = waiting.times_us(waiting.positions(0)) + attempts.definition.conversion_window_us
    return NEVER_US if (closed_us <= attempts.now_us).all() else attempts.now_us


def curve_times(window_seconds: int) -> list[int]:
    """About 60 at most: round ones, closer together at the beginning, and even ones up to the window."""
    width = next(each for each in ROUND_SECONDS[1:] if window_seconds <= each * EVEN_POINTS_MAX)
    round_ones = (each for each in ROUND_SECONDS if each < window_seconds)
    return sorted({*round_ones, *range(0, window_seconds, width), window_seconds})
