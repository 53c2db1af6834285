"""Conditions on events, and the alternatives of a step, as requests describe them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.funnel import Alternative, Condition, Operator
from app.domain.stages import Stage, stage_alternatives
from app.errors import FieldError, Invalid
from app.mirror.columns import Subject
from app.mirror.dimensions import DIMENSIONS

TEXT_MAX = 1_000  # characters of a name or value in a condition
ALTERNATIVES_MAX = 50
CONDITIONS_MAX = 20
VALUES_MAX = 1_000
NUMBER_MAX = 2**63  # of a whole number in a condition; they are compared as doubles, exact only up to 2^53

DIMENSION_NAMES = tuple(dimension.name for dimension in DIMENSIONS)

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


class SubjectParams(Params):
    """A property of events by its name, or a dimension of their context, such as `page_path`."""

    property: Name | None = None
    dimension: Name | None = None

    @model_validator(mode="after")
    def _property_or_dimension(self) -> Self:
        if (self.property is None) == (self.dimension is None):
            raise ValueError("give either `property` or `dimension`")
        if self.dimension is not None and self.dimension not in DIMENSION_NAMES:
            raise ValueError(f"there is no dimension {self.dimension!r}; there are {', '.join(DIMENSION_NAMES)}")
        return self

    def subject(self) -> Subject:
        return Subject(self.property or self.dimension or "", is_dimension=self.dimension is not None)


class ConditionParams(SubjectParams):
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
        subject = self.subject()
        return Condition(subject.name, self.op, value, subject.is_dimension)


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


AnyOf = Annotated[list[AlternativeParams], Field(min_length=1, max_length=ALTERNATIVES_MAX)]


def alternatives_of(
    any_of: list[AlternativeParams], stages: tuple[Stage, ...], pointer: str, extra: tuple[Condition, ...] = ()
) -> tuple[Alternative, ...]:
    """What they mean in terms of events, `extra` conditions added to each.

    pointer: of any_of in the request. Raises Invalid for a stage that the storefront does not have.
    """
    alternatives: list[Alternative] = []
    for index, params in enumerate(any_of):
        where = (*(condition.condition() for condition in params.where), *extra)
        if params.event is not None:
            alternatives.append(Alternative(params.event, where))
        elif params.stage in {stage.name for stage in stages}:
            alternatives += stage_alternatives(stages, params.stage or "", where)
        else:
            names = ", ".join(stage.name for stage in stages)
            fault = FieldError(
                f"There is no stage {params.stage!r}; this storefront has {names}.", f"{pointer}/{index}/stage"
            )
            raise Invalid("The request names a stage that does not exist.", errors=[fault])
    return tuple(alternatives)
