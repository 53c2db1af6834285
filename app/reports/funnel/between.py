"""How the times between two steps are spread."""

import numpy as np
from pydantic import BaseModel

from app.domain.statistics import nice_edges
from app.domain.time_range import MICROSECONDS_PER_SECOND
from app.reports.funnel.matching import Attempts
from app.reports.funnel.questions import BetweenParams
from app.reports.funnel.times import Durations, durations_of, elapsed_between

BINS_MAX = 20


class Bin(BaseModel):
    """from_seconds <= t < to_seconds; the last one includes its end."""

    from_seconds: int
    to_seconds: int
    count: int


class Between(BaseModel):
    """Of those who have an event for both steps; null, and no histogram, when nobody has."""

    from_step: int
    to_step: int
    seconds: Durations | None
    histogram: list[Bin]


def between_steps(attempts: Attempts, asked: BetweenParams) -> Between:
    earlier, later = (attempts.positions(number - 1) for number in (asked.from_step, asked.to_step))
    elapsed_us = elapsed_between(attempts, earlier, later)
    histogram = []
    if len(elapsed_us):
        seconds = elapsed_us / MICROSECONDS_PER_SECOND
        edges = nice_edges(float(seconds.min()), float(seconds.max()), BINS_MAX)
        counts, _ = np.histogram(seconds, edges)
        histogram = [
            Bin(from_seconds=first, to_seconds=last, count=count)
            for first, last, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
        ]
    return Between(
        from_step=asked.from_step, to_step=asked.to_step, seconds=durations_of(elapsed_us), histogram=histogram
    )
