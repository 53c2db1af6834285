"""Why people stopped: each reason by an example, and all of them as a slow reading of the rules says."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from app.domain.funnel import Actor, Count, FunnelDefinition, Order
from app.reports.funnel.drop_off import DROP_OFF, DropOffParams, DropOffQuery, DropOffResult
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.next_events import find_next
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.people import PEOPLE, PeopleParams, PeopleQuery, choose
from app.reports.funnel.people_rows import Outcome, Reason
from app.reports.funnel.reasons import REASONS, ReasonName, find_reasons
from tests.journeys import DAY, HOUR, MINUTE, JourneyEvent, at_us, journey
from tests.oracle import ActorResult, Marked, _actors, _order, _text, attempts_oracle
from tests.strategies import SESSION_TIMEOUT_US, definitions, journeys
from tests.unit.reports.asking import ADDED, LONG_AFTER, ORDERED, VIEWED, YEAR, range_of, shop, step
from tests.unit.reports.journey_mirror import JourneyMirror

LONG_AFTER_US = at_us(LONG_AFTER)
PROMOTED = "promotion_viewed"


def drop_off(
    mirror: JourneyMirror, events: Sequence[JourneyEvent], number: int, *steps: str | dict[str, Any], **members: Any
) -> DropOffResult:
    body = {"range": YEAR, "steps": [each if isinstance(each, dict) else step(each) for each in steps], **members}
    with mirror.scan(events, LONG_AFTER_US) as scan:
        params = DropOffParams(funnel=FunnelParams.model_validate(body), query=DropOffQuery(step=number))
        return DROP_OFF.run(params, scan, shop())


def reason(
    mirror: JourneyMirror, events: Sequence[JourneyEvent], *steps: str | dict[str, Any], **members: Any
) -> dict[str, Any]:
    """Of the only one who dropped at the first step, what is said beside nulls."""
    body = {"range": YEAR, "steps": [each if isinstance(each, dict) else step(each) for each in steps], **members}
    with mirror.scan(events, LONG_AFTER_US) as scan:
        query = PeopleQuery(step=1, outcome=Outcome.DROPPED)
        (person,) = PEOPLE.run(PeopleParams(funnel=FunnelParams.model_validate(body), query=query), scan, shop()).people
    assert isinstance(person.reason, Reason)
    return person.reason.model_dump(mode="json", exclude_none=True)


# Each reason


def test_never_is_who_did_not_do_the_next_step(mirror: JourneyMirror) -> None:
    assert reason(mirror, journey("ana", (0, VIEWED), (5, ORDERED)), VIEWED, ADDED, ORDERED) == {"reason": "never"}


def test_too_late_says_by_how_much_after_the_window(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (HOUR + 90, ADDED), (HOUR + 95, ADDED))
    found = reason(mirror, events, VIEWED, ADDED, conversion_window_seconds=HOUR)
    assert found == {"reason": "too_late", "seconds_late": 90.0}


def test_too_late_is_known_long_after_the_range_and_its_windows(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (100 * DAY, ADDED))
    body = {"range": range_of(0, HOUR), "conversion_window_seconds": DAY}
    assert reason(mirror, events, VIEWED, ADDED, **body) == {"reason": "too_late", "seconds_late": 99.0 * DAY}


def test_too_late_counts_from_within_where_that_ends_first(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (70, ADDED))
    found = reason(mirror, events, VIEWED, step(ADDED, within_seconds=60))
    assert found == {"reason": "too_late", "seconds_late": 10.0}


def test_an_event_that_was_not_stored_by_then_is_not_too_late(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (9 * DAY, ADDED))
    assert reason(mirror, events, VIEWED, ADDED, as_of="2025-03-09T00:00:00Z") == {"reason": "never"}


def test_too_early_is_who_was_quicker_than_allowed(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (59, ADDED))
    assert reason(mirror, events, VIEWED, step(ADDED, not_before_seconds=60)) == {"reason": "too_early"}


def test_other_same_is_who_did_it_with_another_value(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED, {"cart_id": "a"}), (10, ADDED, {"cart_id": "b"}))
    assert reason(mirror, events, VIEWED, ADDED, same=["cart_id"]) == {"reason": "other_same"}


def test_another_value_too_late_is_never(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED, {"cart_id": "a"}), (20 * DAY, ADDED, {"cart_id": "b"}))
    assert reason(mirror, events, VIEWED, ADDED, same=["cart_id"]) == {"reason": "never"}


def test_the_same_value_too_late_is_too_late(mirror: JourneyMirror) -> None:
    events = journey(
        "ana", (0, VIEWED, {"cart_id": "a"}), (399 * DAY, ADDED, {"cart_id": "b"}), (400 * DAY, ADDED, {"cart_id": "a"})
    )
    found = reason(mirror, events, VIEWED, ADDED, same=["cart_id"])
    assert found == {"reason": "too_late", "seconds_late": 393.0 * DAY}


def test_not_next_is_who_did_something_else_between_strict_steps(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (10, "page_viewed"), (20, ADDED))
    assert reason(mirror, events, VIEWED, ADDED, order="strict") == {"reason": "not_next"}


def test_before_is_who_did_the_next_step_only_before(mirror: JourneyMirror) -> None:
    assert reason(mirror, journey("ana", (0, ADDED), (10, VIEWED)), VIEWED, ADDED) == {"reason": "before"}


def test_an_event_of_the_chain_itself_is_not_before(mirror: JourneyMirror) -> None:
    with mirror.scan(journey("ana", (0, VIEWED), (10, ADDED)), LONG_AFTER_US) as scan:
        body = {"range": YEAR, "steps": [step(VIEWED), step(ADDED), step(VIEWED)]}
        params = PeopleParams(funnel=FunnelParams.model_validate(body), query=PeopleQuery(step=2))
        (ana,) = PEOPLE.run(params, scan, shop()).people
    assert ana.reason == Reason(reason=ReasonName.NEVER)


def test_excluded_says_by_what_and_when(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (10, PROMOTED), (20, ADDED))
    exclude = [{"after_step": 1, "before_step": 2, "any_of": [{"event": PROMOTED}]}]
    assert reason(mirror, events, VIEWED, ADDED, exclude=exclude) == {
        "reason": "excluded",
        "excluded_by": {"event": PROMOTED, "occurred_at": "2025-03-01T00:00:10Z"},
    }


def test_an_excluded_event_without_the_next_step_is_no_reason(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (10, PROMOTED))
    exclude = [{"after_step": 1, "before_step": 2, "any_of": [{"event": PROMOTED}]}]
    assert reason(mirror, events, VIEWED, ADDED, exclude=exclude) == {"reason": "never"}


def test_a_reason_is_about_the_next_step_that_is_not_optional(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (8 * DAY, ORDERED))
    found = reason(mirror, events, VIEWED, step(ADDED, optional=True), ORDERED)
    assert found == {"reason": "too_late", "seconds_late": float(DAY)}


def test_in_any_order_the_missing_steps_are_named(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, ADDED))
    found = reason(mirror, events, VIEWED, ADDED, ORDERED, order="any_order")
    assert found == {"reason": "never", "missing": [VIEWED, ORDERED]}


def test_in_any_order_a_missing_step_can_have_come_too_late(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, ADDED), (8 * DAY, VIEWED), (9 * DAY, ORDERED))
    body = {"range": range_of(0, HOUR), "order": "any_order"}
    found = reason(mirror, events, VIEWED, ADDED, ORDERED, **body)
    assert found == {"reason": "too_late", "seconds_late": float(DAY), "missing": [VIEWED, ORDERED]}


# All together


def test_a_drop_off_with_every_number_written_out(mirror: JourneyMirror) -> None:
    """Eight view, one of them adds. Of the seven others two never do, one does before, one after a promotion, three too
    late; next come a page (two of them, on one page or none), a promotion and an order."""
    events = [
        *journey("ana", (0, VIEWED), (10, ADDED)),
        *journey("ben", (0, VIEWED)),
        *journey("cleo", (0, VIEWED), (10, ORDERED)),
        *journey("dan", (0, ADDED), (10, VIEWED)),
        *journey("eve", (0, VIEWED), (10, PROMOTED), (20, ADDED)),
        *journey("finn", (0, VIEWED), (HOUR + 10, ADDED)),
        *journey("gus", (0, VIEWED), (10, "page_viewed"), (HOUR + 20, ADDED)),
        *journey("hana", (0, VIEWED), (10, PROMOTED), (11, "page_viewed"), (HOUR + 60, ADDED)),
    ]
    page = next(event for event in events if event.person == "gus" and event.event_name == "page_viewed")
    events = [replace(e, dimensions={"url": "http://shop.test/help?q=1"}) if e is page else e for e in events]
    exclude = [{"after_step": 1, "before_step": 2, "any_of": [{"event": PROMOTED}]}]
    found = drop_off(mirror, events, 1, VIEWED, ADDED, conversion_window_seconds=HOUR, exclude=exclude)
    late = {"count": 3, "mean": 30.0, "median": 20.0, "p75": 40.0, "p90": 52.0, "p95": 56.0, "min": 10.0, "max": 60.0}
    answer = found.model_dump(exclude={"as_of", "events_read", "seconds"})
    assert answer == {
        "step_number": 1,
        "label": VIEWED,
        "dropped_count": 7,
        "lost_count": 7,
        "in_progress_count": 0,
        "reasons": [
            {"reason": "too_late", "count": 3, "ratio": 3 / 7, "seconds_late": late, "excluded_by": []},
            {"reason": "never", "count": 2, "ratio": 2 / 7, "seconds_late": None, "excluded_by": []},
            {"reason": "excluded", "count": 1, "ratio": 1 / 7, "seconds_late": None,
             "excluded_by": [{"event": PROMOTED, "count": 1}]},
            {"reason": "before", "count": 1, "ratio": 1 / 7, "seconds_late": None, "excluded_by": []},
        ],
        "next_events": [
            {"event": PROMOTED, "count": 2, "ratio": 2 / 7},
            {"event": ORDERED, "count": 1, "ratio": 1 / 7},
            {"event": "page_viewed", "count": 1, "ratio": 1 / 7},
            {"event": "(nothing)", "count": 3, "ratio": 3 / 7},
        ],
        "next_pages": [
            {"page_path": "/help", "count": 1},
            {"page_path": "(not set)", "count": 1},
            {"page_path": "(nothing)", "count": 5},
        ],
    }  # fmt: skip


def test_beyond_twenty_the_next_events_are_one(mirror: JourneyMirror) -> None:
    events = [
        event for n in range(23) for event in journey(f"person {n}", (0, VIEWED), (1, f"click {n:02}"), (2, "scroll"))
    ]
    found = drop_off(mirror, events, 1, VIEWED, ADDED)
    assert [each.event for each in found.next_events] == [*(f"click {n:02}" for n in range(20)), "(other)"]
    assert found.next_events[-1].count == 3


def test_what_is_done_next_is_of_the_whole_person_and_within_the_window(mirror: JourneyMirror) -> None:
    """The session ends after half an hour, the window after a day."""
    events = [
        *journey("ana", (-MINUTE, "before"), (0, VIEWED), (2 * HOUR, "later"), (3 * HOUR, "last")),
        *journey("ben", (0, VIEWED), (DAY + 1, "beyond")),
    ]
    found = drop_off(mirror, events, 1, VIEWED, ADDED, conversion_window_seconds=DAY, actor="session")
    assert [(each.event, each.count) for each in found.next_events] == [("later", 1), ("(nothing)", 1)]


def test_nobody_dropped_is_an_answer_too(mirror: JourneyMirror) -> None:
    found = drop_off(mirror, [], 1, VIEWED, ADDED)
    assert (found.dropped_count, found.reasons, found.next_events, found.next_pages) == (0, [], [], [])


# As a slow reading of the rules says

Said = tuple[str, int | None]  # the reason, and by how much it was too late


def said_of(definition: FunnelDefinition, own: Sequence[Marked], result: ActorResult) -> Said:
    """What the module's docstring says about one who stopped."""
    steps = definition.steps
    target = next((n for n in range(result.depth, len(steps)) if not steps[n].optional), len(steps) - 1)
    chain = [next(p for p, each in enumerate(own) if each.event == event) if event else -1 for event in result.chain]
    candidates = [p for p, each in enumerate(own) if target in each.steps and p not in chain]
    said = [("never", None), *(what_it_says(definition, own, chain, target, position) for position in candidates)]
    return min(said, key=lambda each: (list(ReasonName).index(ReasonName(each[0])), each[1] or 0))


