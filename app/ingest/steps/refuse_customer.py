"""Keeps what programs write when nobody is logged in from becoming a customer, whom everybody would be then."""

from collections.abc import Sequence

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.guest import visitor_of_order
from app.ingest.pipeline import Arrival, Fault, Faults

# In lower case, without space around it.
NOBODY = frozenset(
    {
        "",
        "0",
        "-1",
        "null",
        "(null)",
        "undefined",
        "none",
        "nil",
        "nan",
        "n/a",
        "(not set)",
        "true",
        "false",
        "anonymous",
        "guest",
        "unknown",
        "not_authenticated",
        "distinct_id",
        "[object object]",
        "00000000-0000-0000-0000-000000000000",
    }
)


def refuse_customer(events: Sequence[Event], arrival: Arrival) -> Faults:
    """The events stay their visitors'. Without one it is a browser's of the day or an order's own, or refused."""
    faults = {}
    for place, event in enumerate(events):
        customer = event.customer_key
        if customer is None or customer.strip().lower() not in NOBODY:
            continue
        if event.visitor_key is None:
            event.visitor_key = arrival.cookieless_key() or visitor_of_order(event.event_name, event.properties)
        if event.visitor_key is None:
            faults[place] = _nobody(customer)
        else:
            event.customer_key = None
            arrival.customers_refused += 1
    return faults


def _nobody(customer: str) -> Fault:
    detail = f"{customer!r} is nobody's id: leave customer_id out until somebody logs in, and give a visitor_id."
    return Fault(RejectReason.BAD_CUSTOMER, "/customer_id", detail)
