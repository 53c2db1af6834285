"""A funnel as a request describes it, checked and turned into a definition."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from app.domain.funnel import (
    DEFAULT_CONVERSION_WINDOW_SECONDS,
    STEPS_MAX,
    Alternative,
    Condition,
    FunnelDefinition,
    Operator,
    Step,
)
from app.domain.stages import Stage, stage_alternatives
from app.domain.time_range import MICROSECONDS_PER_SECOND, to_us
from app.errors import FieldError, Invalid

TEXT_MAX = 1_000  # characters of a name or value in a condition
ALTERNATIVES_MAX = 50
CONDITIONS_MAX = 20
VALUES_MAX = 1_000
NUMBER_MAX = 2**63  # of a whole number in a condition; they are compared as doubles, exact only up to 2^53
CONVERSION_WINDOW_MAX_SECONDS = 10 * 366 * 86_400

NO_NUL = r"^[^\x00]*$"  # events hold none, and a saved definition can't

Text = Annotated[str, Field(max_length=TEXT_MAX, pattern=NO_NUL)]
Name = Annotated[str, Field(min_length=1, max_length=TEXT_MAX, pattern=NO_NUL)]
Label = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]
# Strict, so that true stays a truth value and "1" stays text.
Value = (
    Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True, ge=-NUMBER_MAX, le=NUMBER_MAX)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | Text
)


class Params(BaseModel):
    """Unknown members are refused: a misspelled one must not change a number in silence."""

    model_config = ConfigDict(extra="forbid")


class RangeParams(Params):
    """Half-open: start <= t < end."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class ConditionParams(Params):
    property: Name
    op: Operator
    value: Value | Annotated[list[Value], Field(max_length=VALUES_MAX)] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        is_list, op = isinstance(self.value, list), self.op
        if op is Operator.IN and not is_list:
            raise ValueError("`in` takes a list of values")
        if op is Operator.EXISTS and not (self.value is None or isinstance(self.value, bool)):
            raise ValueError("`exists` takes true, false or no value")
        if op not in (Operator.IN, Operator.EXISTS) and (is_list or self.value is None):
            raise ValueError(f"`{op}` takes one value")
        if op in (Operator.LESS, Operator.GREATER) and isinstance(self.value, bool):
            raise ValueError(f"`{op}` takes a number or a text")
        return self

    def condition(self) -> Condition:
        value = tuple(self.value) if isinstance(self.value, list) else self.value
        return Condition(self.property, self.op, value)


class AlternativeParams(Params):
    """An event by its name, or all events that mean a stage; then conditions, which must all hold."""

    event: Name | None = None
    stage: Name | None = None
    where: Annotated[list[ConditionParams], Field(max_length=CONDITIONS_MAX)] = []

    @model_validator(mode="after")
    def _event_or_stage(self) -> Self:
        if (self.event is None) == (self.stage is None):
            raise ValueError("give either `event` or `stage`")
        return self


class StepParams(Params):
    any_of: Annotated[list[AlternativeParams], Field(min_length=1, max_length=ALTERNATIVES_MAX)]
    label: Label | None = None

    def default_label(self) -> str:
        return " or ".join(alternative.event or alternative.stage or "" for alternative in self.any_of)


class FunnelParams(Params):
    """A funnel and the time in which people enter it."""

    range: RangeParams
    steps: Annotated[list[StepParams], Field(min_length=1, max_length=STEPS_MAX)]
    order: Literal["in_order"] = "in_order"
    conversion_window_seconds: Annotated[int, Field(ge=1, le=CONVERSION_WINDOW_MAX_SECONDS)] = (
        DEFAULT_CONVERSION_WINDOW_SECONDS
    )
    actor: Literal["person"] = "person"
    count: Literal["unique"] = "unique"
    include_bots: bool = False

    def definition(self, stages: tuple[Stage, ...]) -> FunnelDefinition:
        """Raises Invalid for a stage that the storefront does not have."""
        return FunnelDefinition(
            steps=tuple(
                Step(_alternatives(step, index, stages), step.label or step.default_label())
                for index, step in enumerate(self.steps)
            ),
            start_us=to_us(self.range.start),
            end_us=to_us(self.range.end),
            conversion_window_us=self.conversion_window_seconds * MICROSECONDS_PER_SECOND,
        )


def _alternatives(step: StepParams, step_index: int, stages: tuple[Stage, ...]) -> tuple[Alternative, ...]:
    alternatives: list[Alternative] = []
    for index, params in enumerate(step.any_of):
        where = tuple(condition.condition() for condition in params.where)
        if params.event is not None:
            alternatives.append(Alternative(params.event, where))
        elif params.stage in {stage.name for stage in stages}:
            alternatives += stage_alternatives(stages, params.stage or "", where)
        else:
            names = ", ".join(stage.name for stage in stages)
            pointer = f"/steps/{step_index}/any_of/{index}/stage"
            fault = FieldError(f"There is no stage {params.stage!r}; this storefront has {names}.", pointer)
            raise Invalid("A step names a stage that does not exist.", errors=[fault])
    return tuple(alternatives)
