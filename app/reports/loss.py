"""Loss: the share of browsers' events that never arrived, from the gaps in the numbers that they give their events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from app.domain.event import Trust
from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.match.gaps import missing_before
from app.match.rules import Int32s, Int64s
from app.mirror.scan import Scan, Subject
from app.reports.base import ReportResult
from app.reports.slices import Kind, Period, SliceQuery, edges_of, groups_of, period_of, periods_of
from app.reports.tables import Cell, Table, table_of

TRUST = Subject("trust", is_dimension=True)


class LossFigures(BaseModel):
    """lost_ratio: of all that were sent, null when none came."""

    received_count: int
    lost_count: int
    lost_ratio: float | None


class LossPeriod(LossFigures, Period):
    """What came in it, and what is missing just before that."""


class LossGroup(LossFigures):
    """kind tells a value that reads `(other)` from all the others."""

    value: str
    kind: Kind
    periods: list[LossPeriod] | None = None


class LossResult(ReportResult, LossFigures):
    """Of all browsers' events that are numbered."""

    periods: list[LossPeriod] | None = None
    groups: list[LossGroup] | None = None

    def table(self) -> Table:
        """A row for the whole, each period, each group, and each period of a group."""
        leading = {"group": str, "group_kind": str, "period_start": datetime, "complete": bool}
        return table_of(LossFigures, self._rows(), **leading)

    def _rows(self) -> Iterator[tuple[dict[str, Cell], BaseModel]]:
        yield {}, self
        yield from _period_rows({}, self.periods)
        for group in self.groups or []:
            cells: dict[str, Cell] = {"group": group.value, "group_kind": group.kind}
            yield cells, group
            yield from _period_rows(cells, group.periods)


def _period_rows(
    cells: dict[str, Cell], periods: list[LossPeriod] | None
) -> Iterator[tuple[dict[str, Cell], BaseModel]]:
    for period in periods or []:
        yield {**cells, "period_start": period.period_start, "complete": period.complete}, period


class LossReport:
    name = "loss"
    Params = SliceQuery
    Result = LossResult

    def run(self, params: SliceQuery, scan: Scan, storefront: Storefront) -> LossResult:
        edges, now_us, subject = edges_of(params, storefront), params.now_us(scan), params.subject()
        numbered = _numbered(scan, params, edges)
        names, group = _groups(numbered, scan, subject, params.limit) if subject else ([], None)
        counts = _counts(numbered, edges, group, max(len(names), 1))
        result = LossResult(as_of=from_us(now_us), events_read=scan.events_read, **dict(_figures(counts.sum((1, 2)))))
        periods = periods_of(edges, storefront, now_us) if params.period else None
        if periods:
            result.periods = _in_periods(counts.sum(1), periods)
        if subject:
            result.groups = [
                LossGroup(
                    **dict(_figures(counts[:, place].sum(1))),
                    value=value,
                    kind=kind,
                    periods=_in_periods(counts[:, place], periods) if periods else None,
                )
                for place, (value, kind) in enumerate(names)
            ]
        return result.stays_valid_until(params.valid_until_us(edges, scan))


LOSS = LossReport()


class _Numbered(NamedTuple):
    """Events that came in the range. missing: before it in its visitor's count."""

    occurred_at_us: Int64s
    row_number: Int64s
    missing: Int32s


def _numbered(scan: Scan, asked: SliceQuery, edges: list[int]) -> _Numbered:
    """Also what came before the range is looked at: it tells what is missing before the first event in it."""
    visitor_id, seq, occurred_at_us, row_number = _sent_by_browsers(scan, asked, edges[-1])
    missing, is_repeated = missing_before(visitor_id, seq, occurred_at_us)
    counts = np.flatnonzero((occurred_at_us >= edges[0]) & ~is_repeated)
    return _Numbered(occurred_at_us[counts], row_number[counts], missing[counts])


def _sent_by_browsers(scan: Scan, asked: SliceQuery, end_us: int) -> list[npt.NDArray[Any]]:
    """visitor_id, seq, occurred_at_us and row_number of all numbered events before end_us."""
    trust = scan.column(TRUST)
    is_browser = np.array([*(text == Trust.BROWSER for text in trust.texts), False])
    rows = scan.rows() if asked.as_of is None else None
    if rows is not None:  # in memory
        chosen = (rows.seq > 0) & (rows.visitor_id > 0) & (rows.occurred_at_us < end_us) & (rows.name_id >= 0)
        chosen &= is_browser[trust.codes[: len(chosen)]]
        if not asked.include_bots:
            chosen &= ~rows.is_bot
        row_number = np.flatnonzero(chosen)
        scan.events_read += len(row_number)
        return [rows.visitor_id[row_number], rows.seq[row_number], rows.occurred_at_us[row_number], row_number]
    pieces: list[list[npt.NDArray[Any]]] = [[np.zeros(0, kind) for kind in (np.int64, np.int32, np.int64, np.int64)]]
    for events in scan.every_event(end_us, include_bots=asked.include_bots, as_of_us=asked.asked_us()):
        chosen = (events.seq > 0) & (events.visitor_id > 0) & is_browser[trust.codes[events.row_number]]
        columns = (events.visitor_id, events.seq, events.occurred_at_us, events.row_number)
        pieces.append([column[chosen] for column in columns])
    return [np.concatenate(columns) for columns in zip(*pieces, strict=True)]


def _groups(numbered: _Numbered, scan: Scan, subject: Subject, limit: int) -> tuple[list[tuple[str, Kind]], Int64s]:
    """The names of the groups, and per event the place of its group."""
    column = scan.column(subject)
    codes = column.codes[numbered.row_number]
    names, place_of = groups_of(codes, codes, column.texts, limit)
    return names, place_of[codes]


def _counts(numbered: _Numbered, edges: list[int], group: Int64s | None, group_count: int) -> Int64s:
    """How many came, and how many are missing; each by group and period."""
    cell = period_of(numbered.occurred_at_us, edges)
    if group is not None:
        cell += group * (len(edges) - 1)
    counts = np.zeros((2, group_count * (len(edges) - 1)), np.int64)
    counts[0] = np.bincount(cell, minlength=counts.shape[1])
    gaps = np.flatnonzero(numbered.missing)
    np.add.at(counts[1], cell[gaps], numbered.missing[gaps])
    return counts.reshape(2, group_count, len(edges) - 1)


def _figures(counts: Int64s) -> LossFigures:
    came, missing = counts.tolist()
    return LossFigures(
        received_count=came, lost_count=missing, lost_ratio=missing / (came + missing) if came + missing else None
    )


def _in_periods(counts: Int64s, periods: list[Period]) -> list[LossPeriod]:
    """counts: both by period."""
    return [LossPeriod(**dict(_figures(own)), **dict(period)) for own, period in zip(counts.T, periods, strict=True)]
