"""Refuses events whose time can't be right, rather than storing them at a made-up one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.pipeline import Arrival, Fault, Faults

FUTURE_MAX = timedelta(hours=24)
# Before the Unix epoch lies only what clocks that were never set make up.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def check_time(events: Sequence[Event], arrival: Arrival) -> Faults:
    earliest, latest = _earliest_kept(arrival), arrival.received_at + FUTURE_MAX
    return {
        place: _fault(event, arrival)
        for place, event in enumerate(events)
        if not earliest <= event.occurred_at <= latest or (event.client_time or EARLIEST) < EARLIEST
    }


def _earliest_kept(arrival: Arrival) -> datetime:
    """Not before EARLIEST, however long events are kept."""
    since = arrival.received_at - EARLIEST
    kept_days = arrival.retention_days
    return EARLIEST if kept_days is None else arrival.received_at - min(since, timedelta(days=kept_days))


def _fault(event: Event, arrival: Arrival) -> Fault:
    if event.occurred_at - arrival.received_at > FUTURE_MAX:
        detail = (
            "client_time is more than 24 hours ahead of the server's clock; "
            "set the sender's clock, or send `sent_at` so that it can be corrected."
        )
        return Fault(RejectReason.FUTURE_TIME, "/client_time", detail)
    if event.occurred_at < EARLIEST or (event.client_time or EARLIEST) < EARLIEST:
        return Fault(RejectReason.BAD_TIME, "/client_time", "client_time lies before 1970; set the sender's clock.")
    detail = f"client_time is older than the {arrival.retention_days} days that this storefront keeps events."
    return Fault(RejectReason.TOO_OLD, "/client_time", detail)
