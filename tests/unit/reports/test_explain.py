"""What explains a step: tables counted by hand, no looking ahead, and effects that are found or not there."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import Invalid
from app.reports.funnel.explain import EXPLAIN, ExplainParams, ExplainQuery, ExplainResult
from app.reports.funnel.factors import Factor, factors_of
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.traits import Counted, Trait, TraitKind
from tests.journeys import DAY, HOUR, MINUTE, Happening, JourneyEvent, at_us, journey
from tests.unit.reports.asking import ADDED, LONG_AFTER, ORDERED, VIEWED, YEAR, shop, step
from tests.unit.reports.journey_mirror import Identity, JourneyMirror

SEARCHED, HELPED = "product_searched", "help_opened"


def ask(
    mirror: JourneyMirror,
    events: Sequence[JourneyEvent],
    *steps: str | dict[str, Any],
    at: float = LONG_AFTER,
    identity: Any = None,
    query: dict[str, Any] | None = None,
    **members: Any,
) -> ExplainResult:
    body = {"range": YEAR, "steps": [each if isinstance(each, dict) else step(each) for each in steps], **members}
    with mirror.scan(events, at_us(at), identity=identity) as scan:
        params = ExplainParams(
            funnel=FunnelParams.model_validate(body), query=ExplainQuery(**{"min_support_count": 1, **(query or {})})
        )
        return EXPLAIN.run(params, scan, shop())


def crowd(prefix: str, count: int, *happenings: Happening) -> list[JourneyEvent]:
    """So many persons who all do the same."""
    return [event for number in range(count) for event in journey(f"{prefix} {number}", *happenings)]


def told(factors: Sequence[Factor]) -> list[tuple[str, str | None, str | None]]:
    return [(each.name, each.of, each.value) for each in factors]


def events_of(result: ExplainResult) -> dict[str, tuple[int, int, int, int]]:
    """With, with and converted, without, without and converted; of the significant events."""
    return {
        each.name: (each.with_count, each.with_converted_count, each.without_count, each.without_converted_count)
        for each in [*result.more_likely, *result.less_likely]
        if each.kind is TraitKind.EVENT
    }


SEARCHED_BEFORE: list[JourneyEvent] = [
    *crowd("searches, buys", 12, (0, SEARCHED), (10, VIEWED, {"device": "desktop"}), (20, ORDERED)),
    *crowd("searches", 4, (0, SEARCHED), (10, VIEWED, {"device": "desktop"})),
    *crowd("buys", 3, (10, VIEWED, {"device": "phone"}), (20, ORDERED)),
    *crowd("views", 16, (10, VIEWED, {"device": "phone"})),
    *crowd("has no device", 5, (10, VIEWED)),
]


# The table of each


def test_an_event_done_before_is_given_with_its_table(mirror: JourneyMirror) -> None:
    result = ask(mirror, SEARCHED_BEFORE, VIEWED, ORDERED)

    assert (result.step_number, result.label, result.from_step_number, result.from_label) == (2, ORDERED, 1, VIEWED)
    assert (result.population_count, result.converted_count, result.dropped_count) == (40, 15, 25)
    assert result.conversion_ratio == 15 / 40
    searched = next(each for each in result.more_likely if each.name == SEARCHED)
    assert searched.model_dump() == {
        "kind": "event",
        "name": SEARCHED,
        "of": None,
        "value_kind": None,
        "value": None,
        "above": None,
        "up_to": None,
        "with_count": 16,
        "with_converted_count": 12,
        "without_count": 24,
        "without_converted_count": 3,
        "with_ratio": 0.4,
        "with_conversion_ratio": 0.75,
        "without_conversion_ratio": 0.125,
        "odds_ratio": pytest.approx(12 * 21 / (4 * 3)),
        "odds_ratio_low": pytest.approx(4.007, abs=0.001),
        "odds_ratio_high": pytest.approx(110.06, abs=0.01),
        "p_value": pytest.approx(0.000128, abs=0.000001),
        "p_value_adjusted": pytest.approx(0.000256, abs=0.000001),
    }


def test_values_of_the_entry_go_either_way_and_what_is_not_set_counts_as_one(mirror: JourneyMirror) -> None:
    result = ask(mirror, SEARCHED_BEFORE, VIEWED, ORDERED)

    assert told(result.more_likely) == [(SEARCHED, None, None), ("device", "entry", "desktop")]
    assert told(result.less_likely) == [("device", "entry", "phone")]
    assert (result.less_likely[0].with_count, result.less_likely[0].with_converted_count) == (19, 3)
    assert result.tested_count == 4  # the event, desktop, phone, and no device, which could be chance (0 of 5)


def test_no_more_than_the_limit_in_each_list(mirror: JourneyMirror) -> None:
    result = ask(mirror, SEARCHED_BEFORE, VIEWED, ORDERED, query={"limit": 1})

    assert (len(result.more_likely), len(result.less_likely)) == (1, 1)


def test_what_too_few_have_or_lack_is_not_tested(mirror: JourneyMirror) -> None:
    assert ask(mirror, SEARCHED_BEFORE, VIEWED, ORDERED, query={"min_support_count": 6}).tested_count == 3
    assert ask(mirror, SEARCHED_BEFORE, VIEWED, ORDERED, query={"min_support_count": 17}).tested_count == 1
    assert ask(mirror, SEARCHED_BEFORE, VIEWED, ORDERED, query={"min_support_count": 20}).tested_count == 0


def test_the_surest_comes_first_not_the_wildest_ratio(mirror: JourneyMirror) -> None:
    events = [
        *crowd("few", 9, (0, HELPED), (10, VIEWED), (20, ORDERED)),
        *crowd("many", 80, (0, SEARCHED), (10, VIEWED), (20, ORDERED)),
        *crowd("many without", 20, (0, SEARCHED), (10, VIEWED)),
        *crowd("neither", 100, (10, VIEWED)),
        *crowd("neither, buys", 9, (10, VIEWED), (20, ORDERED)),
    ]
    more = ask(mirror, events, VIEWED, ORDERED).more_likely

    assert [each.name for each in more] == [SEARCHED, HELPED]
    assert [round(each.odds_ratio_low, 1) for each in more] == [11.0, 1.5]


def test_nobody_in_the_funnel_is_answered_with_nothing(mirror: JourneyMirror) -> None:
    result = ask(mirror, [], VIEWED, ORDERED)

    assert (result.population_count, result.conversion_ratio, result.tested_count) == (0, None, 0)
    assert (result.more_likely, result.less_likely) == ([], [])


# Steps


def test_the_events_of_the_steps_are_never_among_them(mirror: JourneyMirror) -> None:
    events = [
        *crowd("buys", 10, (0, VIEWED), (1, ADDED), (5, VIEWED), (6, ADDED, {"size": 1}), (20, ORDERED)),
        *crowd("views", 10, (0, VIEWED), (6, ADDED, {"size": 1})),
    ]
    sized = step(ADDED) | {"any_of": [{"event": ADDED, "where": [{"property": "size", "op": "=", "value": 1}]}]}

    assert ask(mirror, events, VIEWED, sized, ORDERED).tested_count == 0


def test_those_who_reached_the_step_before_are_compared(mirror: JourneyMirror) -> None:
    events = [
        *crowd("buys", 8, (0, VIEWED), (5, HELPED), (10, ADDED, {"size": "L"}), (20, ORDERED)),
        *crowd("adds", 8, (0, VIEWED), (10, ADDED, {"size": "S"})),
        *crowd("views", 30, (0, VIEWED), (5, HELPED)),
    ]
    result = ask(mirror, events, VIEWED, ADDED, ORDERED)

    assert (result.population_count, result.converted_count) == (16, 8)
    assert events_of(result) == {HELPED: (8, 8, 8, 0)}
    assert [(each.name, each.of, each.value) for each in result.less_likely] == [("size", "step", "S")]
    second = ask(mirror, events, VIEWED, ADDED, ORDERED, query={"step": 2})
    assert (second.step_number, second.population_count, second.converted_count) == (2, 46, 16)


def test_a_step_that_may_be_skipped_is_not_where_they_are_compared(mirror: JourneyMirror) -> None:
    """Only those who skip it and go on count as having reached it."""
    events = [
        *crowd("skips, buys", 4, (0, VIEWED), (20, ORDERED)),
        *crowd("adds, buys", 3, (0, VIEWED), (10, ADDED), (20, ORDERED)),
        *crowd("adds", 2, (0, VIEWED), (10, ADDED)),
        *crowd("views", 5, (0, VIEWED)),
    ]
    result = ask(mirror, events, VIEWED, step(ADDED, optional=True), ORDERED)

    assert (result.from_step_number, result.population_count, result.converted_count) == (1, 14, 7)


# Not ahead


def test_what_was_done_after_the_step_before_does_not_count(mirror: JourneyMirror) -> None:
    events = [
        *crowd("buys", 20, (0, VIEWED), (5, HELPED), (20, ORDERED)),
        *crowd("views", 20, (0, VIEWED)),
    ]

    assert ask(mirror, events, VIEWED, ORDERED).tested_count == 0


def test_what_was_done_longer_before_the_entry_than_the_window_does_not_count(mirror: JourneyMirror) -> None:
    def buyers(helped_at: float) -> list[JourneyEvent]:
        return [
            *crowd("buys", 10, (helped_at, HELPED), (2 * DAY, VIEWED), (2 * DAY + 1, ORDERED)),
            *crowd("views", 10, (2 * DAY, VIEWED)),
        ]

    window: dict[str, Any] = {"conversion_window_seconds": DAY}
    assert events_of(ask(mirror, buyers(DAY), VIEWED, ORDERED, **window)) == {HELPED: (10, 10, 10, 0)}
    assert events_of(ask(mirror, buyers(DAY - 1), VIEWED, ORDERED, **window)) == {}


def test_at_the_same_instant_the_senders_number_says_what_came_before(mirror: JourneyMirror) -> None:
    def buyers(helped_seq: int) -> list[JourneyEvent]:
        return [
            event
            for number in range(10)
            for event in (
                JourneyEvent(f"buys {number}", at_us(0), HELPED, {}, seq=helped_seq, stored=0),
                JourneyEvent(f"buys {number}", at_us(0), VIEWED, {}, seq=5, stored=1),
                JourneyEvent(f"buys {number}", at_us(1), ORDERED, {}, stored=2),
            )
        ] + crowd("views", 10, (0, VIEWED))

    assert events_of(ask(mirror, buyers(4), VIEWED, ORDERED)) == {HELPED: (10, 10, 10, 0)}
    assert events_of(ask(mirror, buyers(5), VIEWED, ORDERED)) == {}


def test_everybody_stands_at_their_first_visit_not_at_the_one_that_converted(mirror: JourneyMirror) -> None:
    """The reported chain of a buyer begins with the last view; a help page after the first one is no difference."""
    events = [
        *crowd("buys", 20, (0, VIEWED, {"n": 1}), (5, HELPED), (10, VIEWED, {"n": 2}), (20, ORDERED)),
        *crowd("views", 20, (0, VIEWED, {"n": 1}), (5, HELPED), (10, VIEWED, {"n": 2})),
    ]
    result = ask(mirror, events, VIEWED, ORDERED)

    assert (result.population_count, result.converted_count, result.tested_count) == (40, 20, 0)


def test_attempts_stand_each_by_itself(mirror: JourneyMirror) -> None:
    """The search lies before the second attempt only, and within its window."""
    visits = ((0, VIEWED), (2 * HOUR, SEARCHED), (2 * HOUR + 1, VIEWED), (2 * HOUR + 2, ORDERED))
    result = ask(mirror, crowd("buys", 10, *visits), VIEWED, ORDERED, count="entries", conversion_window_seconds=HOUR)

    assert (result.population_count, result.converted_count) == (20, 10)
    assert events_of(result) == {SEARCHED: (10, 10, 10, 0)}


def test_whose_window_is_open_is_left_out_converted_or_not(mirror: JourneyMirror) -> None:
    events = [
        *crowd("early, buys", 3, (0, VIEWED), (10, ORDERED)),
        *crowd("early", 4, (0, VIEWED)),
        *crowd("late, buys", 5, (HOUR, VIEWED), (HOUR + 10, ORDERED)),
        *crowd("late", 6, (HOUR, VIEWED)),
        *crowd("back, buys", 2, (0, VIEWED), (10, ORDERED), (HOUR, VIEWED)),
        *crowd("back", 1, (0, VIEWED), (HOUR, VIEWED)),
    ]
    result = ask(mirror, events, VIEWED, ORDERED, at=HOUR + 30 * MINUTE, conversion_window_seconds=HOUR)

    assert (result.population_count, result.converted_count) == (7, 3)
    assert (result.open_count, result.open_converted_count) == (14, 7)
    assert result.valid_until_us == at_us(2 * HOUR)


def test_a_person_is_one_under_all_names(mirror: JourneyMirror) -> None:
    """Each searches as a visitor and views as the customer that the visitor became."""
    events = [*crowd("buys", 10, (0, SEARCHED), (10, VIEWED), (20, ORDERED)), *crowd("views", 10, (10, VIEWED))]
    numbers = {name: number for number, name in enumerate(sorted({event.person for event in events}), start=1)}

    def identity(event: JourneyEvent) -> Identity:
        return Identity(customer_id=numbers[event.person], visitor_id=100 + numbers[event.person])

    assert events_of(ask(mirror, events, VIEWED, ORDERED, identity=identity)) == {SEARCHED: (10, 10, 10, 0)}


# Values


def test_many_numbers_are_taken_in_four_ranges(mirror: JourneyMirror) -> None:
    events = [
        event
        for price in range(1, 101)
        for event in journey(f"person {price}", (0, VIEWED, {"price": price}), *([(1, ORDERED)] if price <= 25 else []))
    ]
    result = ask(mirror, events, VIEWED, ORDERED)

    assert [(each.value_kind, each.above, each.up_to, each.with_count) for each in result.more_likely] == [
        ("range", None, 25, 25)
    ]
    assert [(each.above, each.up_to) for each in result.less_likely] == [(25, 50), (50, 75), (75, None)]
    assert {each.value for each in result.less_likely} == {None}


def test_an_id_is_skipped_and_said_so(mirror: JourneyMirror) -> None:
    events = [
        event
        for number in range(40)
        for event in journey(f"person {number}", (0, VIEWED, {"page_id": f"id-{number}", "currency": "EUR"}))
    ]
    result = ask(mirror, events, VIEWED, ORDERED, query={"min_support_count": 2})

    skipped = [(each.kind, each.name, each.of, each.reason) for each in result.skipped]
    assert ("property", "page_id", "entry", "no_comparison") in skipped
    assert ("property", "currency", "entry", "no_comparison") in skipped
    assert ("dimension", "page_path", "entry", "no_comparison") in skipped
    assert result.skipped_count == len(skipped)


def test_properties_beyond_fifty_are_skipped_the_rarest_first(mirror: JourneyMirror) -> None:
    many = {f"p{number:02}": "x" for number in range(50)}
    events = [*crowd("has all", 5, (0, VIEWED, many)), *crowd("has one more", 1, (0, VIEWED, {**many, "rare": "x"}))]
    result = ask(mirror, events, VIEWED, ORDERED)

    assert [each.name for each in result.skipped if each.reason == "too_many_properties"] == ["rare"]


HOSTILE = ["'; DROP TABLE event; --", "/a~b", "$.x[*]", "\u202e<script>", "?", "💥" * 300]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_and_values_of_any_kind_stay_what_they_are(mirror: JourneyMirror, name: str) -> None:
    events = [
        *crowd("buys", 10, (0, "visit " + name), (1, VIEWED, {name: name}), (2, ORDERED)),
        *crowd("views", 10, (1, VIEWED, {name: "other"})),
    ]
    result = ask(mirror, events, VIEWED, ORDERED)

    assert (name, "entry", name[:200]) in told(result.more_likely)
    assert ("visit " + name, None, None) in told(result.more_likely)


# Effects


def shoppers(seed: int, count: int, lift: float) -> list[JourneyEvent]:
    """Who had searched, or came on the desktop, converts with 0.3 + lift, others with 0.3; thirty traits do nothing."""
    rng = random.Random(seed)
    events: list[JourneyEvent] = []
    for number in range(count):
        searched, desktop = rng.random() < 0.5, rng.random() < 0.5
        before: list[Happening] = [(rng.random(), f"noise_{noise}") for noise in range(15) if rng.random() < 0.4]
        if searched:
            before.append((2, SEARCHED))
        properties = {f"noise_{noise}": rng.choice("ab") for noise in range(15)}
        properties["device"] = "desktop" if desktop else "phone"
        converts = rng.random() < 0.3 + lift * searched - lift * (not desktop)
        after: list[Happening] = [(20, ORDERED)] if converts else []
        events += journey(f"person {number}", *before, (10, VIEWED, properties), *after)
    return events


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_effect_is_found_in_its_direction(mirror: JourneyMirror, seed: int) -> None:
    result = ask(mirror, shoppers(seed, 1_500, 0.2), VIEWED, ORDERED, query={"min_support_count": 30})

    assert set(told(result.more_likely)) >= {(SEARCHED, None, None), ("device", "entry", "desktop")}
    assert ("device", "entry", "phone") in told(result.less_likely)


def test_where_there_is_no_effect_hardly_anything_is_called_one(mirror: JourneyMirror) -> None:
    """The chance of a false alarm in one question is at most 5 %, so of more than two in ten about 1 %."""
    results = [ask(mirror, shoppers(seed, 400, 0), VIEWED, ORDERED) for seed in range(10)]

    assert min(result.tested_count for result in results) >= 30
    assert sum(bool(result.more_likely or result.less_likely) for result in results) <= 2


def test_p_values_are_adjusted_for_everything_tested() -> None:
    counted = [Counted(Trait(TraitKind.EVENT, str(number)), 100, 50) for number in range(9)]
    counted.append(Counted(Trait(TraitKind.EVENT, "effect"), 100, 70))
    effect = factors_of(counted, 200, 100, 30)[-1]

    assert effect.p_value_adjusted == pytest.approx(10 * effect.p_value)


# Refused


@pytest.mark.parametrize(
    ("steps", "number", "advice"),
    [
        ([VIEWED, ORDERED], 1, "name one from 2 to 2"),
        ([VIEWED, ORDERED], 3, "has 2 steps"),
        ([VIEWED], None, "another one"),
    ],
)
def test_a_step_without_one_before_it_is_refused(
    mirror: JourneyMirror, steps: list[str], number: int | None, advice: str
) -> None:
    with pytest.raises(Invalid) as caught:
        ask(mirror, [], *steps, query={"step": number})

    [fault] = caught.value.errors
    assert fault.pointer == "/query/step"
    assert advice in fault.detail