def what_it_says(
    definition: FunnelDefinition, own: Sequence[Marked], chain: Sequence[int], target: int, position: int
) -> Said:
    """Of one event that matches the step which the chain did not come to."""
    step, event, last = definition.steps[target], own[position], own[chain[-1]]
    due_us = own[chain[0]].at_us + definition.conversion_window_us
    if step.within_us is not None:
        due_us = min(due_us, last.at_us + step.within_us)
    is_same = all(same_text(name, event.event, last.event) for name in definition.same)
    since = chain[0] if definition.count is Count.ENTRIES else 0
    if position < chain[-1]:
        is_before = is_same and position >= since and event.at_us >= definition.start_us
        return ("before" if is_before else "never"), None
    if event.at_us > due_us:
        return ("too_late", event.at_us - due_us) if is_same else ("never", None)
    if not is_same:
        return "other_same", None
    if event.at_us - last.at_us < step.not_before_us:
        return "too_early", None
    if is_excluded(definition, own, chain, position, target):
        return "excluded", None
    assert definition.order is Order.STRICT
    return "not_next", None


def is_excluded(
    definition: FunnelDefinition, own: Sequence[Marked], chain: Sequence[int], position: int, target: int
) -> bool:
    for number, exclusion in enumerate(definition.exclude):
        ends = definition.count is Count.ENTRIES and exclusion.after_step == 0 and exclusion.before_step >= len(chain)
        if (exclusion.before_step == target or ends) and any(
            number in own[between].excludes for between in range(chain[exclusion.after_step] + 1, position)
        ):
            return True
    return False


