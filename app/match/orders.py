"""Which events report an order that was reported before, as when the page and the shop system both do."""

from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.rules import Int32s, Int64s, Sequences, UInt64s

NO_ORDER = -1


class OrderIds(NamedTuple):
    """Of the events that report an order and name it. row_number: ascending. order: equal where it is the same one."""

    row_number: Int32s
    order: Int32s


class OrderReports(NamedTuple):
    """The same of persons' events in their order, by position, ascending. told: the bits of the mask that earlier
    reports of the order by the same person have."""

    position: Int64s
    order: Int32s
    told: UInt64s


NO_REPORTS = OrderReports(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint64))


def find_reports(sequences: Sequences, row_number: Int64s, ids: OrderIds, bits: int) -> OrderReports:
    """Among the events that have one of these bits. sequences: persons'. row_number: by their `row`."""
    position = _positions(sequences.mask, np.uint64(bits))
    order = _orders(row_number[sequences.row[position]], ids)
    position, order = position[order != NO_ORDER], order[order != NO_ORDER]
    person = np.searchsorted(sequences.offsets, position, side="right")
    reports = OrderReports(position, order, np.zeros(len(position), np.uint64))
    _tell(np.lexsort((order, person)), person, sequences.mask[position], reports)
    return reports


@njit(cache=True, nogil=True)
def _positions(mask: UInt64s, bits: np.uint64) -> Int64s:
    """Of the events that have one of the bits; numpy takes five times as long."""
    found, count = np.empty(len(mask), np.int64), 0  # what is not written to takes no memory
    for position in range(len(mask)):
        if mask[position] & bits:
            found[count] = position
            count += 1
    return found[:count]


def _orders(row_number: Int64s, ids: OrderIds) -> Int32s:
    """NO_ORDER of events that report none, or one without an id."""
    place = np.searchsorted(ids.row_number, row_number.astype(np.int32))
    known = np.append(ids.row_number, -1)[place] == row_number
    orders: Int32s = np.where(known, np.append(ids.order, NO_ORDER)[place], NO_ORDER).astype(np.int32)
    return orders


@njit(cache=True, nogil=True)
def _tell(by_order: Int64s, person: Int64s, mask: UInt64s, reports: OrderReports) -> None:
    """by_order: the reports, those of an order by a person together and in their order."""
    for i in range(1, len(by_order)):
        before, this = by_order[i - 1], by_order[i]
        if person[before] == person[this] and reports.order[before] == reports.order[this]:
            reports.told[this] = reports.told[before] | mask[before]
