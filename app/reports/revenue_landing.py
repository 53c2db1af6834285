"""What brought the buyers: what the page says with which an order's session began, not the one that says "thank you",
to which the shop itself or a payment service leads."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from app.domain.context import Campaign, Channel
from app.domain.storefront import Storefront
from app.domain.time_range import MICROSECONDS_PER_SECOND
from app.match.actors import group_by_actor, person_ids
from app.match.rules import Bools, Int32s, Int64s
from app.match.sessions import split_sessions
from app.mirror.columns import NOT_SET
from app.mirror.scan import Matches, Scan, Subject

CHANNEL = Subject("channel", is_dimension=True)
# Whatever else is asked of an order is of the event that reports it.
OF_LANDING = frozenset(Subject(name, is_dimension=True) for name in (*Campaign._fields, "referrer_host", "referrer"))


class _Told(NamedTuple):
    """Events, one element each. person: see `person_ids`."""

    row_number: Int64s
    person: Int64s
    occurred_at_us: Int64s
    seq: Int32s
    stored: Int64s

    def only(self, chosen: Bools | Int64s) -> "_Told":
        return _Told._make(column[chosen] for column in self)


def landing_rows(
    scan: Scan, storefront: Storefront, orders: Matches, person: Int64s, *, include_bots: bool, as_of_us: int | None
) -> Int64s:
    """Per order event the row_number of the first event of its session of which a channel is known. Itself where there
    is none, and where it says itself that it happened offline.

    person: of each order event.
    """
    if not len(person):
        return orders.row_number
    channel = scan.column(CHANNEL)
    told = _every_event(scan, int(orders.occurred_at_us.max()) + 1, include_bots=include_bots, as_of_us=as_of_us)
    pieces = [piece.only(np.isin(piece.person, person)) for piece in told]
    events = _Told._make(map(np.concatenate, zip(*pieces, strict=True)))
    landing_of = _landing(
        events, channel.codes != NOT_SET, storefront.session_timeout_seconds * MICROSECONDS_PER_SECOND
    )
    is_offline = np.array([*(text == Channel.OFFLINE for text in channel.texts), False])
    return np.where(is_offline[channel.codes[orders.row_number]], orders.row_number, landing_of[orders.row_number])


def _every_event(scan: Scan, end_us: int, *, include_bots: bool, as_of_us: int | None) -> Iterator[_Told]:
    """Before end_us, some at a time."""
    links = scan.links()
    columns = links.visitor_id, links.customer_id, links.linked_at_us
    rows = scan.rows() if as_of_us is None else None
    if rows is None:
        for events in scan.every_event(end_us, include_bots=include_bots, as_of_us=as_of_us):
            person = person_ids(events.visitor_id, events.customer_id, events.occurred_at_us, *columns)
            yield _Told(events.row_number, person, events.occurred_at_us, events.seq, events.stored)
        return
    chosen = np.flatnonzero((rows.name_id >= 0) & (rows.occurred_at_us < end_us) & (include_bots | ~rows.is_bot))
    scan.events_read += len(chosen)
    at_us = rows.occurred_at_us[chosen]
    person = person_ids(rows.visitor_id[chosen], rows.customer_id[chosen], at_us, *columns)
    yield _Told(chosen, person, at_us, rows.seq[chosen], rows.stored[chosen])


def _landing(events: _Told, has_channel: Bools, timeout_us: int) -> Int64s:
    """By row_number that of the event with which the session began.

    has_channel: by row_number. Events of persons that are not asked for are their own.
    """
    nothing_wanted = np.zeros(len(events.person), np.uint64)
    in_order = group_by_actor(events.person, events.occurred_at_us, events.seq, events.stored, nothing_wanted)
    row_number, place = events.row_number[in_order.row], np.arange(len(in_order.row))
    edges = split_sessions(in_order.offsets, in_order.occurred_at_us, timeout_us)
    known = np.where(has_channel[row_number], place, len(place))
    first = np.repeat(np.minimum.reduceat(known, edges[:-1]), np.diff(edges))
    landing = np.arange(len(has_channel))
    landing[row_number] = row_number[np.where(first < len(place), first, place)]
    return landing
