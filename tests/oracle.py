"""The funnel, slow and obvious: tries every chain, as semantics section 3 words it, and decides disputes.

So does it for persons: whose an event is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from app.domain.funnel import Actor, Alternative, Condition, Count, FunnelDefinition, Operator, Order, PersonFilter
from tests.journeys import JourneyEvent

ActorKey = str | tuple[str, int]  # a person or an account; a person and the number of the session, from 0
Chain = tuple[int, ...]  # positions in the actor's ordered events, one per step; of an optional step maybe SKIPPED
Comparable = TypeVar("Comparable", str, float)

SKIPPED = -1  # comes before every position
SESSION_TIMEOUT_US = 30 * 60 * 1_000_000
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class ActorResult:
    """What became of an actor who entered, or of one attempt.

    chain: the events of the reported chain, one per step up to the last one reached, None: the step was skipped.
    In any order: the events in their order, whichever steps they are.
    """

    actor: ActorKey
    chain: tuple[JourneyEvent | None, ...]
    in_progress: bool

    @property
    def depth(self) -> int:
        return len(self.chain)

    @property
    def times_us(self) -> tuple[int | None, ...]:
        return tuple(event.occurred_at_us if event else None for event in self.chain)

    @property
    def entry(self) -> JourneyEvent:
        assert self.chain[0]
        return self.chain[0]

    @property
    def person(self) -> str:
        """Who entered, also where the actor is an account."""
        return self.entry.person

    @property
    def entry_us(self) -> int:
        return self.entry.occurred_at_us


@dataclass(frozen=True)
class Marked:
    """An event and what it can be in a chain: the indexes of steps and of exclusions it matches."""

    event: JourneyEvent
    steps: frozenset[int]
    excludes: frozenset[int]

    @property
    def at_us(self) -> int:
        return self.event.occurred_at_us


def funnel_oracle(
    definition: FunnelDefinition,
    events: Iterable[JourneyEvent],
    as_of_us: int,
    session_timeout_us: int = SESSION_TIMEOUT_US,
) -> dict[Any, ActorResult]:
    """The result of each actor who entered, or with count=entries of each (actor, number of the attempt from 0)."""
    found = attempts_oracle(definition, events, as_of_us, session_timeout_us)
    if definition.count is Count.UNIQUE:
        return {actor: only for actor, (only,) in found.items()}
    return {(actor, number): attempt for actor, attempts in found.items() for number, attempt in enumerate(attempts)}


def attempts_oracle(
    definition: FunnelDefinition,
    events: Iterable[JourneyEvent],
    as_of_us: int,
    session_timeout_us: int = SESSION_TIMEOUT_US,
) -> dict[ActorKey, list[ActorResult]]:
    """The attempts of each actor who entered, in their order; one result each with count=unique.

    as_of_us: now, unless the definition asks for another one.
    """
    now_us = as_of_us if definition.as_of_us is None else definition.as_of_us
    results = _attempts if definition.count is Count.ENTRIES else _only_result
    found = {
        actor: list(results(definition, actor, own, now_us))
        for actor, own in _actors(definition, events, session_timeout_us).items()
    }
    return {actor: attempts for actor, attempts in found.items() if attempts}


def reached_counts(definition: FunnelDefinition, results: Mapping[Any, ActorResult]) -> list[int]:
    """How many actors (attempts) reached each step; who skipped it and reached a later one is counted too."""
    depths = [result.depth for result in results.values()]
    return [sum(depth >= number for depth in depths) for number in range(1, len(definition.steps) + 1)]


def done_counts(definition: FunnelDefinition, results: Mapping[Any, ActorResult]) -> list[tuple[int, int] | None]:
    """Of each optional step: how many did it, and of how many; None for the others.

    Those are asked who reached the next required step, or where none comes after it, who reached the step itself.
    """
    counts: list[tuple[int, int] | None] = []
    for index, step in enumerate(definition.steps):
        later = range(index + 1, len(definition.steps))
        asked_index = next((each for each in later if not definition.steps[each].optional), index)
        asked = [result for result in results.values() if result.depth > asked_index]
        done_count = sum(result.chain[index] is not None for result in asked)
        counts.append((done_count, len(asked)) if step.optional else None)
    return counts


def is_chain(
    definition: FunnelDefinition,
    events: Iterable[JourneyEvent],
    chain: Sequence[JourneyEvent | None],
    session_timeout_us: int = SESSION_TIMEOUT_US,
) -> bool:
    """Whether these events, one per step or None, are a chain at all, be it the one to report or not."""
    for own in _actors(definition, events, session_timeout_us).values():
        position_of = [marked.event for marked in own].index
        if all(any(event is None or event == each.event for each in own) for event in chain):
            return _is_chain(
                definition, own, tuple(SKIPPED if event is None else position_of(event) for event in chain)
            )
    return False


# Actors and their events


def _actors(
    definition: FunnelDefinition, events: Iterable[JourneyEvent], session_timeout_us: int
) -> dict[ActorKey, list[Marked]]:
    """The events of each actor in the total order."""
    by_person: dict[str, list[JourneyEvent]] = {}
    for event in sorted(events, key=lambda event: _order(definition, event)):
        received_at_us = event.occurred_at_us if event.received_at_us is None else event.received_at_us
        if definition.as_of_us is None or received_at_us < definition.as_of_us:
            by_person.setdefault(event.person, []).append(event)
    marked: dict[str, list[Marked]] = {person: _marked(definition, own) for person, own in by_person.items()}
    match definition.actor:
        case Actor.PERSON:
            return dict(marked.items())
        case Actor.SESSION:
            return {
                (person, number): session
                for person, own in marked.items()
                for number, session in enumerate(_sessions(own, session_timeout_us))
            }
        case Actor.ACCOUNT:
            return _accounts(definition, [each for own in marked.values() for each in own])


def _order(definition: FunnelDefinition, event: JourneyEvent) -> tuple[int, ...]:
    """Sort key of the total order; a step counts as matched here even if its `after` is not fulfilled yet."""
    steps = definition.steps
    matched = [index for index, step in enumerate(steps) if any(_fits(each, event) for each in step.any_of)]
    lowest, highest = (matched[0], matched[-1]) if matched else (len(steps), len(steps))
    return event.occurred_at_us, event.seq, lowest, highest, event.stored


def _marked(definition: FunnelDefinition, person_events: Sequence[JourneyEvent]) -> list[Marked]:
    """All events of a person. Who fails a person filter has events that match no step."""
    passes = all(_passes(each, person_events) for each in definition.persons)

    def matching(position: int, any_of: Iterable[tuple[Alternative, ...]]) -> frozenset[int]:
        return frozenset(n for n, each in enumerate(any_of) if _matches_any(each, person_events, position))

    return [
        Marked(
            event,
            matching(position, (step.any_of for step in definition.steps)) if passes else frozenset(),
            matching(position, (exclusion.any_of for exclusion in definition.exclude)),
        )
        for position, event in enumerate(person_events)
    ]


def _passes(wanted: PersonFilter, person_events: Sequence[JourneyEvent]) -> bool:
    did = any(
        wanted.start_us <= event.occurred_at_us < wanted.end_us and _matches_any(wanted.any_of, person_events, position)
        for position, event in enumerate(person_events)
    )
    return did == wanted.did


def _sessions(person_events: Sequence[Marked], timeout_us: int) -> list[list[Marked]]:
    """A gap longer than the timeout begins a new session."""
    sessions = [[person_events[0]]]
    for before, marked in pairwise(person_events):
        if marked.at_us - before.at_us > timeout_us:
            sessions.append([])
        sessions[-1].append(marked)
    return sessions


def _accounts(definition: FunnelDefinition, marked: Iterable[Marked]) -> dict[ActorKey, list[Marked]]:
    """Events of no account are left out."""
    accounts: dict[ActorKey, list[Marked]] = {}
    for each in sorted(marked, key=lambda each: _order(definition, each.event)):
        if each.event.account is not None:
            accounts.setdefault(each.event.account, []).append(each)
    return accounts


# Chains


def _chains(definition: FunnelDefinition, events: Sequence[Marked]) -> Iterator[Chain]:
    """Every chain of any length. What a longer chain begins with is a chain too."""

    def continued(chain: Chain) -> Iterator[Chain]:
        for position in range(chain[-1] + 1 if chain else 0, len(events)):
            for skipped in _ways_to_skip(definition, len(chain)):
                longer = (*chain, *skipped, position)
                if _is_chain(definition, events, longer):
                    yield longer
                    yield from continued(longer)

    return continued(())


def _ways_to_skip(definition: FunnelDefinition, step_index: int) -> list[Chain]:
    """None of the steps that come now, the first of them, the first two ..., as long as they are optional."""
    ways: list[Chain] = []
    for count, step in enumerate(definition.steps[step_index:]):
        ways.append((SKIPPED,) * count)
        if not step.optional:
            break
    return ways


def _is_chain(definition: FunnelDefinition, events: Sequence[Marked], chain: Chain) -> bool:
    """e1 < e2 < ..., each for a step of its own, e1 an entry, all in the window of e1, and no option against it."""
    if not chain or SKIPPED in (chain[0], chain[-1]) or len(chain) > len(definition.steps):
        return False
    done = [position for position in chain if position != SKIPPED]
    entry_us = events[chain[0]].at_us
    fits = _fits_any_order if definition.order is Order.ANY_ORDER else _fits_in_order
    return (
        all(earlier < later for earlier, later in pairwise(done))
        and definition.start_us <= entry_us < definition.end_us
        and events[chain[-1]].at_us - entry_us <= definition.conversion_window_us
        and fits(definition, events, chain)
        and (definition.order is not Order.STRICT or all(later == earlier + 1 for earlier, later in pairwise(done)))
        and not any(_is_excluded(definition, events, chain, number) for number in range(len(definition.exclude)))
        and all(_is_same(name, [events[position].event for position in done]) for name in definition.same)
    )


def _fits_in_order(definition: FunnelDefinition, events: Sequence[Marked], chain: Chain) -> bool:
    """Each event matches its step and keeps its distance from the one before; only optional steps are skipped."""
    before = SKIPPED
    for index, (step, position) in enumerate(zip(definition.steps, chain, strict=False)):
        if position == SKIPPED:
            if not step.optional:
                return False
            continue
        if index not in events[position].steps:
            return False
        if before != SKIPPED:
            waited_us = events[position].at_us - events[before].at_us
            if waited_us < step.not_before_us or (step.within_us is not None and waited_us > step.within_us):
                return False
        before = position
    return True


def _fits_any_order(definition: FunnelDefinition, events: Sequence[Marked], chain: Chain) -> bool:
    """Whether the events can be given to as many different steps."""

    def can_be_given(positions: Chain, free_steps: frozenset[int]) -> bool:
        if not positions:
            return True
        first, *others = positions
        return any(can_be_given(tuple(others), free_steps - {step}) for step in events[first].steps & free_steps)

    return can_be_given(chain, frozenset(range(len(definition.steps))))


def _is_excluded(definition: FunnelDefinition, events: Sequence[Marked], chain: Chain, number: int) -> bool:
    """Whether the chain has both steps, and an event of this exclusion strictly between them."""
    exclusion = definition.exclude[number]
    if len(chain) <= exclusion.before_step:
        return False
    between = range(chain[exclusion.after_step] + 1, chain[exclusion.before_step])
    return any(number in events[position].excludes for position in between)


def _is_same(name: str, events: Sequence[JourneyEvent]) -> bool:
    """Whether all events have the same text in this property; a missing one equals no other event's."""
    values = [event.properties.get(name) for event in events]
    return len(values) == 1 or (None not in values and len({_text(value) for value in values}) == 1)


