"""Corrects `occurred_at` for a sender whose clock is wrong (semantics: times of an event)."""

from collections.abc import Sequence
from datetime import timedelta

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.pipeline import NO_FAULTS, Arrival, Fault, Faults

# Below this the difference is the network and rounding, not the clock.
TOLERATED_SKEW = timedelta(seconds=60)
BEYOND = Fault(
    RejectReason.BAD_TIME,
    "/client_time",
    "client_time, corrected by sent_at, is beyond the years 1 to 9999; check the sender's clock.",
)


def correct_clock(events: Sequence[Event], arrival: Arrival) -> Faults:
    """client_time stays as sent; occurred_at moves by what the sender's clock was off when it sent."""
    if arrival.sent_at is None:
        return NO_FAULTS
    skew = arrival.received_at - arrival.sent_at
    if abs(skew) <= TOLERATED_SKEW:
        return NO_FAULTS
    faults = {}
    for place, event in enumerate(events):
        if event.client_time is not None:
            try:
                event.occurred_at = event.client_time + skew
            except OverflowError:
                faults[place] = BEYOND
    return faults
