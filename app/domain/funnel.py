"""Funnel definitions, and the arithmetic from reached counts to conversion and drop-off (semantics, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

STEPS_MAX = 50
DEFAULT_CONVERSION_WINDOW_SECONDS = 7 * 86_400

Scalar = str | int | float | bool


class Operator(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    IN = "in"
    EXISTS = "exists"
    LESS = "<"
    GREATER = ">"
    CONTAINS = "contains"


class Order(StrEnum):
    IN_ORDER = "in_order"
    STRICT = "strict"
    ANY_ORDER = "any_order"


class Actor(StrEnum):
    PERSON = "person"
    SESSION = "session"
    ACCOUNT = "account"


class Count(StrEnum):
    UNIQUE = "unique"
    ENTRIES = "entries"


@dataclass(slots=True, frozen=True)
class Condition:
    """A condition on one event property, or with `is_dimension` on the dimension of that name (its page, its referrer).

    A text value is compared with the property's text, a number with the property as a number (numeric text counts
    as a number, anything else never matches). A property that is absent or null equals nothing, so `!=`
    is true for it. `exists` takes True (the default) or False. `<` and `>` of a text value compare by code point.
    """

    property: str
    op: Operator
    value: Scalar | tuple[Scalar, ...] | None = None
    is_dimension: bool = False


@dataclass(slots=True, frozen=True)
class Alternative:
    """One way to match a step: an event name, conditions that must all hold, and alternatives of which the same
    person must have had one strictly before (a stage rule's `after`).

    A report of an order does not come after the first of those when that reported the same order, nor when an earlier
    report of its order fits too, `after` aside.
    """

    event_name: str
    where: tuple[Condition, ...] = ()
    after: tuple["Alternative", ...] = ()


@dataclass(slots=True, frozen=True)
class Step:
    """within_us, not_before_us: most and least time since the chain's step before. An optional step may be skipped."""

    any_of: tuple[Alternative, ...]
    label: str
    within_us: int | None = None
    not_before_us: int = 0
    optional: bool = False


@dataclass(slots=True, frozen=True)
class Exclusion:
    """Events that must not happen between two steps of a chain (indexes from 0), the two themselves not meant."""

    after_step: int
    before_step: int
    any_of: tuple[Alternative, ...]


@dataclass(slots=True, frozen=True)
class PersonFilter:
    """Persons who did, or did not, one of these things in [start_us, end_us)."""

    any_of: tuple[Alternative, ...]
    start_us: int
    end_us: int
    did: bool = True


@dataclass(slots=True, frozen=True)
class FunnelDefinition:
    """Entries are first-step events in [start_us, end_us); later steps may come up to conversion_window_us later.

    same: properties that must be equal in all steps of a chain; an event without one of them equals no other event.
    as_of_us: only events received before it count; None: all.
    All times are integer microseconds since the epoch.
    """

    steps: tuple[Step, ...]
    start_us: int
    end_us: int
    conversion_window_us: int
    order: Order = Order.IN_ORDER
    actor: Actor = Actor.PERSON
    count: Count = Count.UNIQUE
    exclude: tuple[Exclusion, ...] = ()
    same: tuple[str, ...] = ()
    persons: tuple[PersonFilter, ...] = ()
    as_of_us: int | None = None
    session_timeout_us: int = 1800 * 1_000_000

    @property
    def last_us(self) -> int:
        """When the last window closes; its last instant."""
        return self.end_us - 1 + self.conversion_window_us


@dataclass(slots=True, frozen=True)
class StepResult:
    """reached_count: persons who reached this step. The drop-off figures say what became of those who
    did not reach the next one; None on the last step."""

    reached_count: int
    conversion_ratio: float | None
    step_conversion_ratio: float | None
    drop_off_count: int | None
    lost_count: int | None
    in_progress_count: int | None
    drop_off_ratio: float | None


def step_results(stopped: Sequence[int], in_progress: Sequence[int]) -> list[StepResult]:
    """Conversion and drop-off per step.

    stopped: persons whose deepest step is step i; in_progress: those of them who could still go further. Both have
    one number per step and are not cumulative. Ratios are None when their denominator is 0.
    """
    reached = [sum(stopped[index:]) for index in range(len(stopped))]
    last = len(stopped) - 1
    results = []
    for index, count in enumerate(reached):
        open_count = in_progress[index]
        lost_count = stopped[index] - open_count
        results.append(
            StepResult(
                reached_count=count,
                conversion_ratio=_ratio(count, reached[0]),
                step_conversion_ratio=_ratio(count, reached[max(index - 1, 0)]),
                drop_off_count=None if index == last else stopped[index],
                lost_count=None if index == last else lost_count,
                in_progress_count=None if index == last else open_count,
                drop_off_ratio=None if index == last else _ratio(lost_count, count - open_count),
            )
        )
    return results


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
