"""A funnel as a request describes it, checked and turned into a definition."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from app.domain.funnel import (
    DEFAULT_CONVERSION_WINDOW_SECONDS,
    STEPS_MAX,
    Actor,
    Alternative,
    Count,
    Exclusion,
    FunnelDefinition,
    Order,
    PersonFilter,
    Step,
)
from app.domain.storefront import Storefront
from app.domain.time_range import MICROSECONDS_PER_SECOND, instant, to_us
from app.errors import FieldError, Invalid
from app.reports.conditions import AnyOf, ConditionParams, Label, Name, Params, alternatives_of
from app.reports.funnel.questions import Questions, StepNumber

CONVERSION_WINDOW_MAX_SECONDS = 10 * 366 * 86_400
EXCLUSIONS_MAX = 20
FILTERS_MAX = 20
SAME_MAX = 3

Seconds = Annotated[int, Field(ge=1, le=CONVERSION_WINDOW_MAX_SECONDS)]


class RangeParams(Params):
    """Half-open: start <= t < end."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        return self


class StepParams(Params):
    """within_seconds, not_before_seconds: most and least time since the step before. An optional one may be skipped."""

    any_of: AnyOf
    label: Label | None = None
    within_seconds: Seconds | None = None
    not_before_seconds: Seconds | None = None
    optional: bool = False

    def default_label(self) -> str:
        return " or ".join(alternative.event or alternative.stage or "" for alternative in self.any_of)

    def step(self, any_of: tuple[Alternative, ...]) -> Step:
        return Step(
            any_of,
            self.label or self.default_label(),
            within_us=None if self.within_seconds is None else self.within_seconds * MICROSECONDS_PER_SECOND,
            not_before_us=(self.not_before_seconds or 0) * MICROSECONDS_PER_SECOND,
            optional=self.optional,
        )


class ExclusionParams(Params):
    """Events that must not happen between two steps (numbers from 1)."""

    any_of: AnyOf
    after_step: StepNumber
    before_step: StepNumber


class DidParams(Params):
    """One of these events in the range; without one in that of the report."""

    any_of: AnyOf
    range: RangeParams | None = None


class PersonFilterParams(Params):
    """Persons who did, or did not do, something."""

    did: DidParams | None = None
    did_not: DidParams | None = None

    @model_validator(mode="after")
    def _did_or_did_not(self) -> Self:
        if (self.did is None) == (self.did_not is None):
            raise ValueError("give either `did` or `did_not`")
        return self


class FunnelParams(Questions):
    """A funnel, the time in which people enter it, and what is asked about it beside."""

    range: RangeParams
    steps: Annotated[list[StepParams], Field(min_length=1, max_length=STEPS_MAX)]
    order: Order = Order.IN_ORDER
    conversion_window_seconds: Seconds = DEFAULT_CONVERSION_WINDOW_SECONDS
    actor: Actor = Actor.PERSON
    count: Count = Count.UNIQUE
    exclude: Annotated[list[ExclusionParams], Field(max_length=EXCLUSIONS_MAX, default_factory=list)]
    same: Annotated[list[Name], Field(max_length=SAME_MAX, default_factory=list)]
    filters: Annotated[list[ConditionParams | PersonFilterParams], Field(max_length=FILTERS_MAX, default_factory=list)]
    compare: Literal["previous"] | RangeParams | None = None
    as_of: AwareDatetime | None = None
    include_bots: bool = False

    def definition(self, storefront: Storefront) -> FunnelDefinition:
        """Raises Invalid for a stage that the storefront does not have, and for options that contradict each other."""
        if faults := list(self._faults()):
            raise Invalid("The funnel contradicts itself.", errors=faults)
        stages = storefront.stages
        conditions = tuple(each.condition() for each in self.filters if isinstance(each, ConditionParams))
        return FunnelDefinition(
            steps=tuple(
                step.step(alternatives_of(step.any_of, stages, f"/steps/{index}/any_of", conditions))
                for index, step in enumerate(self.steps)
            ),
            start_us=to_us(self.range.start),
            end_us=to_us(self.range.end),
            conversion_window_us=self.conversion_window_seconds * MICROSECONDS_PER_SECOND,
            order=self.order,
            actor=self.actor,
            count=self.count,
            exclude=tuple(
                Exclusion(
                    each.after_step - 1,
                    each.before_step - 1,
                    alternatives_of(each.any_of, stages, f"/exclude/{index}/any_of"),
                )
                for index, each in enumerate(self.exclude)
            ),
            same=tuple(dict.fromkeys(self.same)),
            persons=tuple(self._person_filters(storefront)),
            as_of_us=None if self.as_of is None else to_us(instant(self.as_of, "UTC")),
            session_timeout_us=storefront.session_timeout_seconds * MICROSECONDS_PER_SECOND,
        )

    def _person_filters(self, storefront: Storefront) -> Iterator[PersonFilter]:
        for index, each in enumerate(self.filters):
            if isinstance(each, ConditionParams):
                continue
            name, params = ("did", each.did) if each.did else ("did_not", each.did_not)
            assert params is not None, "PersonFilterParams checks it"
            any_of = alternatives_of(params.any_of, storefront.stages, f"/filters/{index}/{name}/any_of")
            range_ = params.range or self.range
            yield PersonFilter(any_of, to_us(range_.start), to_us(range_.end), did=name == "did")

    def _faults(self) -> Iterator[FieldError]:
        for index, step in enumerate(self.steps):
            yield from self._step_faults(index, step)
        for index, each in enumerate(self.exclude):
            pointer = f"/exclude/{index}"
            if self.order is Order.ANY_ORDER:
                yield FieldError("In any order nothing lies between two steps; leave `exclude` out.", pointer)
            if not each.after_step < each.before_step <= len(self.steps):
                fault = f"`after_step` comes before `before_step`, which is {len(self.steps)} at most."
                yield FieldError(fault, f"{pointer}/before_step")
            elif self.steps[each.after_step - 1].optional or self.steps[each.before_step - 1].optional:
                yield FieldError("A step that may be skipped can't bound an exclusion; name its neighbour.", pointer)
        yield from self.question_faults(len(self.steps))

    def _step_faults(self, index: int, step: StepParams) -> Iterator[FieldError]:
        pointer = f"/steps/{index}"
        for name in ("within_seconds", "not_before_seconds", "optional"):
            if getattr(step, name) and index == 0:
                yield FieldError(f"The first step has none before it; leave `{name}` out.", f"{pointer}/{name}")
            elif getattr(step, name) and self.order is Order.ANY_ORDER:
                fault = f"In any order no step comes before another or can be skipped; leave `{name}` out."
                yield FieldError(fault, f"{pointer}/{name}")
        if step.within_seconds and step.not_before_seconds and step.within_seconds < step.not_before_seconds:
            fault = f"`within_seconds` is at least `not_before_seconds`, {step.not_before_seconds}."
            yield FieldError(fault, f"{pointer}/within_seconds")