# Which chain is reported, and attempts


def _only_result(
    definition: FunnelDefinition, actor: ActorKey, events: Sequence[Marked], now_us: int
) -> Iterator[ActorResult]:
    """Of all chains of the actor, count=unique. Every chain begins with an entry, and every entry begins a chain."""
    chains = list(_chains(definition, events))
    if chains:
        last_entry_us = max(events[chain[0]].at_us for chain in chains)
        yield _result(definition, actor, events, chains, now_us <= last_entry_us + definition.conversion_window_us)


def _attempts(
    definition: FunnelDefinition, actor: ActorKey, events: Sequence[Marked], now_us: int
) -> Iterator[ActorResult]:
    """One attempt after the other, count=entries; each has the chains that begin with its entry."""
    chains = list(_chains(definition, events))
    while chains:
        entry = min(chain[0] for chain in chains)
        own = [chain for chain in chains if chain[0] == entry]
        closes_us = events[entry].at_us + definition.conversion_window_us
        end = max(position for position, each in enumerate(events) if each.at_us <= closes_us)
        excluded_at = _excluded_at(definition, events[: end + 1], own)
        completed_at = [chain[-1] for chain in own if len(chain) == len(definition.steps)]
        if excluded_at is not None:  # then no chain of the attempt reaches the last step
            end = excluded_at
        elif completed_at:
            end = min(completed_at)
        own = [chain for chain in own if chain[-1] <= end]
        yield _result(definition, actor, events, own, excluded_at is None and now_us <= closes_us)
        chains = [chain for chain in chains if chain[0] > end]


