"""Refuses events whose time can't be right, rather than storing them at a made-up one."""

from datetime import UTC, datetime, timedelta

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.pipeline import Arrival, Fault

FUTURE_MAX = timedelta(hours=24)
# Before the Unix epoch lies only what clocks that were never set make up.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def check_time(event: Event, arrival: Arrival) -> Fault | None:
    if event.occurred_at - arrival.received_at > FUTURE_MAX:
        detail = (
            "client_time is more than 24 hours ahead of the server's clock; "
            "set the sender's clock, or send `sent_at` so that it can be corrected."
        )
        return Fault(RejectReason.FUTURE_TIME, "/client_time", detail)
    if event.occurred_at < EARLIEST or (event.client_time or EARLIEST) < EARLIEST:
        return Fault(RejectReason.BAD_TIME, "/client_time", "client_time lies before 1970; set the sender's clock.")
    kept_days = arrival.retention_days
    if kept_days is not None and arrival.received_at - event.occurred_at > timedelta(days=kept_days):
        detail = f"client_time is older than the {kept_days} days that this storefront keeps events."
        return Fault(RejectReason.TOO_OLD, "/client_time", detail)
    return None
