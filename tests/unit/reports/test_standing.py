"""Where each attempt first stood at a step: the earliest, and known without what came later."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.funnel import Count, FunnelDefinition
from app.domain.time_range import MICROSECONDS_PER_SECOND
from app.match.chains import match_chains
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.standing import stood_at
from tests.journeys import JourneyEvent, at_us, journey
from tests.strategies import definitions, journeys
from tests.unit.reports.asking import ADDED, LONG_AFTER, ORDERED, VIEWED, YEAR, shop, step
from tests.unit.reports.journey_mirror import JourneyMirror

HELPED = "help_opened"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, 10)),
        ({"count": "entries"}, (0, 10)),
        ({"order": "any_order"}, (0, 10)),
        ({"same": ["cart"]}, (20, 40)),
        ({"same": ["cart"], "count": "entries"}, (0, 40)),
        ({"exclude": [{"after_step": 1, "before_step": 2, "any_of": [{"event": HELPED}]}]}, (20, 30)),
    ],
)
def test_where_they_stood_is_the_chain_that_was_there_first(
    mirror: JourneyMirror, options: dict[str, Any], expected: tuple[int, int]
) -> None:
    """In all of these the reported chain, that gets to the order within 15 seconds, has the product added at 40 s."""
    events = journey(
        "ana",
        (0, VIEWED, {"cart": "a"}),
        (5, HELPED),
        (10, ADDED, {"cart": "b"}),
        (20, VIEWED, {"cart": "b"}),
        (30, ADDED, {"cart": "c"}),
        (40, ADDED, {"cart": "a" if options.get("count") else "b"}),
        (50, ORDERED, {"cart": "a" if options.get("count") else "b"}),
    )
    last = step(ORDERED) if "order" in options else step(ORDERED, within_seconds=15)
    body = {"range": YEAR, "steps": [step(VIEWED), step(ADDED), last], **options}
    with mirror.scan(events, at_us(LONG_AFTER)) as scan:
        attempts = match_funnel(FunnelParams.model_validate(body).definition(shop()), scan)
        attempts = attempts.only(attempts.reached(1))
        standing = stood_at(attempts, 1, scan.stop)
        times = [attempts.times_us(positions) - at_us(0) for positions in standing]
    assert [tuple((each // MICROSECONDS_PER_SECOND).tolist()) for each in times] == [(second,) for second in expected]


def chain_up_to(attempts: Attempts, number: int, last: int) -> list[int]:
    """The positions of what would be reported of an attempt if its actor had done nothing for a step after `last`."""
    actor = int(attempts.chains.actor[number])
    mask = attempts.sequences.mask.copy()
    mask[last + 1 : attempts.sequences.offsets[actor + 1]] = 0
    sequences = attempts.sequences._replace(mask=mask)
    chains = match_chains(sequences, attempts.lanes, attempts.rules, np.zeros(1, np.uint8))
    for place in np.flatnonzero(chains.actor == actor):
        start = chains.start[place]
        found: list[int] = chains.position[start : start + chains.depth[place]].tolist()
        if attempts.definition.count is Count.UNIQUE or found[0] == attempts.positions(0)[number]:
            return found
    return []


@settings(max_examples=300)
@given(definitions(), journeys(), st.data())
def test_the_step_is_reached_there_and_not_before_whatever_comes_after(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], data: st.DataObject
) -> None:
    sure = [index for index, each in enumerate(definition.steps) if not each.optional]
    step_index = data.draw(st.sampled_from(sure))
    with mirror.scan(events, at_us(LONG_AFTER)) as scan:
        everybody = match_funnel(definition, scan)
    attempts = everybody.only(everybody.reached(step_index))
    standing = stood_at(attempts, step_index, np.zeros(1, np.uint8))
    assert len(standing.step) == len(attempts.depth)
    for number, (entry, reached) in enumerate(zip(*(column.tolist() for column in standing), strict=True)):
        found = chain_up_to(attempts, number, reached)
        assert (len(found), found[0], found[-1]) == (step_index + 1, entry, reached)
        assert len(chain_up_to(attempts, number, reached - 1)) <= step_index
