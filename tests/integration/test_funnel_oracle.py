"""Random journeys through the front door, in any order and more than once: the report says what the oracle says."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.funnel import Alternative, Condition, FunnelDefinition, Operator, Step
from app.domain.stages import DEFAULT_STAGES, stage_alternatives
from app.domain.time_range import from_us
from tests.journeys import DAY, JourneyEvent, at_us
from tests.oracle import funnel_oracle, reached_counts
from tests.service import Service
from tests.strategies import definitions, journeys

LONG_AFTER_US = at_us(10_000 * DAY)
DAY_US = DAY * 1_000_000
STAGES = ("consideration", "decision", "purchase", "retention")

# Each example has a day and persons of its own, so that all can share one storefront: days before the journeys' own.
days = count(0, -1)


def sent(event: JourneyEvent, day: int) -> dict[str, Any]:
    """Half of the persons' events come from another device, or are named by the customer alone."""
    person, device = f"{event.person} {day}", event.stored % 3
    named = {"customer_id": person} if device == 2 else {"visitor_id": f"{person} device {device}"}
    return {
        **named,
        "event": event.event_name,
        "event_id": str(uuid4()),
        "client_time": from_us(event.occurred_at_us + day * DAY_US).isoformat(),
        "seq": event.seq,
        "properties": event.properties,
    }


def logins(persons: set[str], day: int) -> list[dict[str, Any]]:
    """What makes two devices and a customer one person; these events are part of no funnel."""
    return [
        {
            "event": "customer_identified",
            "event_id": str(uuid4()),
            "visitor_id": f"{person} {day} device {device}",
            "customer_id": f"{person} {day}",
            "client_time": from_us(at_us(5) + day * DAY_US).isoformat(),
        }
        for person in persons
        for device in (0, 1)
    ]


@st.composite
def asked(draw: st.DrawFn) -> tuple[FunnelDefinition, list[dict[str, Any]]]:
    """A funnel, and its steps as a request has them: stages stand where an `after` can be asked for."""
    definition = draw(definitions())
    steps, bodies = [], []
    for step in definition.steps:
        alternatives: list[Alternative] = []
        body = []
        for alternative in step.any_of:
            where = tuple(map(askable, alternative.where))
            if draw(st.integers(0, 3)):
                alternatives.append(Alternative(alternative.event_name, where))
                body.append({"event": alternative.event_name, "where": list(map(condition_body, where))})
            else:
                stage = draw(st.sampled_from(STAGES))
                alternatives += stage_alternatives(DEFAULT_STAGES, stage, where)
                body.append({"stage": stage, "where": list(map(condition_body, where))})
        steps.append(Step(tuple(alternatives), step.label))
        bodies.append({"any_of": body})
    return replace(definition, steps=tuple(steps)), bodies


def askable(condition: Condition) -> Condition:
    """`<` and `>` of a truth value are refused."""
    compares = condition.op in (Operator.LESS, Operator.GREATER)
    return replace(condition, value=10) if compares and isinstance(condition.value, bool) else condition


def condition_body(condition: Condition) -> dict[str, Any]:
    value = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    return {"property": condition.property, "op": condition.op.value, "value": value}


def batches(events: Sequence[dict[str, Any]], again: Sequence[int], cuts: Sequence[int]) -> list[list[dict[str, Any]]]:
    """The events in their order, some sent a second time at the end of everything, cut into requests."""
    everything = [*events, *(events[place % len(events)] for place in again if events)]
    bounds = [0, *sorted(cut % (len(everything) + 1) for cut in cuts), len(everything)]
    return [everything[a:b] for a, b in pairwise(bounds) if a < b]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=asked(),
    events=journeys(),
    again=st.lists(st.integers(0, 99), max_size=8),
    cuts=st.lists(st.integers(0, 99), max_size=4),
    at_once=st.booleans(),
)
async def test_the_report_equals_the_oracle(
    service: Service,
    asked: tuple[FunnelDefinition, list[dict[str, Any]]],
    events: list[JourneyEvent],
    again: list[int],
    cuts: list[int],
    at_once: bool,
) -> None:
    (definition, steps), day = asked, next(days)
    if at_once:  # nobody knows in which order they arrive, so something else must order them
        events = [replace(event, seq=number) for number, event in enumerate(events)]
    everything = [*(sent(event, day) for event in events), *logins({e.person for e in events}, day)]
    requests = batches(everything, again, cuts)
    if at_once:
        replies = await asyncio.gather(*map(service.send, requests))
    else:
        replies = [await service.send(request) for request in requests]
    assert {reply.status_code for reply in replies} <= {200}
    assert sum(reply.json()["stored"] for reply in replies) == len(everything)

    reply = await service.funnel(
        {
            "range": {
                "start": from_us(definition.start_us + day * DAY_US).isoformat(),
                "end": from_us(definition.end_us + day * DAY_US).isoformat(),
            },
            "steps": steps,
            "conversion_window_seconds": definition.conversion_window_us // 1_000_000,
        }
    )
    assert reply.status_code == 200, reply.text
    found = reply.json()["steps"]
    results = funnel_oracle(definition, events, LONG_AFTER_US)
    assert [step["reached_count"] for step in found] == reached_counts(definition, results)
    for number, step in enumerate(found[1:], start=1):
        chains = [each.times_us for each in results.values() if each.depth > number]
        spans = sorted((chain[number] - chain[0]) / 1_000_000 for chain in chains)
        durations = step["seconds_from_entry"]
        assert (durations is None) == (not spans)
        if durations:
            assert (durations["min"], durations["max"]) == (spans[0], spans[-1])