def same_text(name: str, one: JourneyEvent, other: JourneyEvent) -> bool:
    values = (one.properties.get(name), other.properties.get(name))
    return None not in values and _text(values[0]) == _text(values[1])


def said_by_oracle(definition: FunnelDefinition, events: Iterable[JourneyEvent]) -> list[tuple[int, int, Said]]:
    """(depth, time of entry, what is said) of everybody who stopped."""
    events = list(events)
    actors = _actors(definition, events, SESSION_TIMEOUT_US)
    if definition.actor is Actor.SESSION:  # known to the end of what the funnel reads
        end_us = max([definition.last_us + 1, *(each.end_us for each in definition.persons)])
        actors = {actor: [each for each in own if each.at_us < end_us] for actor, own in actors.items()}
    return sorted(
        (each.depth, each.entry_us, said_of(definition, actors[actor], each))
        for actor, attempts in attempts_oracle(definition, events, LONG_AFTER_US, SESSION_TIMEOUT_US).items()
        for each in attempts
        if each.depth < len(definition.steps)
    )


def in_some_order() -> SearchStrategy[FunnelDefinition]:
    return (
        definitions()
        .filter(lambda definition: definition.order is not Order.ANY_ORDER)
        .map(lambda definition: replace(definition, session_timeout_us=SESSION_TIMEOUT_US))
    )


