"""The matcher alone equals the oracle: many short journeys, with every option and all that can tie."""

from random import Random
from typing import Any, NamedTuple

import pytest

from app.domain.funnel import Alternative, Count, Exclusion, FunnelDefinition, Order, Step
from tests.journeys import JourneyEvent
from tests.oracle import attempts_oracle
from tests.unit.match import columns
from tests.unit.match.columns import Event, matched, positions

JOURNEYS = 300  # of each seed
TIMES = range(13)


class Result(NamedTuple):
    """chain: positions, -1 for a step it skipped."""

    actor: int
    chain: tuple[int, ...]
    is_open: bool


def by_matcher(actors: list[list[Event]], rules: dict[str, Any], now: int) -> list[Result]:
    found = matched(*actors, **rules)
    is_open = (found.depth < rules["steps"]) & (found.open_until_us >= now)
    columns = zip(found.actor, positions(found), is_open, strict=True)
    return [Result(int(actor), tuple(chain), bool(each)) for actor, chain, each in columns]


def by_oracle(actors: list[list[Event]], rules: dict[str, Any], now: int) -> list[Result]:
    """Every event has a name of its own: its position."""
    masks: list[int] = []
    times: list[int] = []
    events: list[JourneyEvent] = []
    for actor, own in enumerate(actors):
        for at, mask, *same in own:
            position = len(masks)
            properties: dict[str, object] = {"same": same[0]} if same else {}
            events.append(JourneyEvent(str(actor), at, str(position), properties, seq=position))
            masks.append(mask)
            times.append(at)

    def named(chosen: list[bool]) -> tuple[Alternative, ...]:
        return tuple(Alternative(str(position)) for position, each in enumerate(chosen) if each)

    steps = range(rules["steps"])
    definition = FunnelDefinition(
        steps=tuple(
            Step(
                named([bool(mask >> step & 1) for mask in masks]),
                label="step",
                within_us=rules["within"][step],
                not_before_us=rules["not_before"][step],
                optional=rules["optional"][step],
            )
            for step in steps
        ),
        start_us=rules["start"],
        end_us=rules["end"],
        conversion_window_us=rules["window"],
        order=Order.STRICT if rules["is_strict"] else Order.ANY_ORDER if rules["is_any_order"] else Order.IN_ORDER,
        count=Count.ENTRIES if rules["counts_entries"] else Count.UNIQUE,
        exclude=tuple(Exclusion(x.after, x.before, named([at in x.times for at in times])) for x in rules["exclude"]),
        same=("same",) if any(event.properties for event in events) else (),
    )
    return [
        Result(int(str(actor)), tuple(int(event.event_name) if event else -1 for event in each.chain), each.in_progress)
        for actor, attempts in sorted(attempts_oracle(definition, events, now).items(), key=lambda pair: str(pair[0]))
        for each in attempts
    ]


def random_actors(random: Random, steps: int) -> list[list[Event]]:
    """Some events match no step, some several. Lanes only in some journeys, and then of all events."""
    has_lanes = random.random() < 0.3
    actors: list[list[Event]] = []
    for _ in range(random.choice((1, 1, 2, 3))):
        actors.append([])
        for at in sorted(random.choices(TIMES, k=random.randrange(3, 14))):
            mask = sum({1 << random.randrange(steps) for _ in range(random.choice((0, 1, 1, 1, 1, 2)))})
            actors[-1].append((at, mask, random.choice((1, 1, 2))) if has_lanes else (at, mask))
    return actors


def random_rules(random: Random, steps: int) -> dict[str, Any]:
    """Without options, with some of them, or in any order, which goes with none."""
    kind = random.choice(("plain", "any order", "options", "options", "options"))
    has_options = kind == "options"
    rules: dict[str, Any] = {
        "steps": steps,
        "window": random.choice((4, 12, 12)),
        "start": random.choice((0, 0, 0, 2)),
        "end": random.choice((7, 13, 13)),
        "counts_entries": random.random() < 0.4,
        "is_any_order": kind == "any order",
        "is_strict": has_options and random.random() < 0.2,
        "within": [None] * steps,
        "not_before": [0] * steps,
        "optional": [False] * steps,
        "exclude": [],
    }
    if has_options:
        likely = random.choice((0.2, 0.5))  # which option a rule may have is left to others
        if random.random() < 0.5:
            rules["not_before"] = [random.choice((1, 2)) if random.random() < likely else 0 for _ in range(steps)]
        if random.random() < 0.5:
            rules["within"] = [random.choice((2, 3, 5)) if random.random() < likely else None for _ in range(steps)]
        if random.random() < 0.5:
            rules["optional"] = [step > 0 and random.random() < likely for step in range(steps)]
        rules["exclude"] = random_exclusions(random, rules["optional"])
    return rules


def random_exclusions(random: Random, optional: list[bool]) -> list[columns.Exclusion]:
    required = [step for step, each in enumerate(optional) if not each]
    found = []
    for _ in range(random.choice((0, 0, 1, 2)) if len(required) > 1 else 0):
        after, before = sorted(random.sample(required, 2))
        found.append(columns.Exclusion(after, before, tuple(random.sample(TIMES, k=random.choice((1, 2, 3))))))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_short_journeys_have_the_chains_that_the_oracle_gives(seed: int) -> None:
    random = Random(seed)
    for _ in range(JOURNEYS):
        steps = random.choice((1, 2, 3, 3, 4, 4, 4, 5))
        actors, rules, now = random_actors(random, steps), random_rules(random, steps), random.choice(range(4, 26))
        assert by_matcher(actors, rules, now) == by_oracle(actors, rules, now), (actors, rules, now)
