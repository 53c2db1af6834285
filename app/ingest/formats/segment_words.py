"""Segment's e-commerce words in ours: names of events and of properties. Other families' shops use them too."""

from collections.abc import Mapping
from typing import Any

from app.ingest.formats.foreign import Object, number_of, object_of
from app.ingest.formats.native_event import NAME_MAX

# Of its e-commerce specification, the older one with the verb in front, and what shops say beside it. Case and
# separators don't matter; docs/clients/segment.md shows this table.
EVENT_NAMES: Mapping[str, str] = {
    "Session Started": "session_started",
    "Product List Viewed": "product_list_viewed",
    "Viewed Product Category": "product_list_viewed",
    "Product Clicked": "product_clicked",
    "Clicked Product": "product_clicked",
    "Product Viewed": "product_viewed",
    "Viewed Product": "product_viewed",
    "Products Searched": "product_searched",
    "Product Searched": "product_searched",
    "Searched Products": "product_searched",
    "Product Compared": "product_compared",
    "Product Reviews Viewed": "product_reviews_viewed",
    "Product Added": "product_added",
    "Added Product": "product_added",
    "Wishlist Product Added to Cart": "product_added",
    "Product Removed": "product_removed",
    "Removed Product": "product_removed",
    "Product Added to Wishlist": "product_added_to_wishlist",
    "Cart Viewed": "cart_viewed",
    "Viewed Cart": "cart_viewed",
    "Checkout Started": "checkout_started",
    "Started Checkout": "checkout_started",
    "Coupon Applied": "coupon_applied",
    "Shipping Info Added": "shipping_info_added",
    "Shipping Info Entered": "shipping_info_added",
    "Payment Info Added": "payment_info_added",
    "Payment Info Entered": "payment_info_added",
    "Order Completed": "order_completed",
    "Completed Order": "order_completed",
    "Order Refunded": "order_refunded",
    "Refunded Order": "order_refunded",
    "Order Cancelled": "order_cancelled",
    "Order Canceled": "order_cancelled",
    "Cancelled Order": "order_cancelled",
    "Order Updated": "order_updated",
    "Updated Order": "order_updated",
    "Product Reviewed": "product_reviewed",
    "Reviewed Product": "product_reviewed",
    "Product Shared": "product_shared",
    "Shared Product": "product_shared",
    "Referral Sent": "referral_sent",
    "Survey Answered": "survey_answered",
    "Promotion Viewed": "promotion_viewed",
    "Viewed Promotion": "promotion_viewed",
    "Promotion Clicked": "promotion_clicked",
    "Clicked Promotion": "promotion_clicked",
    "Ad Clicked": "ad_clicked",
    "Email Opened": "email_opened",
    "Subscription Renewed": "subscription_renewed",
    "Loyalty Joined": "loyalty_joined",
    "Link Clicked": "link_clicked",
}

# What is written differently; everything else keeps its name.
PROPERTY_NAMES: Mapping[str, str] = {
    "orderId": "order_id",
    "cartId": "cart_id",
    "productId": "product_id",
    "coupon_id": "coupon",
}
PRODUCT_NAMES: Mapping[str, str] = {"id": "product_id", "productId": "product_id", "coupon_id": "coupon"}

# Some clients write numbers as texts.
NUMBERS = (
    "price",
    "quantity",
    "position",
    "value",
    "revenue",
    "total",
    "subtotal",
    "tax",
    "shipping",
    "discount",
    "rating",
    "score",
)

# What the customer pays in all, the first of these that is a number. Elsewhere `total` may count anything.
VALUE_NAMES = ("total", "revenue", "value")
PAID_EVENTS = frozenset(
    {
        "cart_viewed",
        "checkout_started",
        "shipping_info_added",
        "payment_info_added",
        "order_completed",
        "order_refunded",
        "order_cancelled",
        "order_updated",
    }
)


def _key(name: str) -> str:
    return "_".join(name.replace("_", " ").replace("-", " ").lower().split())


_NATIVE_NAMES = {_key(name): native for name, native in EVENT_NAMES.items()}
_NATIVE_NAMES |= {native: native for native in (*EVENT_NAMES.values(), "page_viewed", "page_engaged")}


def native_name(name: str) -> str:
    """Ours, or the name as it is (cut where it is too long)."""
    return _NATIVE_NAMES.get(_key(name[:NAME_MAX]), name[:NAME_MAX])


def native_properties(event_name: str, sent: Object) -> dict[str, Any]:
    """All that was sent, in our words. event_name: ours."""
    properties = _named(sent, PROPERTY_NAMES)
    if isinstance(products := properties.get("products"), list):
        properties["products"] = [
            _named(product, PRODUCT_NAMES) if object_of(product) else product for product in products
        ]
    if event_name in PAID_EVENTS:
        _put_value(properties)
    if event_name == "order_refunded" and isinstance(value := properties.get("value"), int | float):
        properties["value"] = abs(value)
    return properties


def _named(sent: Object, names: Mapping[str, str]) -> dict[str, Any]:
    """A name of ours that was sent too goes before one that means it."""
    named = {native: sent[name] for name, native in names.items() if name in sent and native not in sent}
    kept = {name: value for name, value in sent.items() if names.get(name, name) not in named}
    return {name: _number(value) if name in NUMBERS else value for name, value in (kept | named).items()}


def _number(value: Any) -> Any:
    """A text that holds no number stays."""
    number = number_of(value) if isinstance(value, str) else None
    return value if number is None else number


def _put_value(properties: dict[str, Any]) -> None:
    name = next((name for name in VALUE_NAMES if number_of(properties.get(name)) is not None), "value")
    if name == "value":
        return
    paid, said = properties[name], properties.get("value")
    if name == "total":
        del properties["total"]
    if said is not None and said != paid:
        properties["value_as_sent"] = said
    properties["value"] = paid
