"""Random journeys through the front door, in any order and more than once: the report says what the oracle says."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.domain.funnel import Alternative, Condition, FunnelDefinition, Operator, PersonFilter, Step
from app.domain.stages import DEFAULT_STAGES, stage_alternatives
from app.domain.time_range import from_us
from tests.journeys import DAY, JourneyEvent, at_us
from tests.oracle import ActorResult, done_counts, funnel_oracle, reached_counts
from tests.service import Service
from tests.strategies import SESSION_TIMEOUT_US, conditions, definitions, journeys

LONG_AFTER_US = at_us(10_000 * DAY)
DAY_US = DAY * 1_000_000
FUNNELS = 5  # asked of the same events, as sending those takes longest
STAGES = ("consideration", "decision", "purchase", "retention")

# Each example has a day and persons of its own, so that all can share one storefront: days before the journeys' own.
days = count(0, -1)


@pytest.fixture
async def shop(service: Service) -> Service:
    """Its sessions are as short as the journeys need it."""
    async with service.engine.begin() as connection:
        statement = text("UPDATE storefront SET session_timeout_seconds = :seconds")
        await connection.execute(statement, {"seconds": SESSION_TIMEOUT_US // 1_000_000})
    return service


def sent(event: JourneyEvent, day: int) -> dict[str, Any]:
    """Half of the persons' events come from another device, or are named by the customer alone."""
    person, device = f"{event.person} {day}", event.stored % 3
    named = {"customer_id": person} if device == 2 else {"visitor_id": f"{person} device {device}"}
    if event.account:
        named["account_id"] = f"{event.account} {day}"
    return {
        **named,
        "event": event.event_name,
        "event_id": str(uuid4()),
        "client_time": from_us(event.occurred_at_us + day * DAY_US).isoformat(),
        "seq": event.seq,
        "properties": event.properties,
    }


def logins(persons: set[str]) -> list[JourneyEvent]:
    """What makes two devices and a customer one person. They match no step, but lie between others."""
    return [JourneyEvent(person, at_us(5), "customer_identified", {}) for person in sorted(persons) for _ in (0, 1)]


def sent_login(event: JourneyEvent, device: int, day: int) -> dict[str, Any]:
    person = f"{event.person} {day}"
    return {**sent(event, day), "visitor_id": f"{person} device {device}", "customer_id": person}


@dataclass(frozen=True)
class Asked:
    """A funnel, and what a request says beside its range."""

    definition: FunnelDefinition
    members: dict[str, Any]

    def body(self, day: int) -> dict[str, Any]:
        """As the request of that day: person filters have ranges too."""
        definition = self.definition
        persons = [
            {name: {"any_of": any_of, "range": range_body(each, day)}}
            for each, (name, any_of) in zip(definition.persons, self.members["persons"], strict=True)
        ]
        return {
            "range": range_body(definition, day),
            "steps": self.members["steps"],
            "exclude": self.members["exclude"],
            "filters": self.members["filters"] + persons,
            "order": definition.order.value,
            "actor": definition.actor.value,
            "count": definition.count.value,
            "same": list(definition.same),
            "conversion_window_seconds": definition.conversion_window_us // 1_000_000,
        }


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    definition = draw(definitions())
    filters = tuple(map(askable, draw(st.sampled_from((0, 0, 0, 1)).flatmap(some_conditions))))
    steps, exclude, persons = [], [], []
    members: dict[str, Any] = {"steps": [], "exclude": [], "persons": []}
    for step in definition.steps:
        any_of, bodies = draw(askable_alternatives(step.any_of, filters))
        steps.append(replace(step, any_of=any_of))
        members["steps"].append(step_body(step, bodies))
    for exclusion in definition.exclude:
        any_of, bodies = draw(askable_alternatives(exclusion.any_of))
        exclude.append(replace(exclusion, any_of=any_of))
        numbers = {"after_step": exclusion.after_step + 1, "before_step": exclusion.before_step + 1}
        members["exclude"].append({**numbers, "any_of": bodies})
    for person in definition.persons:
        any_of, bodies = draw(askable_alternatives(person.any_of))
        persons.append(replace(person, any_of=any_of))
        members["persons"].append(("did" if person.did else "did_not", bodies))
    members["filters"] = list(map(condition_body, filters))
    changed = replace(definition, steps=tuple(steps), exclude=tuple(exclude), persons=tuple(persons))
    return Asked(replace(changed, session_timeout_us=SESSION_TIMEOUT_US), members)


def some_conditions(count: int) -> st.SearchStrategy[list[Condition]]:
    return st.lists(conditions(), min_size=count, max_size=count)


