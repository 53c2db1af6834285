"""How many reached each step, and what became of the others."""

from functools import partial

import numpy as np
from pydantic import BaseModel

from app.domain.funnel import Order, StepResult, step_results
from app.parallel import spread
from app.reports.funnel.matching import Attempts
from app.reports.funnel.times import Durations, durations_between
from app.reports.funnel.value import StepValue, Values, step_values

# From the entry, and from the step before.
TwoDurations = tuple[Durations | None, Durations | None]


class FunnelStep(BaseModel):
    """Counts are actors, or attempts with `count: "entries"`. drop_off figures: those who did not reach the next step;
    null on the last one. seconds_*: of those who have an event for the step, null on the first one or when nobody has.
    done_count: of an optional step, of those who reached the next one that is not, how many did not skip it.
    value: null when it was not asked for. without_value_count: events of the step that add nothing to it."""

    step_number: int
    label: str
    reached_count: int
    conversion_ratio: float | None
    step_conversion_ratio: float | None
    drop_off_count: int | None
    lost_count: int | None
    in_progress_count: int | None
    drop_off_ratio: float | None
    done_count: int | None = None
    done_ratio: float | None = None
    seconds_from_previous: Durations | None
    seconds_from_entry: Durations | None
    value: list[StepValue] | None = None
    without_value_count: int | None = None


def funnel_steps(attempts: Attempts, values: Values | None = None) -> list[FunnelStep]:
    steps = []
    counted = step_counts(attempts)
    timed = range(1, len(counted))
    durations = spread(
        [partial(_durations, attempts, index) for index in timed],
        [counted[index].reached_count for index in timed],
    )
    for index, (counts, (from_entry, from_previous)) in enumerate(
        zip(counted, [(None, None), *durations], strict=True)
    ):
        done_count, done_ratio = _done(attempts, index)
        value, without_value_count = (
            step_values(attempts, index, attempts.positions(index), values) if values else (None, None)
        )
        steps.append(
            FunnelStep(
                step_number=index + 1,
                label=label_of(attempts, index),
                reached_count=counts.reached_count,
                conversion_ratio=counts.conversion_ratio,
                step_conversion_ratio=counts.step_conversion_ratio,
                drop_off_count=counts.drop_off_count,
                lost_count=counts.lost_count,
                in_progress_count=counts.in_progress_count,
                drop_off_ratio=counts.drop_off_ratio,
                done_count=done_count,
                done_ratio=done_ratio,
                seconds_from_previous=from_previous,
                seconds_from_entry=from_entry,
                value=value,
                without_value_count=without_value_count,
            )
        )
    return steps


def _durations(attempts: Attempts, index: int) -> TwoDurations:
    """From the entry to the step, and from the chain's step before, which may not be the one before in the list."""
    reached = attempts.reached(index)
    positions = attempts.positions_of(reached, index)
    from_entry = durations_between(attempts, attempts.positions_of(reached, 0), positions)
    if index == 1:
        return from_entry, from_entry
    earlier = index - 1
    previous = attempts.positions_of(reached, earlier)
    while (previous < 0).any():
        earlier -= 1
        previous = np.where(previous < 0, attempts.positions_of(reached, earlier), previous)
    return from_entry, durations_between(attempts, previous, positions)


def label_of(attempts: Attempts, index: int) -> str:
    """In any order a step number says how many steps, not which."""
    definition = attempts.definition
    if definition.order is Order.ANY_ORDER:
        return f"{index + 1} of {len(definition.steps)} steps"
    return definition.steps[index].label


def step_counts(attempts: Attempts) -> list[StepResult]:
    step_count = len(attempts.definition.steps)
    stopped = np.bincount(attempts.depth, minlength=step_count + 1)[1:]
    in_progress = np.bincount(attempts.depth[attempts.is_open], minlength=step_count + 1)[1:]
    return step_results(stopped.tolist(), in_progress.tolist())


def _done(attempts: Attempts, index: int) -> tuple[int | None, float | None]:
    steps = attempts.definition.steps
    if not steps[index].optional:
        return None, None
    required = [later for later in range(index + 1, len(steps)) if not steps[later].optional]
    reached = attempts.depth > (required[0] if required else index)
    whole = int(reached.sum())
    done = int((attempts.positions(index)[reached] >= 0).sum())
    return done, done / whole if whole else None