def _excluded_at(definition: FunnelDefinition, events: Sequence[Marked], own: Sequence[Chain]) -> int | None:
    """The first excluded event after the entry that comes before any chain has reached the step it must not precede."""
    entry = own[0][0]
    for position in range(entry + 1, len(events)):
        for number in events[position].excludes:
            exclusion = definition.exclude[number]
            reached = any(
                len(chain) > exclusion.before_step and chain[exclusion.before_step] <= position for chain in own
            )
            if exclusion.after_step == 0 and not reached:
                return position
    return None


def _result(
    definition: FunnelDefinition, actor: ActorKey, events: Sequence[Marked], chains: Iterable[Chain], is_open: bool
) -> ActorResult:
    """What rule 6 reports of these chains."""
    best = min(chains, key=_preference)
    return ActorResult(
        actor=actor,
        chain=tuple(None if position == SKIPPED else events[position].event for position in best),
        in_progress=is_open and len(best) < len(definition.steps),
    )


def _preference(chain: Chain) -> tuple[object, ...]:
    """The furthest; then the first to get there; then the latest entry; then from the last step back: a step done
    rather than skipped, and as early as possible."""
    return -len(chain), chain[-1], -chain[0], [(position == SKIPPED, position) for position in reversed(chain)]


# Events and conditions


