"""Which orders and refunds there are: each once, however often and by whomever it was reported."""

from typing import NamedTuple

import numpy as np

from app.mirror.columns import NOT_SET
from app.reports.revenue_events import CANCELLED, COMPLETED, REFUNDED, UPDATED, Bools, Ints, OrderEvents


class Orders(NamedTuple):
    """One element per order. event: the report that counts. report_count: how many there are of it."""

    event: Ints
    at_us: Ints
    currency: Ints
    amount_minor: Ints
    has_amount: Bools
    has_id: Bools
    is_cancelled: Bools
    passes: Bools  # the conditions
    person: Ints
    group: Ints
    report_count: Ints

    def only(self, chosen: Bools) -> "Orders":
        return Orders._make(column[chosen] for column in self)


class Refunds(NamedTuple):
    """One element per refund that counts. is_foreign: in another currency than its order. is_stray: of no order that
    we know."""

    at_us: Ints
    currency: Ints
    amount_minor: Ints
    has_amount: Bools
    passes: Bools
    group: Ints
    is_foreign: Bools
    is_stray: Bools

    def only(self, chosen: Bools) -> "Refunds":
        return Refunds._make(column[chosen] for column in self)


class Reports(NamedTuple):
    """Events that report the same thing stand together, the one that counts first: the most trusted, then the
    earliest. starts: where those of each thing begin."""

    event: Ints
    starts: Ints

    def first(self, fits: Bools) -> Ints:
        """Per thing the first of its events that fits, else the one that counts. fits: per event of OrderEvents."""
        place = np.arange(len(self.event))
        fitting = np.where(fits[self.event], place, len(place))
        found = np.minimum.reduceat(fitting, self.starts) if len(place) else place
        return self.event[np.where(found < len(place), found, self.starts)]


def find_orders(events: OrderEvents) -> Orders:
    completed = np.flatnonzero(events.kind == COMPLETED)
    reports = _reports(events, completed, events.order[completed])
    counting = reports.event[reports.starts]
    code = events.order[counting]
    paid = _paid(events, reports, code)
    currency = events.currency_of(paid, events.currency_of(reports.first(events.currency >= 0), 0))
    amount_minor, has_amount = events.minor(paid, currency)
    group = events.group[reports.first(events.group != NOT_SET)]
    passes = np.ones(len(counting), np.bool_)
    for each in events.checked:
        passes &= each.holds[reports.first(each.is_set)]
    return Orders(
        event=counting,
        at_us=events.at_us[counting],
        currency=currency,
        amount_minor=amount_minor,
        has_amount=has_amount,
        has_id=code != NOT_SET,
        is_cancelled=_cancelled(events)[code],
        passes=passes,
        person=events.person[counting],
        group=group,
        report_count=np.diff(reports.starts, append=len(reports.event)),
    )


def find_refunds(events: OrderEvents, orders: Orders) -> Refunds:
    """Those of cancelled orders do not count: nothing of such an order does."""
    chosen = _counting_refunds(events)
    order = _order_of_code(events, orders)[events.order[chosen]]
    is_known = order != NOT_SET
    currency = events.currency_of(chosen, np.where(is_known, _at(orders.currency, order), 0))
    amount, has_amount = events.minor(chosen, currency)
    amount = np.abs(amount)  # some senders write what they pay back as less than nothing
    is_foreign = is_known & (currency != _at(orders.currency, order))
    is_whole = (events.value[chosen] == NOT_SET) & is_known & ~is_foreign
    return Refunds(
        at_us=events.at_us[chosen],
        currency=currency,
        amount_minor=_within_order(amount, is_whole, np.where(is_foreign, NOT_SET, order), orders),
        has_amount=has_amount | is_whole,
        passes=_passes(events, chosen, orders, order),
        group=np.where(is_known, _at(orders.group, order), events.group[chosen]),
        is_foreign=is_foreign,
        is_stray=~is_known,
    )


def _reports(events: OrderEvents, chosen: Ints, code: Ints) -> Reports:
    """chosen: ascending. code: per chosen event, of what it reports; NOT_SET: of something that no other does."""
    thing = np.where(code == NOT_SET, code.max(initial=0) + 1 + np.arange(len(code)), code)
    order = np.lexsort((chosen, ~events.is_trusted[chosen], thing))
    return Reports(chosen[order], np.flatnonzero(np.diff(thing[order], prepend=-1)))


def _paid(events: OrderEvents, reports: Reports, code: Ints) -> Ints:
    """Per order the event whose figure counts: a trusted sender's last update, else its report, else a browser's."""
    is_update = (events.kind == UPDATED) & events.is_trusted & (events.order != NOT_SET)
    updates = np.flatnonzero(is_update & events.has_amount)
    last = np.full(events.order_code_count + 1, NOT_SET)  # and one for orders without an id
    np.maximum.at(last, events.order[updates], updates)
    return np.where(last[code] == NOT_SET, reports.first(events.has_amount), last[code])


def _cancelled(events: OrderEvents) -> Bools:
    """By code of the order; the last is that of orders without an id."""
    is_cancelled = np.zeros(events.order_code_count + 1, np.bool_)
    is_cancelled[events.order[events.kind == CANCELLED]] = True
    is_cancelled[NOT_SET] = False
    return is_cancelled


def _counting_refunds(events: OrderEvents) -> Ints:
    """Each once, ascending: without those of cancelled orders, and where a trusted sender tells of an order's refunds
    without what browsers say of them."""
    refunds = np.flatnonzero((events.kind == REFUNDED) & ~_cancelled(events)[events.order])
    told = np.zeros(events.order_code_count + 1, np.bool_)
    told[events.order[refunds[events.is_trusted[refunds]]]] = True
    told[NOT_SET] = False
    refunds = refunds[events.is_trusted[refunds] | ~told[events.order[refunds]]]
    within = (events.order[refunds] + 1) * (events.refund.max(initial=0) + 1)  # ids of refunds are those of an order
    code = np.where(events.refund[refunds] == NOT_SET, NOT_SET, within + events.refund[refunds])
    reports = _reports(events, refunds, code)
    return np.sort(reports.event[reports.starts])


def _order_of_code(events: OrderEvents, orders: Orders) -> Ints:
    """The place of the order; the last is that of no id."""
    order = np.full(events.order_code_count + 1, NOT_SET, np.int64)
    order[events.order[orders.event]] = np.arange(len(orders.event))
    order[NOT_SET] = NOT_SET
    return order


def _at(column: Ints, order: Ints) -> Ints:
    """NOT_SET where there is no order."""
    return np.append(column, NOT_SET)[order]


def _within_order(amount: Ints, is_whole: Bools, order: Ints, orders: Orders) -> Ints:
    """What is paid back, in the order of time, and never more than the order was; NOT_SET: of no order, as it is."""
    left = orders.amount_minor.clip(0).tolist()
    counted = []
    for asked, whole, place in zip(amount.tolist(), is_whole.tolist(), order.tolist(), strict=True):
        paid_back = asked if place == NOT_SET else left[place] if whole else min(asked, left[place])
        if place != NOT_SET:
            left[place] -= paid_back
        counted.append(paid_back)
    return np.array(counted, np.int64)


def _passes(events: OrderEvents, chosen: Ints, orders: Orders, order: Ints) -> Bools:
    """As its order does; without one, what the refund says of itself decides."""
    own = np.ones(len(chosen), np.bool_)
    for each in events.checked:
        own &= each.holds[chosen]
    return np.where(order == NOT_SET, own, np.append(orders.passes, False)[order])
