"""Revenue: what orders brought in, less refunds, per currency; each order once, whoever reported it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.mirror.scan import Scan
from app.reports.conditions import ConditionParams
from app.reports.revenue_events import Bools, OrderEvents, read_order_events
from app.reports.revenue_orders import Orders, Refunds, find_orders, find_refunds
from app.reports.revenue_result import CurrencyRevenue, RevenueGroup, RevenuePeriod, RevenueResult
from app.reports.revenue_sums import Sales, Split, figures_of, remarks_of
from app.reports.slices import Period, SliceQuery, edges_of, groups_of, period_of, periods_of

FILTERS_MAX = 20
CURRENCIES_MAX = 20  # in one answer: browsers can send any


class RevenueParams(SliceQuery):
    """As a body. filters: conditions on orders, which must all hold."""

    PLACE = ""

    filters: Annotated[list[ConditionParams], Field(max_length=FILTERS_MAX, default_factory=list)]


class RevenueQuery(RevenueParams):
    """As a query string, which has no conditions."""

    PLACE = SliceQuery.PLACE


class RevenueReport:
    name = "revenue"
    Params = RevenueParams
    Result = RevenueResult

    def run(self, params: RevenueParams, scan: Scan, storefront: Storefront) -> RevenueResult:
        edges, now_us = edges_of(params, storefront), params.now_us(scan)
        events = read_order_events(
            scan,
            storefront,
            [each.condition() for each in params.filters],
            params.subject(),
            include_bots=params.include_bots,
            as_of_us=params.asked_us(),
        )
        answer, left_out = _shown(_in_range(events, edges), events.currencies)
        found = answer.totals()
        by_period = answer.by_period(edges, periods_of(edges, storefront, now_us)) if params.period else None
        if by_period:
            answer.add_periods(found, by_period)
        if params.subject():
            answer.add_groups(found, events.group_texts, params.limit, by_period)
        return RevenueResult(
            as_of=from_us(now_us), events_read=scan.events_read, currencies=found, left_out_currencies=left_out
        ).stays_valid_until(params.valid_until_us(edges, scan))


REVENUE = RevenueReport()


def _in_range(events: OrderEvents, edges: list[int]) -> Sales:
    """Orders by their time, refunds by theirs, as far as the conditions hold."""

    def is_asked(each: Orders | Refunds) -> Bools:
        return (each.at_us >= edges[0]) & (each.at_us < edges[-1]) & each.passes

    orders = find_orders(events)
    refunds = find_refunds(events, orders)
    return Sales(orders.only(is_asked(orders)), refunds.only(is_asked(refunds)))


def _shown(sales: Sales, known: Sequence[str]) -> tuple["_Answer", list[str]]:
    """Those of the currencies with the most orders, by their places in that; and the currencies left out. Without any
    order there is the storefront's."""
    orders, refunds = sales
    order_counts = np.bincount(orders.currency, minlength=len(known)).tolist()
    used = {*orders.currency.tolist(), *refunds.currency.tolist()} or {0}
    ranked = sorted(used, key=lambda place: (-order_counts[place], known[place]))
    place_of = np.full(len(known), CURRENCIES_MAX)
    place_of[ranked] = np.arange(len(ranked))
    orders = orders._replace(currency=place_of[orders.currency])
    refunds = refunds._replace(currency=place_of[refunds.currency])
    names = [known[place] for place in ranked]
    shown = Sales(orders.only(orders.currency < CURRENCIES_MAX), refunds.only(refunds.currency < CURRENCIES_MAX))
    return _Answer(shown, names[:CURRENCIES_MAX]), names[CURRENCIES_MAX:]


class _ByPeriod(NamedTuple):
    periods: list[Period]
    split: Split


class _Answer(NamedTuple):
    """currencies: by their places in `sales`."""

    sales: Sales
    currencies: list[str]

    def totals(self) -> list[CurrencyRevenue]:
        figures = figures_of(self.sales, self.currencies)
        remarks = remarks_of(self.sales, len(self.currencies))
        return [
            CurrencyRevenue(**dict(each), currency=currency, remarks=remark)
            for each, currency, remark in zip(figures, self.currencies, remarks, strict=True)
        ]

    def by_period(self, edges: list[int], periods: list[Period]) -> _ByPeriod:
        orders, refunds = (period_of(each.at_us, edges) for each in self.sales)
        return _ByPeriod(periods, Split(orders, refunds, len(periods)))

    def add_periods(self, found: list[CurrencyRevenue], by_period: _ByPeriod) -> None:
        for each, periods in zip(found, self._periods(by_period), strict=True):
            each.periods = periods

    def add_groups(
        self, found: list[CurrencyRevenue], texts: list[str], limit: int, by_period: _ByPeriod | None
    ) -> None:
        """The values that most orders have, whatever their currency."""
        orders, refunds = self.sales
        codes = np.concatenate([orders.group, refunds.group])
        names, place_of = groups_of(orders.group[~orders.is_cancelled], codes, texts, limit)
        by_group = Split(place_of[orders.group], place_of[refunds.group], len(names))
        figures = figures_of(self.sales, self.currencies, by_group)
        periods = self._periods(by_period, by_group) if by_period else [None] * len(figures)
        groups = [
            RevenueGroup(**dict(each), value=value, kind=kind, periods=own)
            for each, own, (value, kind) in zip(figures, periods, names * len(found), strict=True)
        ]
        for number, each in enumerate(found):
            each.groups = groups[number * len(names) : (number + 1) * len(names)]

    def _periods(self, by_period: _ByPeriod, *splits: Split) -> Iterator[list[RevenuePeriod]]:
        """Of each currency or, in that, of each part of the splits."""
        figures = figures_of(self.sales, self.currencies, *splits, by_period.split)
        following, period_count = iter(figures), len(by_period.periods)
        for _ in range(len(figures) // period_count):
            own = zip(by_period.periods, islice(following, period_count), strict=True)
            yield [RevenuePeriod(**dict(each), **dict(period)) for period, each in own]
