"""Corrects `occurred_at` for a sender whose clock is wrong (semantics: times of an event)."""

from datetime import timedelta

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.pipeline import Arrival, Fault

# Below this the difference is the network and rounding, not the clock.
TOLERATED_SKEW = timedelta(seconds=60)


def correct_clock(event: Event, arrival: Arrival) -> Fault | None:
    """client_time stays as sent; occurred_at moves by what the sender's clock was off when it sent."""
    if event.client_time is None or arrival.sent_at is None:
        return None
    skew = arrival.received_at - arrival.sent_at
    if abs(skew) <= TOLERATED_SKEW:
        return None
    try:
        event.occurred_at = event.client_time + skew
    except OverflowError:
        detail = "client_time, corrected by sent_at, is beyond the years 1 to 9999; check the sender's clock."
        return Fault(RejectReason.BAD_TIME, "/client_time", detail)
    return None
