"""The funnel, slow and obvious: tries every chain, as semantics section 3 words it, and decides disputes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from app.domain.funnel import Alternative, Condition, FunnelDefinition, Operator
from tests.journeys import JourneyEvent

Chain = tuple[int, ...]  # positions in the person's ordered events, one per step reached
Comparable = TypeVar("Comparable", str, float)

NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class PersonResult:
    """depth: steps reached, at least 1; times_us: when each of them happened, in the reported chain."""

    person: str
    depth: int
    times_us: tuple[int, ...]
    in_progress: bool


def funnel_oracle(
    definition: FunnelDefinition, events: Iterable[JourneyEvent], as_of_us: int
) -> dict[str, PersonResult]:
    """The result of each person who entered."""
    by_person: dict[str, list[JourneyEvent]] = {}
    for event in events:
        by_person.setdefault(event.person, []).append(event)
    results = (_person_result(definition, own, as_of_us) for own in by_person.values())
    return {result.person: result for result in results if result}


def reached_counts(definition: FunnelDefinition, results: Mapping[str, PersonResult]) -> list[int]:
    """How many persons reached each step."""
    depths = [result.depth for result in results.values()]
    return [sum(depth >= number for depth in depths) for number in range(1, len(definition.steps) + 1)]


def _person_result(
    definition: FunnelDefinition, unordered: Sequence[JourneyEvent], as_of_us: int
) -> PersonResult | None:
    events = sorted(unordered, key=lambda event: _order(definition, event))
    chains = list(_chains(definition, events))
    if not chains:
        return None
    # The furthest; then the first to get there; then the latest entry; then every step as early as possible.
    reported = min(chains, key=lambda chain: (-len(chain), chain[-1], -chain[0], chain))
    # Every chain begins with an entry, and every entry begins a chain.
    last_entry_us = max(events[chain[0]].occurred_at_us for chain in chains)
    is_open = last_entry_us + definition.conversion_window_us >= as_of_us
    return PersonResult(
        person=events[0].person,
        depth=len(reported),
        times_us=tuple(events[position].occurred_at_us for position in reported),
        in_progress=is_open and len(reported) < len(definition.steps),
    )


def _order(definition: FunnelDefinition, event: JourneyEvent) -> tuple[int, ...]:
    """Sort key of the total order; a step counts as matched here even if its `after` is not fulfilled yet."""
    steps = definition.steps
    matched = [index for index, step in enumerate(steps) if any(_fits(each, event) for each in step.any_of)]
    lowest, highest = (matched[0], matched[-1]) if matched else (len(steps), len(steps))
    return event.occurred_at_us, event.seq, lowest, highest, event.stored


def _chains(definition: FunnelDefinition, events: Sequence[JourneyEvent]) -> Iterator[Chain]:
    """Every chain of any length: e1 < e2 < ..., e_i matching step i, e1 an entry, all in the window of e1."""
    matching = [
        [position for position in range(len(events)) if _matches_any(step.any_of, events, position)]
        for step in definition.steps
    ]

    def continued(chain: Chain) -> Iterator[Chain]:
        yield chain
        if len(chain) == len(definition.steps):
            return
        closes_us = events[chain[0]].occurred_at_us + definition.conversion_window_us
        for position in matching[len(chain)]:
            if position > chain[-1] and events[position].occurred_at_us <= closes_us:
                yield from continued((*chain, position))

    for position in matching[0]:
        if definition.start_us <= events[position].occurred_at_us < definition.end_us:
            yield from continued((position,))


def _matches_any(alternatives: Iterable[Alternative], events: Sequence[JourneyEvent], position: int) -> bool:
    """Whether the event fits one of them and, with `after`, an earlier event matches one of those."""
    return any(
        _fits(each, events[position])
        and (not each.after or any(_matches_any(each.after, events, earlier) for earlier in range(position)))
        for each in alternatives
    )


def _fits(alternative: Alternative, event: JourneyEvent) -> bool:
    """Whether the event matches by itself, whatever happened before it."""
    return alternative.event_name == event.event_name and all(
        _holds(condition, event.properties.get(condition.property)) for condition in alternative.where
    )


def _holds(condition: Condition, actual: object) -> bool:
    """actual: the event's property, None if it is absent or null."""
    if condition.op is Operator.EXISTS:
        return (actual is not None) == (condition.value is not False)
    wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.op is Operator.CONTAINS:
        return actual is not None and any(_text(each) in _text(actual) for each in wanted)
    comparisons = [_compare(actual, each) for each in wanted]
    match condition.op:
        case Operator.EQUAL | Operator.IN:
            return 0 in comparisons
        case Operator.NOT_EQUAL:
            return 0 not in comparisons
        case Operator.LESS:
            return -1 in comparisons
        case Operator.GREATER:
            return 1 in comparisons


def _compare(actual: object, wanted: object) -> int | None:
    """-1, 0, 1 as the property is less than, equal to, greater than the value; None if it can't be said."""
    if actual is None:
        return None
    if isinstance(wanted, str | bool):
        return _sign(_text(actual), _text(wanted))
    if NUMBER.fullmatch(_text(actual)):
        return _sign(float(_text(actual)), float(_text(wanted)))
    return None


def _sign(left: Comparable, right: Comparable) -> int:
    return (left > right) - (left < right)


def _text(value: object) -> str:
    """The text itself; of anything else its compact JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
