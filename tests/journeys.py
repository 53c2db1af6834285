"""Journeys and funnels in a line each: builders with defaults, so that a test names only what matters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.funnel import (
    Actor,
    Alternative,
    Count,
    Exclusion,
    FunnelDefinition,
    Order,
    PersonFilter,
    Step,
)

# Lengths of time, in seconds.
MICROSECOND = 0.000_001
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

START_US = 1_740_787_200_000_000  # 2025-03-01T00:00:00Z, second 0 of every journey

Happening = tuple[float, str] | tuple[float, str, Mapping[str, object]]
AlternativeLike = str | Alternative
StepLike = AlternativeLike | tuple[Alternative, ...] | Step


@dataclass(frozen=True)
class JourneyEvent:
    """One event of a person.

    seq: the sender's number, 0 when missing; stored: its rank in the order in which we stored the events.
    account: the company it was done for; received_at_us: by our clock, None: when it happened.
    """

    person: str
    occurred_at_us: int
    event_name: str
    properties: dict[str, object]
    seq: int = 0
    stored: int = 0
    account: str | None = None
    received_at_us: int | None = None
    dimensions: dict[str, object] = field(default_factory=dict)


def at_us(seconds: float) -> int:
    """Seconds after the start of the journeys, as microseconds since the epoch."""
    return START_US + round(seconds * 1_000_000)


def journey(person: str, *happenings: Happening, account: str | None = None) -> list[JourneyEvent]:
    """One person's events, each (second, name) or (second, name, properties), stored in the order given."""
    events = []
    for stored, (at, event_name, *properties) in enumerate(happenings):
        events.append(JourneyEvent(person, at_us(at), event_name, dict(*properties), stored=stored, account=account))
    return events


def funnel(
    *steps: StepLike,
    window: float = 7 * DAY,
    start: float = 0,
    end: float = 365 * DAY,
    order: Order = Order.IN_ORDER,
    actor: Actor = Actor.PERSON,
    count: Count = Count.UNIQUE,
    exclude: tuple[Exclusion, ...] = (),
    same: tuple[str, ...] = (),
    persons: tuple[PersonFilter, ...] = (),
) -> FunnelDefinition:
    """A funnel of event names, alternatives, tuples of alternatives, or steps; times in seconds as in `journey`."""
    return FunnelDefinition(
        steps=tuple(_step(number, step) for number, step in enumerate(steps, start=1)),
        start_us=at_us(start),
        end_us=at_us(end),
        conversion_window_us=round(window * 1_000_000),
        order=order,
        actor=actor,
        count=count,
        exclude=exclude,
        same=same,
        persons=persons,
    )


def step(*any_of: AlternativeLike, within: float | None = None, not_before: float = 0, optional: bool = False) -> Step:
    """A step with options, times in seconds."""
    return Step(
        _alternatives(any_of),
        label="step",
        within_us=None if within is None else round(within * 1_000_000),
        not_before_us=round(not_before * 1_000_000),
        optional=optional,
    )


def excluded(after_step: int, before_step: int, *any_of: AlternativeLike) -> Exclusion:
    """None of these between the two steps, indexes from 0."""
    return Exclusion(after_step, before_step, _alternatives(any_of))


def who_did(*any_of: AlternativeLike, start: float = 0, end: float = 365 * DAY) -> PersonFilter:
    return PersonFilter(_alternatives(any_of), at_us(start), at_us(end), did=True)


def who_did_not(*any_of: AlternativeLike, start: float = 0, end: float = 365 * DAY) -> PersonFilter:
    return PersonFilter(_alternatives(any_of), at_us(start), at_us(end), did=False)


def _step(number: int, step: StepLike) -> Step:
    if isinstance(step, Step):
        return step
    if isinstance(step, str):
        return Step((Alternative(step),), label=step)
    return Step(step if isinstance(step, tuple) else (step,), label=f"step {number}")


def _alternatives(any_of: tuple[AlternativeLike, ...]) -> tuple[Alternative, ...]:
    return tuple(Alternative(each) if isinstance(each, str) else each for each in any_of)