def _matches_any(alternatives: Iterable[Alternative], events: Sequence[JourneyEvent], position: int) -> bool:
    """Whether the event fits one of them and, with `after`, comes after those."""
    return any(
        _fits(each, events[position]) and (not each.after or _comes_after(each.after, alternatives, events, position))
        for each in alternatives
    )


def _comes_after(
    after: tuple[Alternative, ...], alternatives: Iterable[Alternative], events: Sequence[JourneyEvent], position: int
) -> bool:
    """Whether an earlier event matches one of `after`. A report of an order does not come after the first of them when
    that reported the same order, nor after an earlier report of its order that fits the same alternatives."""
    first = next((earlier for earlier in range(position) if _matches_any(after, events, earlier)), None)
    if first is None:
        return False
    alike = [each for each in alternatives if each.after == after]
    reports = [earlier for earlier in range(position) if _are_one_order(events[earlier], events[position])]
    return first not in reports and not any(_fits(each, events[earlier]) for each in alike for earlier in reports)


def _fits(alternative: Alternative, event: JourneyEvent) -> bool:
    """Whether the event matches by itself, whatever happened before it."""
    return alternative.event_name == event.event_name and all(
        _holds(condition, _actual(condition, event)) for condition in alternative.where
    )


def _are_one_order(event: JourneyEvent, other: JourneyEvent) -> bool:
    return _order_id(event) is not None and _order_id(event) == _order_id(other)


def _order_id(event: JourneyEvent) -> str | None:
    """Only of an order that was placed; None, too, where the sender wrote that there is none."""
    order_id = event.properties.get("order_id")
    if event.event_name != "order_completed" or order_id is None:
        return None
    is_none = _text(order_id).strip().lower() in ("", "null", "undefined", "none", "nan", "(not set)")
    return None if is_none else _text(order_id)


def _actual(condition: Condition, event: JourneyEvent) -> object:
    return (event.dimensions if condition.is_dimension else event.properties).get(condition.property)


def _holds(condition: Condition, actual: object) -> bool:
    """actual: what the event has there, None if it is absent or null."""
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


# Persons


@dataclass(frozen=True)
class Naming:
    """Whom an event names, by the sender's ids, and when it happened. seq: the sender's number, 0 when missing."""

    visitor: str | None
    customer: str | None
    at: int
    seq: int = 0


@dataclass(frozen=True)
class Undoing:
    """From `at` on, what linked the two until then does not count."""

    visitor: str
    customer: str
    at: int


def persons_oracle(events: Sequence[Naming], undone: Sequence[Undoing] = ()) -> list[str]:
    """The person behind each event: a customer's id, or `visitor ` and the id of one whom nobody identified."""
    return [_person(event, events, undone) for event in events]


def _person(event: Naming, events: Sequence[Naming], undone: Sequence[Undoing]) -> str:
    if event.customer is not None:
        return event.customer
    points = [
        (each.at, each.seq, each.customer)
        for each in events
        if each.visitor == event.visitor and each.customer is not None and not _is_undone(each, undone)
    ]
    before = [point for point in points if point[0] <= event.at]
    if before:
        return max(before)[-1]
    return min(points)[-1] if points else f"visitor {event.visitor}"


def _is_undone(point: Naming, undone: Sequence[Undoing]) -> bool:
    return any(
        (each.visitor, each.customer) == (point.visitor, point.customer) and point.at <= each.at for each in undone
    )
