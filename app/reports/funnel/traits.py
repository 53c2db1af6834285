"""What attempts can have or lack, and how many of those who have it converted."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class TraitKind(StrEnum):
    EVENT = "event"
    PROPERTY = "property"
    DIMENSION = "dimension"


class TraitOf(StrEnum):
    """The event that a property or dimension is of: the entry, or that of the step before the one to explain."""

    ENTRY = "entry"
    STEP = "step"


class ValueKind(StrEnum):
    VALUE = "value"
    RANGE = "range"
    NOT_SET = "not_set"


class SkipReason(StrEnum):
    TOO_MANY_EVENTS = "too_many_events"
    TOO_MANY_PROPERTIES = "too_many_properties"
    TOO_MANY_VALUES = "too_many_values"
    NO_COMPARISON = "no_comparison"


class Trait(NamedTuple):
    """An event that happened, or what a property or dimension is: a value, not set, or a number in a range
    (above < number <= up_to, None: without end)."""

    kind: TraitKind
    name: str
    of: TraitOf | None = None
    value_kind: ValueKind | None = None
    value: str | None = None
    above: float | None = None
    up_to: float | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """How many attempts have the trait, and how many of these converted."""

    trait: Trait
    count: int
    converted_count: int


class Skip(NamedTuple):
    kind: TraitKind
    name: str
    of: TraitOf | None
    reason: SkipReason
