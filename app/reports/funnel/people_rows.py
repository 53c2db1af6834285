"""What a list says of each of the people behind a funnel's number, as far as the mirror knows them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from pydantic import AwareDatetime, BaseModel

from app.domain.time_range import MICROSECONDS_PER_SECOND, from_us
from app.match.rules import Int64s
from app.mirror.scan import Scan, Seen
from app.reports.funnel.matching import Attempts
from app.reports.funnel.reasons import REASONS, ReasonName, Reasons, find_reasons
from app.reports.funnel.steps import label_of


class Outcome(StrEnum):
    LOST = "lost"
    IN_PROGRESS = "in_progress"
    DROPPED = "dropped"
    REACHED = "reached"
    CONVERTED = "converted"


class PersonNames(BaseModel):
    """The sender's texts. visitor_id, account_id: of the event with which the chain began."""

    customer_id: str | None = None
    visitor_id: str | None = None
    account_id: str | None = None


class MatchedEvent(BaseModel):
    step_number: int
    label: str
    event: str
    occurred_at: AwareDatetime
    url: str | None
    properties: dict[str, Any]


class ExcludedBy(BaseModel):
    event: str
    occurred_at: AwareDatetime


class Reason(BaseModel):
    """missing: in any order, the steps that were not done."""

    reason: ReasonName
    seconds_late: float | None = None
    excluded_by: ExcludedBy | None = None
    missing: list[str] | None = None


class FunnelPerson(BaseModel):
    """One person, session, account or attempt. steps: as far as it came, null where an optional one was skipped.
    reason: why it came no further, null for the converted."""

    person: PersonNames
    depth: int
    entered_at: AwareDatetime
    outcome: Outcome
    reason: Reason | None
    steps: list[MatchedEvent | None]


class Who(NamedTuple):
    """By our ids, for a look at what the sender calls them; None where there is none."""

    customer_id: int | None
    visitor_id: int | None
    account_id: int | None


def describe(page: Attempts, scan: Scan, *, include_bots: bool) -> tuple[list[FunnelPerson], list[Who]]:
    """Of the few attempts on a page."""
    chains, step_count = page.chains, len(page.definition.steps)
    stopped = np.flatnonzero(page.depth < step_count)
    reasons = find_reasons(page.only(stopped), scan, include_bots=include_bots)
    positions = [chains.position[start : start + depth] for start, depth in zip(chains.start, page.depth, strict=True)]
    rows = [np.where(own < 0, -1, page.events.row_number[page.rows(own)]) for own in positions]
    seen = _seen([*rows, reasons.excluded_row], scan)
    labels = [label_of(page, index) for index in range(step_count)]
    texts = dict(zip(stopped.tolist(), _reasons(page, reasons, seen), strict=True))
    people, who = [], []
    person = page.person[page.rows(page.positions(0))].tolist()
    for index, own in enumerate(rows):
        entry = seen[int(own[0])]
        converted = len(own) == step_count
        people.append(
            FunnelPerson(
                person=PersonNames(),
                depth=len(own),
                entered_at=from_us(entry.occurred_at_us),
                outcome=Outcome.CONVERTED
                if converted
                else Outcome.IN_PROGRESS
                if page.is_open[index]
                else Outcome.LOST,
                reason=texts.get(index),
                steps=[_matched(number, labels, seen.get(row)) for number, row in enumerate(own.tolist(), start=1)],
            )
        )
        who.append(Who(-person[index] if person[index] < 0 else None, entry.visitor_id, entry.account_id))
    return people, who


def _seen(rows: Iterable[Int64s], scan: Scan) -> dict[int, Seen]:
    """Events by row_number; -1 stands for none."""
    wanted = np.unique(np.concatenate([*rows, np.zeros(0, np.int64)]))
    return {each.row_number: each for each in scan.events(wanted[wanted >= 0])}


def _matched(number: int, labels: list[str], event: Seen | None) -> MatchedEvent | None:
    if event is None:
        return None
    return MatchedEvent(
        step_number=number,
        label=labels[number - 1],
        event=event.event_name,
        occurred_at=from_us(event.occurred_at_us),
        url=event.url,
        properties=event.properties,
    )


def _reasons(page: Attempts, reasons: Reasons, seen: dict[int, Seen]) -> list[Reason]:
    steps = page.definition.steps
    found = []
    for code, late_us, row, missing in zip(*(column.tolist() for column in reasons), strict=True):
        name, excluded = REASONS[code], seen.get(row)
        found.append(
            Reason(
                reason=name,
                seconds_late=late_us / MICROSECONDS_PER_SECOND if name is ReasonName.TOO_LATE else None,
                excluded_by=excluded
                and ExcludedBy(event=excluded.event_name, occurred_at=from_us(excluded.occurred_at_us)),
                missing=[step.label for index, step in enumerate(steps) if missing >> index & 1] or None,
            )
        )
    return found
