"""Who is behind a number of the funnel: pages of actors with the events of their chains, and why they stopped."""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, PrivateAttr

from app.domain.funnel import Actor, Count, FunnelDefinition
from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.errors import FieldError, Invalid
from app.match.rules import Int64s
from app.mirror.scan import Scan
from app.reports.base import ReportResult
from app.reports.conditions import Params
from app.reports.cursors import Cursor, Place, cursor_of, place_of
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.people_rows import FunnelPerson, Outcome, Who, describe
from app.reports.funnel.questions import StepNumber
from app.reports.funnel.reasons import actor_ids
from app.reports.funnel.result import valid_until_us
from app.reports.tables import Table, table_of
from app.storage.person_keys import SenderKeys

PAGE_MAX = 500
CUSTOMERS_FROM = 2**61  # in the order of the list, customers come after visitors: a login moves nobody backwards


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
