"""Webhooks of Shopify: orders, refunds and cancellations, in the form of its REST Admin API.

Ids of events follow from the order and not from Shopify's headers (X-Shopify-Webhook-Id and X-Shopify-Event-Id, which
stay the same when a delivery is repeated): so an order that is both created and paid completes once.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from app.domain.outcome import RejectReason
from app.ingest.formats.base import WebhookShape
from app.ingest.formats.foreign import Object, list_of, number_of, object_of, text_of, time_of
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.orders import (
    NOTES,
    Fields,
    Hit,
    OrderFormat,
    given,
    name_of,
    needed_id,
    products_of,
    unknown_topic,
    visitor_in_notes,
)

EVENT_NAMES: Mapping[str, str] = {
    "orders/create": "order_completed",
    "orders/paid": "order_completed",
    "orders/updated": "order_updated",
    "orders/cancelled": "order_cancelled",
    "refunds/create": "order_refunded",
}
# When it happened, as an order says; and by what its event is told from others of the same order.
TIMES: Mapping[str, str] = {
    "order_completed": "created_at",
    "order_updated": "updated_at",
    "order_cancelled": "cancelled_at",
    "customer_identified": "created_at",
}

# States of a transaction that has given money back, or is about to.
MONEY_BACK = ("success", "pending")

LINE_FIELDS: Fields = dict.fromkeys(
    ("product_id", "sku", "title", "variant_title", "vendor", "price", "quantity", "total_discount")
)
ORDER_FIELDS: Fields = {
    **dict.fromkeys(("id", "name", "created_at", "updated_at", "cancelled_at", "cancel_reason", "currency")),
    **dict.fromkeys(("total_price", "total_tax", "total_discounts", "financial_status", "source_name", "test")),
    "total_shipping_price_set": {"shop_money": {"amount": None}},
    "discount_codes": {"code": None},
    "customer": {"id": None},
    "line_items": LINE_FIELDS,
    "note_attributes": NOTES,
}
REFUND_FIELDS: Fields = {
    **dict.fromkeys(("id", "order_id", "created_at")),
    "transactions": dict.fromkeys(("kind", "status", "amount", "currency")),
    "refund_line_items": {"quantity": None, "line_item": LINE_FIELDS},
}


class ShopifyFormat(OrderFormat):
    name = "shopify"
    paths = ("/v1/webhooks/shopify",)
    webhook = WebhookShape(b"x-shopify-topic", b"x-shopify-hmac-sha256", lambda _body: False)

    def hits(self, topic: str, body: Object) -> Sequence[Hit]:
        event = EVENT_NAMES.get(topic, topic)
        if event == "order_refunded":
            return [Hit(event, {}, body)]
        hits = [Hit(event, body, {})]
        if event == "order_completed" and _customer(body) and visitor_in_notes(body.get("note_attributes")):
            # Refunds name nobody but the order: this leads from there to its customer.
            hits.append(Hit("customer_identified", body, {}))
        return hits

    def translate(self, hit: Hit) -> dict[str, Any]:
        if hit.event == "order_refunded":
            return _refund(hit.refund)
        if hit.event not in TIMES:
            raise unknown_topic(hit, EVENT_NAMES)
        return _event(hit.event, hit.order)


SHOPIFY = ShopifyFormat(ORDER_FIELDS, REFUND_FIELDS)


def _event(event: str, order: Object) -> dict[str, Any]:
    order_id = needed_id(order.get("id"), "/order/id")
    field = TIMES[event]
    happened_at = time_of(order.get(field), f"/order/{field}")
    if happened_at is None:
        raise Refused(RejectReason.MISSING_FIELD, f"/order/{field}", f"The order does not say {field}.")
    is_link = event == "customer_identified"
    visitor = None if is_link else visitor_in_notes(order.get("note_attributes"))
    return {
        "event": event,
        "event_id": f"shopify:order:{order_id}:{event}",
        "client_time": happened_at,
        "visitor_id": visitor or _visitor_of_order(order_id),
        "customer_id": _customer(order),
        "properties": {"order_id": order_id} if is_link else _properties(order_id, order),
    }


def _customer(order: Object) -> str | None:
    return text_of(object_of(order.get("customer")).get("id"))


def _visitor_of_order(order_id: str) -> str:
    """For an order of which nobody says whose it is."""
    return f"shopify:order:{order_id}"


def _properties(order_id: str, order: Object) -> dict[str, Any]:
    shipping = object_of(object_of(order.get("total_shipping_price_set")).get("shop_money"))
    codes = [name_of(object_of(code).get("code")) for code in list_of(order.get("discount_codes"))]
    return given(
        {
            "order_id": order_id,
            "order_name": name_of(order.get("name")),
            "value": number_of(order.get("total_price")),
            "currency": name_of(order.get("currency")),
            "tax": number_of(order.get("total_tax")),
            "shipping": number_of(shipping.get("amount")),
            "discount": number_of(order.get("total_discounts")),
            "coupon": ", ".join(filter(None, codes)) or None,
            "affiliation": name_of(order.get("source_name")),
            "status": name_of(order.get("financial_status")),
            "reason": name_of(order.get("cancel_reason")),
            "is_test": order.get("test") is True or None,
            **products_of(order.get("line_items"), _product),
        }
    )


def _product(line: Object) -> dict[str, Any]:
    return {
        "product_id": name_of(line.get("product_id")),
        "sku": name_of(line.get("sku")),
        "name": name_of(line.get("title")),
        "brand": name_of(line.get("vendor")),
        "variant": name_of(line.get("variant_title")),
        "price": number_of(line.get("price")),
        "quantity": number_of(line.get("quantity")),
        "discount": number_of(line.get("total_discount")) or None,
    }


def _refund(refund: Object) -> dict[str, Any]:
    order_id = needed_id(refund.get("order_id"), "/refund/order_id")
    refund_id = needed_id(refund.get("id"), "/refund/id")
    paid_back = [object_of(transaction) for transaction in list_of(refund.get("transactions"))]
    paid_back = [each for each in paid_back if each.get("kind") == "refund" and each.get("status") in MONEY_BACK]
    currencies = [name_of(each.get("currency")) for each in paid_back]
    properties = {
        "order_id": order_id,
        "refund_id": refund_id,
        "value": _sum([number_of(each.get("amount")) for each in paid_back]),
        "currency": next(filter(None, currencies), None),
        **products_of(refund.get("refund_line_items"), _product_back),
    }
    return {
        "event": "order_refunded",
        "event_id": f"shopify:refund:{refund_id}",
        "client_time": time_of(refund.get("created_at"), "/refund/created_at"),
        "visitor_id": _visitor_of_order(order_id),
        "properties": given(properties),
    }


def _product_back(item: Object) -> dict[str, Any]:
    return _product(object_of(item.get("line_item"))) | {"quantity": number_of(item.get("quantity"))}


def _sum(amounts: Sequence[float | None]) -> float:
    """0 when goods came back and no money left: without a value the whole order would count as refunded."""
    total = Decimal()
    for amount in amounts:
        if amount is None:
            detail = "The amount of a transaction is no number."
            raise Refused(RejectReason.WRONG_TYPE, "/refund/transactions", detail)
        total += Decimal(str(amount))
    return float(total)
