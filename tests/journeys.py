"""Journeys and funnels in a line each: builders with defaults, so that a test names only what matters."""

from dataclasses import dataclass

from app.domain.funnel import Alternative, FunnelDefinition, Step

# Lengths of time, in seconds.
MICROSECOND = 0.000_001
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

START_US = 1_740_787_200_000_000  # 2025-03-01T00:00:00Z, second 0 of every journey

Happening = tuple[float, str] | tuple[float, str, dict[str, object]]
StepLike = str | Alternative | tuple[Alternative, ...]


@dataclass(frozen=True)
class JourneyEvent:
    """One event of a person.

    seq: the sender's number, 0 when missing; stored: its rank in the order in which we stored the events.
    """

    person: str
    occurred_at_us: int
    event_name: str
    properties: dict[str, object]
    seq: int = 0
    stored: int = 0


def at_us(seconds: float) -> int:
    """Seconds after the start of the journeys, as microseconds since the epoch."""
    return START_US + round(seconds * 1_000_000)


def journey(person: str, *happenings: Happening) -> list[JourneyEvent]:
    """One person's events, each (second, name) or (second, name, properties), stored in the order given."""
    events = []
    for stored, (at, event_name, *properties) in enumerate(happenings):
        events.append(JourneyEvent(person, at_us(at), event_name, dict(*properties), stored=stored))
    return events


def funnel(*steps: StepLike, window: float = 7 * DAY, start: float = 0, end: float = 365 * DAY) -> FunnelDefinition:
    """A funnel of event names, alternatives, or tuples of alternatives; times in seconds as in `journey`."""
    return FunnelDefinition(
        steps=tuple(_step(number, step) for number, step in enumerate(steps, start=1)),
        start_us=at_us(start),
        end_us=at_us(end),
        conversion_window_us=round(window * 1_000_000),
    )


def _step(number: int, step: StepLike) -> Step:
    if isinstance(step, str):
        return Step((Alternative(step),), label=step)
    return Step(step if isinstance(step, tuple) else (step,), label=f"step {number}")
