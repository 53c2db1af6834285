"""What the revenue report answers: figures per currency, and of its periods and groups."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel

from app.reports.base import ReportResult
from app.reports.slices import Kind, Period
from app.reports.tables import Cell, Table, table_of


class Figures(BaseModel):
    """Money in units of the currency. gross: what orders were worth; revenue: gross less refunds. customer_count:
    persons who ordered. Ratios are null without orders."""

    order_count: int
    gross: float
    refunds: float
    revenue: float
    average_order_value: float | None
    customer_count: int
    orders_per_customer: float | None
    refund_count: int
    cancelled_count: int


class RevenuePeriod(Figures, Period):
    """What happened in it."""


class RevenueGroup(Figures):
    """kind tells a value that reads `(other)` from all the others."""

    value: str
    kind: Kind
    periods: list[RevenuePeriod] | None = None


class Remarks(BaseModel):
    """What to know about these numbers. repeated_count: reports of orders that were counted already."""

    repeated_count: int
    without_order_id_count: int
    without_value_count: int
    refunds_without_value_count: int
    refunds_in_other_currency_count: int
    refunds_of_unknown_orders_count: int


class CurrencyRevenue(Figures):
    currency: str
    remarks: Remarks
    periods: list[RevenuePeriod] | None = None
    groups: list[RevenueGroup] | None = None


class RevenueResult(ReportResult):
    """The currency with the most orders first. left_out_currencies: beyond the 20 with the most."""

    currencies: list[CurrencyRevenue]
    left_out_currencies: list[str]

    def table(self) -> Table:
        """Per currency a row for the whole, each period, each group, and each period of a group."""
        leading = {"currency": str, "group": str, "group_kind": str, "period_start": datetime, "complete": bool}
        return table_of(Figures, self._rows(), **leading)

    def _rows(self) -> Iterator[tuple[dict[str, Cell], BaseModel]]:
        for each in self.currencies:
            cells: dict[str, Cell] = {"currency": each.currency}
            yield cells, each
            yield from _period_rows(cells, each.periods)
            for group in each.groups or []:
                of_group = {**cells, "group": group.value, "group_kind": group.kind}
                yield of_group, group
                yield from _period_rows(of_group, group.periods)


def _period_rows(
    cells: dict[str, Cell], periods: list[RevenuePeriod] | None
) -> Iterator[tuple[dict[str, Cell], BaseModel]]:
    for period in periods or []:
        yield {**cells, "period_start": period.period_start, "complete": period.complete}, period
