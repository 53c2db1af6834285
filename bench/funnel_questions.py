"""The funnels that are measured, as requests have them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

RANGE = {"start": "2025-06-01T00:00:00Z", "end": "2025-07-01T00:00:00Z"}
WINDOW_SECONDS = 7 * 86_400
MAIN = ("product_viewed", "product_added", "checkout_started", "order_completed")
NEIGHBOURS = ("product_viewed", "product_added", "cart_viewed", "checkout_started")  # often nothing lies between them
# Sixteen steps of all eleven events. No event follows itself: ClickHouse would take one for both.
LONG = (
    "page_viewed", "product_list_viewed", "product_viewed", "product_added_to_wishlist",
    "page_viewed", "product_searched", "product_viewed", "product_added", "cart_viewed",
    "page_viewed", "product_viewed", "product_added", "checkout_started",
    "shipping_info_added", "payment_info_added", "order_completed",
)  # fmt: skip


class Question(NamedTuple):
    """members: further ones of the request. peers: who can be asked the same."""

    name: str
    steps: tuple[str, ...]
    members: Mapping[str, Any] = {}
    peers: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        return {
            "range": RANGE,
            "steps": [{"any_of": [{"event": name}]} for name in self.steps],
            "conversion_window_seconds": WINDOW_SECONDS,
            **self.members,
        }


FOUR_STEPS = Question("4 steps", MAIN, peers=("ClickHouse", "DuckDB", "Postgres"))
SIXTEEN_STEPS = Question("16 steps, the same 4 events", MAIN * 4, peers=("ClickHouse", "DuckDB"))
ALL_EVENTS = Question("16 steps, 11 events", LONG, peers=("ClickHouse",))
BREAKDOWN = Question("4 steps by device_type", MAIN, {"breakdown": {"property": "device_type"}})
QUESTIONS = (
    FOUR_STEPS,
    SIXTEEN_STEPS,
    ALL_EVENTS,
    BREAKDOWN,
    Question("4 steps, strict", NEIGHBOURS, {"order": "strict"}),
    Question("4 steps, any order", MAIN, {"order": "any_order"}),
    Question("4 steps, sessions", MAIN, {"actor": "session"}),
)
