"""The whole journey of one person: every event, in order, as reports see it."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import numpy as np
from pydantic import AwareDatetime, BaseModel, Field, PrivateAttr

from app.domain.funnel import FunnelDefinition, Order
from app.domain.stages import stage_steps
from app.domain.storefront import Storefront
from app.domain.time_range import MICROSECONDS_PER_SECOND, from_us
from app.match.rules import Int64s
from app.match.sessions import split_sessions
from app.mirror.scan import TIME_MAX_US, Scan, Seen, Whose
from app.reports.base import NEVER_US, ReportResult
from app.reports.conditions import Params
from app.reports.cursors import Cursor, Place, cursor_of, place_of
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.tables import Table, table_of
from app.storage.person_keys import SenderKeys
from app.storage.persons import PersonKind

PAGE_MAX = 1_000


class Direction(StrEnum):
    ASC = "asc"
    DESC = "desc"


class JourneyQuery(Params):
    kind: Annotated[PersonKind | None, Field(description="take the id as this and nothing else")] = None
    order: Annotated[Direction, Field(description="`asc`: the oldest event first")] = Direction.ASC
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 100
    after: Cursor | None = None
    include_bots: bool = False


class JourneyParams(BaseModel):
    """A customer and all visitors they ever were, or one visitor; by our ids."""

    visitor_ids: tuple[int, ...]
    customer_ids: tuple[int, ...]
    query: JourneyQuery


class JourneyEvent(BaseModel):
    """stages: those that the event means. session_number: from 1, in the order of time. visitor_id: the sender's."""

    occurred_at: AwareDatetime
    event: str
    stages: list[str]
    session_number: int
    url: str | None
    referrer: str | None
    properties: dict[str, Any]
    visitor_id: str | None = None
    trust: str


class JourneyResult(ReportResult):
    """Totals of the whole journey, and a page of it. visitors: the sender's ids. next_after: null on the last page."""

    first_seen_at: AwareDatetime | None
    last_seen_at: AwareDatetime | None
    events_count: int
    sessions_count: int
    visitors: list[str]
    events: list[JourneyEvent]
    next_after: str | None
    _visitor_ids: list[int] = PrivateAttr(default_factory=list)
    _of_events: list[int | None] = PrivateAttr(default_factory=list)

    @property
    def visitor_ids(self) -> list[int]:
        return self._visitor_ids

    def of(self, visitor_ids: list[int], of_events: list[int | None]) -> "JourneyResult":
        """By our ids: of the whole journey, and per event of the page."""
        self._visitor_ids, self._of_events = visitor_ids, of_events
        return self

    def name(self, keys: SenderKeys) -> None:
        self.visitors = sorted(keys.visitors.values())
        for event, visitor_id in zip(self.events, self._of_events, strict=True):
            event.visitor_id = keys.visitors.get(visitor_id or 0)

    def table(self) -> Table:
        """A row for each event of the page; properties as JSON."""
        rows = (
            ({"properties": msgspec.json.encode(each.properties).decode(), "stages": ", ".join(each.stages)}, each)
            for each in self.events
        )
        return table_of(JourneyEvent, rows, properties=str, stages=str)


class JourneyReport:
    name = "journey"
    Params = JourneyParams
    Result = JourneyResult

    def run(self, params: JourneyParams, scan: Scan, storefront: Storefront) -> JourneyResult:
        query = params.query
        everything = _matched(params, scan, storefront)
        own = _own_positions(everything, -params.customer_ids[0] if params.customer_ids else params.visitor_ids[0])
        rows, times = everything.rows(own), everything.times_us(own)
        timeout_us = storefront.session_timeout_seconds * MICROSECONDS_PER_SECOND
        sessions = split_sessions(np.array([0, len(own)], np.int64), times, timeout_us)
        on_page = _page(everything, own, query)
        seen = scan.events(everything.events.row_number[rows[on_page]])
        session_numbers = np.searchsorted(sessions, on_page, side="right").tolist()
        masks = everything.sequences.mask[own[on_page]].tolist()
        has_more = len(on_page) > query.limit
        events = [_event(*each, storefront) for each in zip(seen, masks, session_numbers, strict=True)][: query.limit]
        visitors = np.unique(everything.events.visitor_id[rows])
        result = JourneyResult(
            as_of=from_us(scan.as_of_us),
            events_read=scan.events_read,
            first_seen_at=from_us(int(times[0])) if len(own) else None,
            last_seen_at=from_us(int(times[-1])) if len(own) else None,
            events_count=len(own),
            sessions_count=len(sessions) - 1 if len(own) else 0,
            visitors=[],
            events=events,
            next_after=cursor_of(_place(everything, own[on_page[query.limit - 1]])) if has_more else None,
        )
        of_events = [each.visitor_id for each in seen[: query.limit]]
        return result.of(visitors[visitors > 0].tolist(), of_events).stays_valid_until(NEVER_US)


JOURNEY = JourneyReport()


def _matched(params: JourneyParams, scan: Scan, storefront: Storefront) -> Attempts:
    """Every event of theirs, in the order of a funnel of the stages, whose bits then say what each event means."""
    definition = FunnelDefinition(
        stage_steps(storefront.stages), 1 - TIME_MAX_US, TIME_MAX_US - 1, 0, order=Order.STRICT
    )
    whose = Whose(params.visitor_ids, params.customer_ids)
    return match_funnel(definition, scan, include_bots=params.query.include_bots, whose=whose)


def _own_positions(everything: Attempts, person: int) -> Int64s:
    """Where the person's events stand. A shared device can bring events of others."""
    return np.flatnonzero(everything.person[everything.sequences.row] == person)


def _page(everything: Attempts, own: Int64s, query: JourneyQuery) -> Int64s:
    """Which of their events, and one more than the limit when there are more."""
    places = np.arange(len(own))
    if query.after is not None:
        at_us, _, stored = place_of(query.after)
        given = np.flatnonzero(everything.events.stored[everything.rows(own)] == stored)
        times = everything.times_us(own)
        if query.order is Direction.ASC:
            places = places[int(given[0]) + 1 if len(given) else np.searchsorted(times, at_us, side="right") :]
        else:
            places = places[: int(given[0]) if len(given) else np.searchsorted(times, at_us)]
    return (places if query.order is Direction.ASC else places[::-1])[: query.limit + 1]


def _place(everything: Attempts, position: int) -> Place:
    row, events = everything.sequences.row[position], everything.events
    return int(events.occurred_at_us[row]), int(events.seq[row]), int(events.stored[row])


def _event(seen: Seen, mask: int, session_number: int, storefront: Storefront) -> JourneyEvent:
    return JourneyEvent(
        occurred_at=from_us(seen.occurred_at_us),
        event=seen.event_name,
        stages=[stage.name for index, stage in enumerate(storefront.stages) if mask >> index & 1],
        session_number=session_number,
        url=seen.url,
        referrer=seen.referrer,
        properties=seen.properties,
        trust=seen.trust,
    )