@settings(max_examples=300)
@given(in_some_order(), journeys())
def test_each_who_stopped_has_the_reason_that_the_rules_say(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    with mirror.scan(events, LONG_AFTER_US) as scan:
        attempts = match_funnel(definition, scan)
        stopped = attempts.only(attempts.depth < len(definition.steps))
        reasons = find_reasons(stopped, scan, include_bots=False)
        entered_us = stopped.times_us(stopped.positions(0))
    found = [
        (depth, entry_us, (REASONS[code].value, late_us if REASONS[code] == "too_late" else None))
        for depth, entry_us, code, late_us in zip(
            stopped.depth.tolist(), entered_us.tolist(), reasons.code.tolist(), reasons.late_us.tolist(), strict=True
        )
    ]
    assert sorted(found, key=str) == sorted(said_by_oracle(definition, events), key=str)


@settings(max_examples=60)
@given(definitions(), journeys())
def test_reasons_and_next_events_add_up_to_all_who_dropped(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    with mirror.scan(events, LONG_AFTER_US) as scan:
        attempts = match_funnel(definition, scan)
        for index in range(len(definition.steps) - 1):
            stopped = attempts.only(choose(attempts, index, Outcome.DROPPED))
            reasons = find_reasons(stopped, scan, include_bots=False)
            assert len(reasons.code) == int((attempts.depth == index + 1).sum())
            assert set(reasons.code.tolist()) <= set(range(len(REASONS)))


def next_by_oracle(definition: FunnelDefinition, events: Iterable[JourneyEvent]) -> list[tuple[int, int, int]]:
    """(depth, time of entry, place in the order of storing, -1: nothing) of everybody who stopped."""
    in_order = sorted(events, key=lambda event: _order(definition, event))
    found = []
    for attempts in attempts_oracle(definition, in_order, LONG_AFTER_US, SESSION_TIMEOUT_US).values():
        for each in (each for each in attempts if each.depth < len(definition.steps)):
            last = each.chain[-1]
            assert last is not None
            after = (event for event in in_order[in_order.index(last) + 1 :] if event.person == last.person)
            following = next(after, None)
            closes_us = each.entry_us + definition.conversion_window_us
            stored = following.stored if following and following.occurred_at_us <= closes_us else -1
            found.append((each.depth, each.entry_us, stored))
    return sorted(found)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(in_some_order(), journeys())
def test_what_came_next_is_the_next_event_of_the_person_however_events_are_read(
    mirror: JourneyMirror, monkeypatch: pytest.MonkeyPatch, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    monkeypatch.setattr("app.mirror.scan.PIECE_ROWS", 3)
    definition = replace(definition, session_timeout_us=SESSION_TIMEOUT_US)
    with mirror.scan(events, LONG_AFTER_US) as scan:
        attempts = match_funnel(definition, scan)
        stopped = attempts.only(attempts.depth < len(definition.steps))
        rows = find_next(stopped, scan, include_bots=False).event
        entered_us = stopped.times_us(stopped.positions(0))
    stored = [events[row].stored if row >= 0 else -1 for row in rows.tolist()]
    assert sorted(zip(stopped.depth.tolist(), entered_us.tolist(), stored, strict=True)) == next_by_oracle(
        definition, events
    )


@pytest.mark.parametrize("number", [2, 3])
def test_a_step_at_which_nobody_can_drop_off_is_refused(mirror: JourneyMirror, number: int) -> None:
    with pytest.raises(Exception, match="There is nobody to ask about"):
        drop_off(mirror, [], number, VIEWED, ADDED)
