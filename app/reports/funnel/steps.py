"""How many reached each step, and what became of the others."""

from functools import partial
from itertools import islice

import numpy as np
from pydantic import BaseModel

from app.domain.funnel import Order, StepResult, step_results
from app.match.reach import Elapsed, Reach, reach_of
from app.match.rules import Int32s
from app.parallel import spread
from app.reports.funnel.matching import Attempts
from app.reports.funnel.times import Durations, durations_of
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
    everybody = np.zeros(len(attempts.depth), np.int32)
    return steps_by_group(attempts, everybody, 1, values)[0]


def steps_by_group(
    attempts: Attempts, group: Int32s, group_count: int, values: Values | None = None
) -> list[list[FunnelStep]]:
    """For each group the steps of its attempts. group: by attempt, from 0."""
    sequences, rules = attempts.sequences, attempts.rules
    reach = reach_of(attempts.chains, group, group_count, sequences.occurred_at_us, rules, attempts.now_us)
    durations = _durations(reach)
    groups = [
        [_step(attempts, index, *each) for index, each in enumerate(zip(step_results(*counts), of_group, strict=True))]
        for *counts, of_group in zip(reach.stopped.tolist(), reach.in_progress.tolist(), durations, strict=True)
    ]
    for index, step in enumerate(attempts.definition.steps):
        if step.optional:
            for each, done in zip(groups, _done(attempts, index, group, group_count), strict=True):
                each[index].done_count, each[index].done_ratio = done
        if values:
            for each, worth in zip(groups, step_values(attempts, index, group, group_count, values), strict=True):
                each[index].value, each[index].without_value_count = worth
    return groups


def _step(attempts: Attempts, index: int, counts: StepResult, durations: TwoDurations) -> FunnelStep:
    from_entry, from_previous = durations
    return FunnelStep(
        step_number=index + 1,
        label=label_of(attempts, index),
        reached_count=counts.reached_count,
        conversion_ratio=counts.conversion_ratio,
        step_conversion_ratio=counts.step_conversion_ratio,
        drop_off_count=counts.drop_off_count,
        lost_count=counts.lost_count,
        in_progress_count=counts.in_progress_count,
        drop_off_ratio=counts.drop_off_ratio,
        seconds_from_previous=from_previous,
        seconds_from_entry=from_entry,
    )


def _durations(reach: Reach) -> list[list[TwoDurations]]:
    """By group and index of the step."""
    elapsed = [(each, index == 0) for of_group in reach.elapsed for index, each in enumerate(of_group)]
    counts = [len(each.from_entry) for each, _ in elapsed]
    found = iter(spread([partial(_two_durations, *each) for each in elapsed], counts))
    return [[(None, None), *islice(found, len(of_group))] for of_group in reach.elapsed]


def _two_durations(elapsed: Elapsed, is_of_second_step: bool) -> TwoDurations:
    """Before the second step there is only the entry."""
    from_entry = durations_of(elapsed.from_entry)
    return from_entry, from_entry if is_of_second_step else durations_of(elapsed.from_previous)


def label_of(attempts: Attempts, index: int) -> str:
    """In any order a step number says how many steps, not which."""
    definition = attempts.definition
    if definition.order is Order.ANY_ORDER:
        return f"{index + 1} of {len(definition.steps)} steps"
    return definition.steps[index].label


def _done(attempts: Attempts, index: int, group: Int32s, group_count: int) -> list[tuple[int, float | None]]:
    """By group, how many did the optional step, and their share, of those who reached the next one that is not."""
    steps = attempts.definition.steps
    required = [later for later in range(index + 1, len(steps)) if not steps[later].optional]
    reached = attempts.reached(required[0] if required else index)
    did = reached[attempts.positions_of(reached, index) >= 0]
    whole, done = (np.bincount(group[some], minlength=group_count).tolist() for some in (reached, did))
    return [(count, count / of if of else None) for count, of in zip(done, whole, strict=True)]
