"""Adds up orders and refunds: per currency, and in each currency per part."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.domain.money import from_minor, minor_digits
from app.reports.revenue_events import Ints
from app.reports.revenue_orders import Orders, Refunds
from app.reports.revenue_result import Figures, Remarks


class Sales(NamedTuple):
    """What is counted."""

    orders: Orders
    refunds: Refunds


class Split(NamedTuple):
    """Parts to count apart: per order and per refund the place of its part, and how many parts there are."""

    order: Ints
    refund: Ints
    part_count: int


def figures_of(sales: Sales, currencies: Sequence[str], *splits: Split) -> list[Figures]:
    """Of each currency, of each part in it, of each part of the next split in that.

    currencies: by their places in `sales`.
    """
    orders, refunds = sales
    cell, refund_cell, cells_each = orders.currency, refunds.currency, 1
    for split in splits:
        cell, refund_cell = cell * split.part_count + split.order, refund_cell * split.part_count + split.refund
        cells_each *= split.part_count
    cell_count = len(currencies) * cells_each
    counted = ~orders.is_cancelled
    columns = (
        _counts(cell[counted], cell_count),
        _sums(cell[counted], orders.amount_minor[counted], cell_count),
        _sums(refund_cell, refunds.amount_minor, cell_count),
        _different(cell[counted], orders.person[counted], cell_count),
        _counts(refund_cell, cell_count),
        _counts(cell[~counted], cell_count),
    )
    return [
        _figures(minor_digits(currencies[number // cells_each]), *numbers)
        for number, numbers in enumerate(zip(*columns, strict=True))
    ]


def remarks_of(sales: Sales, currency_count: int) -> list[Remarks]:
    """Of each currency."""
    orders, refunds = sales
    counted = ~orders.is_cancelled
    columns = (
        _sums(orders.currency[counted], orders.report_count[counted] - 1, currency_count),
        _counts(orders.currency[counted & ~orders.has_id], currency_count),
        _counts(orders.currency[counted & ~orders.has_amount], currency_count),
        _counts(refunds.currency[~refunds.has_amount], currency_count),
        _counts(refunds.currency[refunds.is_foreign], currency_count),
        _counts(refunds.currency[refunds.is_stray], currency_count),
    )
    names = Remarks.model_fields
    return [Remarks(**dict(zip(names, numbers, strict=True))) for numbers in zip(*columns, strict=True)]


def _figures(
    digits: int,
    order_count: int,
    gross: int,
    refunds: int,
    customer_count: int,
    refund_count: int,
    cancelled_count: int,
) -> Figures:
    """gross, refunds: in the smallest unit."""
    revenue = gross - refunds
    return Figures(
        order_count=order_count,
        gross=from_minor(gross, digits),
        refunds=from_minor(refunds, digits),
        revenue=from_minor(revenue, digits),
        average_order_value=revenue / (order_count * 10**digits) if order_count else None,
        customer_count=customer_count,
        orders_per_customer=order_count / customer_count if customer_count else None,
        refund_count=refund_count,
        cancelled_count=cancelled_count,
    )


def _counts(cell: Ints, cell_count: int) -> list[int]:
    counts: list[int] = np.bincount(cell, minlength=cell_count).tolist()
    return counts


def _sums(cell: Ints, amount: Ints, cell_count: int) -> list[int]:
    """Exact: beyond 64 bits in Python's own numbers."""
    fits = int(np.abs(amount).max(initial=0)) * len(amount) < 2**63
    sums = np.zeros(cell_count, np.int64 if fits else object)
    np.add.at(sums, cell, amount if fits else amount.astype(object))
    found: list[int] = sums.tolist()
    return found


def _different(cell: Ints, person: Ints, cell_count: int) -> list[int]:
    """How many different persons each cell has."""
    persons, place = np.unique(person, return_inverse=True)
    return _counts(np.unique(cell * len(persons) + place) // max(len(persons), 1), cell_count)
