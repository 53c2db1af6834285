"""Who is behind a number of the funnel: pages of actors with the events of their chains, and why they stopped."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, BaseModel, Field, PrivateAttr

from app.domain.funnel import Actor, Count, FunnelDefinition
from app.domain.storefront import Storefront
from app.domain.time_range import MICROSECONDS_PER_SECOND, from_us
from app.errors import FieldError, Invalid
from app.match.rules import Int64s
from app.mirror.scan import Scan, Seen
from app.reports.base import ReportResult
from app.reports.conditions import Params
from app.reports.cursors import Cursor, Place, cursor_of, place_of
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.questions import StepNumber
from app.reports.funnel.reasons import REASONS, ReasonName, Reasons, actor_ids, find_reasons
from app.reports.funnel.result import valid_until_us
from app.reports.funnel.steps import label_of
from app.reports.tables import Table, table_of
from app.storage.person_keys import SenderKeys

PAGE_MAX = 500
CUSTOMERS_FROM = 2**61  # in the order of the list, customers come after visitors: a login moves nobody backwards


class Outcome(StrEnum):
    LOST = "lost"
    IN_PROGRESS = "in_progress"
    DROPPED = "dropped"
    REACHED = "reached"
    CONVERTED = "converted"


class PeopleQuery(Params):
    """Which of the funnel's people, and how many at once."""

    step: Annotated[StepNumber, Field(description="number of the step, from 1")]
    outcome: Annotated[
        Outcome,
        Field(
            description="`dropped`: reached the step, but not the next one; of these `lost`: the window of the latest "
            "entry was over at `as_of`, and `in_progress`: it was not. `reached`: reached the step. `converted`: "
            "reached the last step of all, whichever is given."
        ),
    ] = Outcome.DROPPED
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 50
    after: Cursor | None = None


class PeopleParams(BaseModel):
    funnel: FunnelParams
    query: PeopleQuery


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


class PeopleResult(ReportResult):
    """total_count: on all pages together. next_after: of the next page, null on the last one."""

    total_count: int
    people: list[FunnelPerson]
    next_after: str | None
    _who: list[Who] = PrivateAttr(default_factory=list)

    @property
    def who(self) -> list[Who]:
        return self._who

    def of(self, who: list[Who]) -> "PeopleResult":
        self._who = who
        return self

    def name(self, keys: SenderKeys) -> None:
        for row, who in zip(self.people, self._who, strict=True):
            row.person.customer_id = keys.customers.get(who.customer_id or 0)
            row.person.visitor_id = keys.visitors.get(who.visitor_id or 0)
            row.person.account_id = keys.accounts.get(who.account_id or 0)

    def table(self) -> Table:
        """A row for each of them; their events are left out."""
        return table_of(FunnelPerson, (({}, each) for each in self.people))


class PeopleReport:
    name = "people"
    Params = PeopleParams
    Result = PeopleResult

    def run(self, params: PeopleParams, scan: Scan, storefront: Storefront) -> PeopleResult:
        definition = params.funnel.definition(storefront)
        return find_people(definition, params.query, scan, include_bots=params.funnel.include_bots)


PEOPLE = PeopleReport()


def find_people(
    definition: FunnelDefinition, query: PeopleQuery, scan: Scan, *, include_bots: bool = False
) -> PeopleResult:
    """Raises Invalid when nobody can have the outcome at the step."""
    check_step(query.step, definition, drops=query.outcome not in (Outcome.REACHED, Outcome.CONVERTED))
    everybody = match_funnel(definition, scan, include_bots=include_bots)
    chosen = everybody.only(choose(everybody, query.step - 1, query.outcome))
    page, places = _page(chosen, query.limit, place_of(query.after) if query.after else None)
    people, who = describe(page.only(np.arange(min(len(places), query.limit))), scan, include_bots=include_bots)
    result = PeopleResult(
        as_of=from_us(everybody.now_us),
        events_read=scan.events_read,
        total_count=len(chosen.depth),
        people=people,
        next_after=cursor_of(places[query.limit - 1]) if len(places) > query.limit else None,
    )
    return result.of(who).stays_valid_until(valid_until_us(everybody, scan))


def check_step(step_number: int, definition: FunnelDefinition, *, drops: bool) -> None:
    """Raises Invalid for a step that the funnel does not have, or that nobody can drop off at."""
    count = len(definition.steps)
    if step_number > count:
        detail = f"The funnel has {count} steps."
    elif drops and step_number == count:
        detail = "Nobody drops off at the last step; name one before it."
    else:
        return
    raise Invalid("There is nobody to ask about at this step.", errors=[FieldError(detail, "/query/step")])


def choose(attempts: Attempts, step_index: int, outcome: Outcome) -> npt.NDArray[np.bool_]:
    """Per attempt, whether it is one of them. The counts of the funnel's answer are theirs."""
    depth, step_count = attempts.depth, len(attempts.definition.steps)
    dropped = (depth == step_index + 1) & (depth < step_count)
    chosen: npt.NDArray[np.bool_]
    match outcome:
        case Outcome.REACHED:
            chosen = depth > step_index
        case Outcome.CONVERTED:
            chosen = depth == step_count
        case Outcome.LOST:
            chosen = dropped & ~attempts.is_open
        case Outcome.IN_PROGRESS:
            chosen = dropped & attempts.is_open
        case Outcome.DROPPED:
            chosen = dropped
    return chosen


def _page(chosen: Attempts, limit: int, after: Place | None) -> tuple[Attempts, list[Place]]:
    """One more than the limit, in the order of the list, and their places in it."""
    rank, begins_us, stored = _places(chosen)
    left = np.arange(len(rank))
    if after is not None:
        at, at_us, at_stored = after
        is_later = (begins_us > at_us) | (begins_us == at_us) & (stored > at_stored)
        left = np.flatnonzero((rank > at) | (rank == at) & is_later)
    if len(left) > limit + 1:  # not all have to be sorted
        left = left[rank[left] <= np.partition(rank[left], limit)[limit]]
    left = left[np.lexsort((stored[left], begins_us[left], rank[left]))][: limit + 1]
    places = zip(rank[left].tolist(), begins_us[left].tolist(), stored[left].tolist(), strict=True)
    return chosen.only(left), list(places)


def _places(attempts: Attempts) -> tuple[Int64s, Int64s, Int64s]:
    """The order of the list: by actor, then by the session's beginning or the attempt's entry."""
    actor, entry = actor_ids(attempts), attempts.positions(0)
    rank = np.where(actor < 0, CUSTOMERS_FROM - actor, actor)
    if attempts.definition.count is Count.UNIQUE and attempts.definition.actor is not Actor.SESSION:
        return rank, np.zeros_like(rank), np.zeros_like(rank)
    is_unique = attempts.definition.count is Count.UNIQUE
    begins = attempts.sequences.offsets[attempts.chains.actor] if is_unique else entry
    return rank, attempts.times_us(begins), attempts.events.stored[attempts.rows(begins)]


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
