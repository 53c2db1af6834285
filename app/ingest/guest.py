"""Whoever orders as a guest is somebody, and the order is money: it is kept though it names nobody."""

from collections.abc import Mapping
from typing import Any

from app.ingest.formats.native_event import ID_MAX


def visitor_of_order(event_name: str, properties: Mapping[str, Any]) -> str | None:
    """The visitor that all events of one order share; None for what is no order, or one without an id."""
    order_id = properties.get("order_id")
    if not event_name.startswith("order_") or type(order_id) not in {str, int} or order_id == "":
        return None
    return f"order:{order_id}"[:ID_MAX]
