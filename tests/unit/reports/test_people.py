"""People behind the numbers of a funnel: the lists are as long as the counts say, and tell what happened to each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.funnel import FunnelDefinition
from app.domain.time_range import from_us
from app.errors import Invalid
from app.mirror.scan import Scan
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.people import (
    PEOPLE,
    PeopleParams,
    PeopleQuery,
    PeopleResult,
    find_people,
)
from app.reports.funnel.people_rows import FunnelPerson, Outcome
from app.reports.funnel.steps import funnel_steps
from app.storage.person_keys import SenderKeys
from tests.journeys import DAY, HOUR, JourneyEvent, at_us, journey
from tests.oracle import attempts_oracle
from tests.strategies import SESSION_TIMEOUT_US, as_of_times, definitions, journeys
from tests.unit.reports.asking import ADDED, LONG_AFTER, ORDERED, VIEWED, YEAR, shop, step
from tests.unit.reports.journey_mirror import Identity, JourneyMirror, Link

FIRST_SECOND = datetime.fromisoformat("2025-03-01T00:00:00Z")


def at(second: float) -> datetime:
    return from_us(at_us(second))


def all_pages(definition: FunnelDefinition, scan: Scan, limit: int, **query: Any) -> list[PeopleResult]:
    pages = [find_people(definition, PeopleQuery(limit=limit, **query), scan)]
    while pages[-1].next_after is not None:
        pages.append(find_people(definition, PeopleQuery(limit=limit, after=pages[-1].next_after, **query), scan))
    return pages


def ask(
    mirror: JourneyMirror,
    events: Sequence[JourneyEvent],
    *steps: str | dict[str, Any],
    query: dict[str, Any],
    at_second: float = LONG_AFTER,
    identity: Any = None,
    links: Sequence[Link] = (),
    **members: Any,
) -> PeopleResult:
    body = {"range": YEAR, "steps": [each if isinstance(each, dict) else step(each) for each in steps], **members}
    with mirror.scan(events, at_us(at_second), identity=identity, links=links) as scan:
        params = PeopleParams(funnel=FunnelParams.model_validate(body), query=PeopleQuery(**query))
        return PEOPLE.run(params, scan, shop())


# Lists and totals


def happened(person: FunnelPerson) -> tuple[tuple[str, datetime] | None, ...]:
    return tuple((each.event, each.occurred_at) if each else None for each in person.steps)


@settings(max_examples=40)
@given(definitions(), journeys(), as_of_times(), st.integers(1, 3))
def test_lists_are_as_long_as_the_counts_of_the_funnel_and_say_what_the_oracle_says(
    mirror: JourneyMirror, definition: FunnelDefinition, events: list[JourneyEvent], as_of_us: int, limit: int
) -> None:
    expected = [
        each
        for attempts in attempts_oracle(definition, events, as_of_us, SESSION_TIMEOUT_US).values()
        for each in attempts
    ]
    last, definition = len(definition.steps), replace(definition, session_timeout_us=SESSION_TIMEOUT_US)
    with mirror.scan(events, as_of_us) as scan:
        counts = funnel_steps(match_funnel(definition, scan))
        for number, count in enumerate(counts, start=1):
            of_outcome = {Outcome.REACHED: count.reached_count, Outcome.CONVERTED: counts[-1].reached_count}
            if number < last:
                of_outcome[Outcome.DROPPED] = count.drop_off_count or 0
                of_outcome[Outcome.LOST] = count.lost_count or 0
                of_outcome[Outcome.IN_PROGRESS] = count.in_progress_count or 0
            for outcome, length in of_outcome.items():
                pages = all_pages(definition, scan, limit, step=number, outcome=outcome)
                people = [person for page in pages for person in page.people]
                assert (len(people), {page.total_count for page in pages}) == (length, {length})
                assert all(len(page.people) == limit for page in pages[:-1])
                assert all((person.outcome is Outcome.CONVERTED) == (person.depth == last) for person in people)
                assert all((person.reason is None) == (person.depth == last) for person in people)
            if number == 1:
                everybody = all_pages(definition, scan, limit, step=1, outcome=Outcome.REACHED)
                assert sorted(str(happened(person)) for page in everybody for person in page.people) == sorted(
                    str(tuple(e and (e.event_name, from_us(e.occurred_at_us)) for e in each.chain)) for each in expected
                )


SHOPPERS = [
    *journey("ana", (0, VIEWED, {"price": 5}), (10, ADDED, {"cart_id": "a"}), (20, ORDERED)),
    *journey("ben", (0, VIEWED), (10, ADDED)),
    *journey("cleo", (0, VIEWED)),
    *journey("dan", (9 * DAY, VIEWED), (9 * DAY + 10, ADDED)),
]


@pytest.mark.parametrize(
    ("outcome", "step_number", "visitors"),
    [
        ("dropped", 2, [2, 4]),
        ("lost", 2, [2]),
        ("in_progress", 2, [4]),
        ("lost", 1, [3]),
        ("reached", 2, [1, 2, 4]),
        ("reached", 3, [1]),
        ("converted", 1, [1]),
    ],
)
def test_each_outcome_lists_its_people(
    mirror: JourneyMirror, outcome: str, step_number: int, visitors: list[int]
) -> None:
    query = {"step": step_number, "outcome": outcome}
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, ORDERED, query=query, at_second=10 * DAY)
    assert [who.visitor_id for who in result.who] == visitors
    assert result.total_count == len(visitors)


def test_a_person_comes_with_the_events_of_their_chain(mirror: JourneyMirror) -> None:
    steps = (VIEWED, {**step(ADDED, label="cart")}, ORDERED)
    result = ask(mirror, SHOPPERS, *steps, query={"step": 3, "outcome": "converted"})
    result.name(SenderKeys({1: "ana"}, {}, {}))
    (ana,) = (person.model_dump() for person in result.people)
    assert ana == {
        "person": {"customer_id": None, "visitor_id": "ana", "account_id": None},
        "depth": 3,
        "entered_at": at(0),
        "outcome": "converted",
        "reason": None,
        "steps": [
            {"step_number": 1, "label": VIEWED, "event": VIEWED, "occurred_at": at(0), "url": None,
             "properties": {"price": 5}},
            {"step_number": 2, "label": "cart", "event": ADDED, "occurred_at": at(10), "url": None,
             "properties": {"cart_id": "a"}},
            {"step_number": 3, "label": ORDERED, "event": ORDERED, "occurred_at": at(20), "url": None,
             "properties": {}},
        ],
    }  # fmt: skip


def test_a_skipped_step_is_null(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), (20, ORDERED))
    steps = (VIEWED, step(ADDED, optional=True), ORDERED)
    (ana,) = ask(mirror, events, *steps, query={"step": 3, "outcome": "reached"}).people
    assert [each and each.step_number for each in ana.steps] == [1, None, 3]


def test_a_customer_is_listed_once_after_the_visitors_with_the_visitor_of_the_entry(mirror: JourneyMirror) -> None:
    events = [*journey("ana", (0, VIEWED), (10, "page_viewed")), *journey("ben", (0, VIEWED))]
    devices = {"ana": Identity(11), "ben": Identity(21)}
    result = ask(
        mirror,
        events,
        VIEWED,
        ADDED,
        query={"step": 1, "outcome": "lost"},
        identity=lambda event: devices[event.person],
        links=[Link(11, 7, at_us(5))],
    )
    assert [tuple(who) for who in result.who] == [(None, 21, None), (7, 11, None)]


def test_an_account_is_listed_with_who_entered(mirror: JourneyMirror) -> None:
    events = journey("ana", (0, VIEWED), account="acme")
    result = ask(mirror, events, VIEWED, ADDED, query={"step": 1, "outcome": "lost"}, actor="account")
    assert [(who.visitor_id, who.account_id is not None) for who in result.who] == [(1, True)]


def test_a_page_continues_after_the_last_one_given_whatever_has_come_since(mirror: JourneyMirror) -> None:
    names = ["ana", "ben", "cleo", "dan"]
    views = [event for name in names for event in journey(name, (HOUR, VIEWED))]
    number = {name: place for place, name in enumerate(names, start=1)}

    def ask_page(events: list[JourneyEvent], after: str | None) -> PeopleResult:
        query = {"step": 1, "outcome": "reached", "limit": 2, "after": after}
        return ask(mirror, events, VIEWED, query=query, identity=lambda event: Identity(number[event.person]))

    first = ask_page(views, None)
    assert [who.visitor_id for who in first.who] == [1, 2]
    again = [*views, *journey("ana", (0, VIEWED), (2 * HOUR, VIEWED)), *journey("ben", (3 * HOUR, VIEWED))]
    second = ask_page(again, first.next_after)
    assert [who.visitor_id for who in second.who] == [3, 4]
    assert second.next_after is None


def test_attempts_of_one_person_are_paged_one_by_one(mirror: JourneyMirror) -> None:
    events = journey("ana", *((n * HOUR, VIEWED) for n in range(5)))
    entered: list[datetime] = []
    after = None
    for _ in range(3):
        query = {"step": 1, "outcome": "lost", "limit": 2, "after": after}
        page = ask(mirror, events, VIEWED, ADDED, query=query, conversion_window_seconds=60, count="entries")
        entered += [person.entered_at for person in page.people]
        after = page.next_after
    assert entered == [at(n * HOUR) for n in range(5)]
    assert after is None


# What can't be asked


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"step": 4, "outcome": "reached"}, "The funnel has 3 steps."),
        ({"step": 3, "outcome": "lost"}, "Nobody drops off at the last step; name one before it."),
        ({"step": 3}, "Nobody drops off at the last step; name one before it."),
    ],
)
def test_a_step_that_nobody_stopped_at_is_refused(mirror: JourneyMirror, query: dict[str, Any], detail: str) -> None:
    with pytest.raises(Invalid) as refused:
        ask(mirror, SHOPPERS, VIEWED, ADDED, ORDERED, query=query)
    assert [(each.detail, each.pointer) for each in refused.value.errors] == [(detail, "/query/step")]


# Files


def test_a_table_has_a_row_for_each_person(mirror: JourneyMirror) -> None:
    result = ask(mirror, SHOPPERS, VIEWED, ADDED, ORDERED, query={"step": 1, "outcome": "lost"})
    result.name(SenderKeys({3: "cleo"}, {}, {}))
    assert result.table().rows == [
        {
            "person_customer_id": None,
            "person_visitor_id": "cleo",
            "person_account_id": None,
            "depth": 1,
            "entered_at": FIRST_SECOND,
            "outcome": "lost",
            "reason_reason": "never",
            "reason_seconds_late": None,
            "reason_excluded_by_event": None,
            "reason_excluded_by_occurred_at": None,
        }
    ]