@st.composite
def askable_alternatives(
    draw: st.DrawFn, any_of: Sequence[Alternative], filters: tuple[Condition, ...] = ()
) -> tuple[tuple[Alternative, ...], list[dict[str, Any]]]:
    """Alternatives and how a request has them: stages stand where an `after` can be asked for.

    filters: hold for each alternative, and are said elsewhere in the request.
    """
    alternatives: list[Alternative] = []
    bodies: list[dict[str, Any]] = []
    for alternative in any_of:
        where = tuple(map(askable, alternative.where))
        condition_bodies = list(map(condition_body, where))
        if draw(st.integers(0, 3)):
            alternatives.append(Alternative(alternative.event_name, where + filters))
            bodies.append({"event": alternative.event_name, "where": condition_bodies})
        else:
            stage = draw(st.sampled_from(STAGES))
            alternatives += stage_alternatives(DEFAULT_STAGES, stage, where + filters)
            bodies.append({"stage": stage, "where": condition_bodies})
    return tuple(alternatives), bodies


def askable(condition: Condition) -> Condition:
    """`<` and `>` of a truth value are refused."""
    compares = condition.op in (Operator.LESS, Operator.GREATER)
    return replace(condition, value=10) if compares and isinstance(condition.value, bool) else condition


def step_body(step: Step, any_of: list[dict[str, Any]]) -> dict[str, Any]:
    options = {
        "within_seconds": step.within_us and step.within_us // 1_000_000,
        "not_before_seconds": step.not_before_us // 1_000_000,
        "optional": step.optional,
    }
    return {"any_of": any_of, **{name: value for name, value in options.items() if value}}


def condition_body(condition: Condition) -> dict[str, Any]:
    value = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    return {"property": condition.property, "op": condition.op.value, "value": value}


def range_body(limits: FunnelDefinition | PersonFilter, day: int) -> dict[str, str]:
    bounds = {"start": limits.start_us, "end": limits.end_us}
    return {name: from_us(bound_us + day * DAY_US).isoformat() for name, bound_us in bounds.items()}


def batches(events: Sequence[dict[str, Any]], again: Sequence[int], cuts: Sequence[int]) -> list[list[dict[str, Any]]]:
    """The events in their order, some sent a second time at the end of everything, cut into requests."""
    everything = [*events, *(events[place % len(events)] for place in again if events)]
    bounds = [0, *sorted(cut % (len(everything) + 1) for cut in cuts), len(everything)]
    return [everything[a:b] for a, b in pairwise(bounds) if a < b]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    funnels=st.lists(asked(), min_size=FUNNELS, max_size=FUNNELS),
    events=journeys(),
    again=st.lists(st.integers(0, 99), max_size=8),
    cuts=st.lists(st.integers(0, 99), max_size=4),
    at_once=st.booleans(),
)
async def test_the_report_equals_the_oracle(
    shop: Service,
    funnels: list[Asked],
    events: list[JourneyEvent],
    again: list[int],
    cuts: list[int],
    at_once: bool,
) -> None:
    day = next(days)
    if at_once:  # nobody knows in which order they arrive, so something else must order them
        events = [replace(event, seq=number) for number, event in enumerate(events)]
    linking = logins({event.person for event in events})
    everything = [sent(event, day) for event in events]
    everything += [sent_login(event, number % 2, day) for number, event in enumerate(linking)]
    requests = batches(everything, again, cuts)
    if at_once:
        replies = await asyncio.gather(*map(shop.send, requests))
    else:
        replies = [await shop.send(request) for request in requests]
    assert {reply.status_code for reply in replies} <= {200}
    assert sum(reply.json()["stored"] for reply in replies) == len(everything)

    for each in funnels:
        reply = await shop.funnel(each.body(day))
        assert reply.status_code == 200, reply.text
        results = funnel_oracle(each.definition, [*events, *linking], LONG_AFTER_US, SESSION_TIMEOUT_US)
        assert_equal(reply.json()["steps"], each.definition, list(results.values()))


def assert_equal(steps: list[dict[str, Any]], definition: FunnelDefinition, results: list[ActorResult]) -> None:
    """Counts, and the least and most time from the entry to each step."""
    by_number = dict(enumerate(results))
    assert [step["reached_count"] for step in steps] == reached_counts(definition, by_number)
    assert [step["done_count"] for step in steps] == [done and done[0] for done in done_counts(definition, by_number)]
    for number, step in enumerate(steps[1:], start=1):
        chains = [each.times_us for each in results if each.depth > number]
        times_us = [(chain[0], chain[number]) for chain in chains]
        spans = sorted((at - entry) / 1_000_000 for entry, at in times_us if entry is not None and at is not None)
        durations = step["seconds_from_entry"]
        assert (durations is None) == (not spans)
        if durations:
            assert (durations["min"], durations["max"]) == (spans[0], spans[-1])
