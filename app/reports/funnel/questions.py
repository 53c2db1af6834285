"""What can be asked about a funnel beside its steps, as a request describes it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from app.domain.funnel import STEPS_MAX
from app.domain.periods import Granularity
from app.errors import FieldError
from app.reports.conditions import Name, Params, SubjectParams

BETWEEN_MAX = 10
GROUPS_MAX = 100

StepNumber = Annotated[int, Field(ge=1, le=STEPS_MAX)]


class Of(StrEnum):
    """Which event the value of a breakdown is taken from: the entry, that of a step, or the person's first one ever."""

    ENTRY = "entry"
    STEP = "step"
    FIRST_TOUCH = "first_touch"


class BreakdownParams(SubjectParams):
    """limit: groups beside `(other)` and `(not set)`."""

    of: Of = Of.ENTRY
    step: StepNumber | None = None
    limit: Annotated[int, Field(ge=1, le=GROUPS_MAX)] = 10

    @model_validator(mode="after")
    def _step_where_it_is_asked_for(self) -> Self:
        if (self.of is Of.STEP) != (self.step is not None):
            raise ValueError('`of: "step"` takes the number of a `step`, and nothing else does')
        return self


class BetweenParams(Params):
    """The times from one step to a later one (numbers from 1)."""

    from_step: StepNumber
    to_step: StepNumber


class Questions(Params):
    """curve: conversion by time since entry. value: a property that holds numbers, to be added up."""

    breakdown: BreakdownParams | None = None
    trend: Granularity | None = None
    between: Annotated[tuple[BetweenParams, ...], Field(max_length=BETWEEN_MAX)] = ()
    curve: bool = False
    value: Name | None = None

    def question_faults(self, step_count: int) -> Iterator[FieldError]:
        if self.breakdown and self.breakdown.step and self.breakdown.step > step_count:
            yield FieldError(f"`step` is {step_count} at most.", "/breakdown/step")
        for index, each in enumerate(self.between):
            if not each.from_step < each.to_step <= step_count:
                fault = f"`from_step` comes before `to_step`, which is {step_count} at most."
                yield FieldError(fault, f"/between/{index}/to_step")
