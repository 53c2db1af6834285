"""Keeps what programs write when nobody is logged in from becoming a customer, whom everybody would be then."""

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.formats.native_event import ID_MAX
from app.ingest.pipeline import Arrival, Fault

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


def refuse_customer(event: Event, arrival: Arrival) -> Fault | None:
    """The event stays its visitor's. Without one it is a browser's of the day or an order's own, or refused."""
    customer = event.customer_key
    if customer is None or customer.strip().lower() not in NOBODY:
        return None
    if event.visitor_key is None:
        event.visitor_key = arrival.cookieless_key() or _visitor_of_order(event)
    if event.visitor_key is None:
        detail = f"{customer!r} is nobody's id: leave customer_id out until somebody logs in, and give a visitor_id."
        return Fault(RejectReason.BAD_CUSTOMER, "/customer_id", detail)
    event.customer_key = None
    arrival.customers_refused += 1
    return None


def _visitor_of_order(event: Event) -> str | None:
    """Whoever orders as a guest is somebody, and the order is money."""
    order_id = event.properties.get("order_id")
    if not event.event_name.startswith("order_") or type(order_id) not in {str, int} or order_id == "":
        return None
    return f"order:{order_id}"[:ID_MAX]
