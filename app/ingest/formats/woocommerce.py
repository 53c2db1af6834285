"""Webhooks of WooCommerce: orders in the form of its REST API, versions 1 to 3.

What an order has come to is told by its status and its refunds, not by the topic. Each delivery has an id of its own,
also when the order is the same: so ids of events follow from the order, and one that is sent ten times completes once.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
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

TOPICS = ("order.created", "order.updated", "order.deleted", "order.restored")
# A refunded order was paid before; should that delivery have been lost, it is known from this one.
EVENT_NAMES: Mapping[str, str] = {
    "processing": "order_completed",
    "completed": "order_completed",
    "refunded": "order_completed",
    "cancelled": "order_cancelled",
}
EVENTS = frozenset({*EVENT_NAMES.values(), "order_updated", "order_refunded"})

ORDER_FIELDS: Fields = {
    **dict.fromkeys(("id", "number", "status", "currency", "date_created_gmt", "date_modified_gmt", "created_via")),
    **dict.fromkeys(("total", "total_tax", "shipping_total", "discount_total", "customer_id")),
    "line_items": dict.fromkeys(("product_id", "variation_id", "name", "sku", "price", "quantity")),
    "coupon_lines": {"code": None},
    "refunds": {"id": None, "total": None},
    "meta_data": NOTES,
}
REFUND_FIELDS: Fields = {"id": None, "total": None}

_is_ping = re.compile(rb"webhook_id=[0-9]{1,20}").fullmatch


class WooCommerceFormat(OrderFormat):
    name = "woocommerce"
    paths = ("/v1/webhooks/woocommerce",)
    webhook = WebhookShape(b"x-wc-webhook-topic", b"x-wc-webhook-signature", lambda body: _is_ping(body) is not None)

    def hits(self, topic: str, body: Object) -> Sequence[Hit]:
        if topic not in TOPICS:
            return [Hit(topic, {}, {})]
        if topic == "order.deleted":  # holds nothing but the id
            return [Hit("order_cancelled", body, {})]
        status = body.get("status")
        refunds = [object_of(refund) for refund in list_of(body.get("refunds"))]
        if status == "refunded" and not refunds:
            refunds = [{}]  # the whole order
        hits = [Hit("order_refunded", body, refund) for refund in refunds]
        if isinstance(status, str) and (event := EVENT_NAMES.get(status)):
            hits.insert(0, Hit(event, body, {}))
        if topic != "order.created" or not hits:
            hits.append(Hit("order_updated", body, {}))
        return hits

    def translate(self, hit: Hit) -> dict[str, Any]:
        if hit.event not in EVENTS:
            raise unknown_topic(hit, TOPICS)
        order_id = needed_id(hit.order.get("id"), "/order/id")
        guest = text_of(hit.order.get("customer_id")) in (None, "0")
        is_refund = hit.event == "order_refunded"
        return {
            "event": hit.event,
            "event_id": _event_id(hit, order_id),
            "client_time": _client_time(hit),
            "visitor_id": visitor_in_notes(hit.order.get("meta_data")) or f"woocommerce:order:{order_id}",
            "customer_id": None if guest else text_of(hit.order.get("customer_id")),
            "properties": given(_refund(hit) if is_refund else _properties(hit.order)),
        }


WOOCOMMERCE = WooCommerceFormat(ORDER_FIELDS, REFUND_FIELDS)


def _event_id(hit: Hit, order_id: str) -> str:
    refund_id = text_of(hit.refund.get("id"))
    if hit.event == "order_refunded" and refund_id:
        return f"woocommerce:refund:{refund_id}"
    return f"woocommerce:order:{order_id}:{hit.event}"


def _client_time(hit: Hit) -> datetime | None:
    """When it was ordered or changed. When it was refunded or cancelled no order says: that is when we hear of it.

    Raises Refused.
    """
    fields = {"order_completed": "date_created_gmt", "order_updated": "date_modified_gmt"}
    field = fields.get(hit.event, "")
    sent = hit.order.get(field)
    return time_of(f"{sent}Z" if isinstance(sent, str) and sent else None, f"/order/{field}")


def _order_number(order: Object) -> str | None:
    """What buyers and pages call the order: its id, unless a plug-in numbers orders in its own way."""
    return text_of(order.get("number")) or text_of(order.get("id"))


def _properties(order: Object) -> dict[str, Any]:
    codes = [name_of(object_of(line).get("code")) for line in list_of(order.get("coupon_lines"))]
    return {
        "order_id": _order_number(order),
        "value": number_of(order.get("total")),
        "currency": name_of(order.get("currency")),
        "tax": number_of(order.get("total_tax")),
        "shipping": number_of(order.get("shipping_total")),
        "discount": number_of(order.get("discount_total")),
        "coupon": ", ".join(filter(None, codes)) or None,
        "affiliation": name_of(order.get("created_via")),
        "status": name_of(order.get("status")),
        **products_of(order.get("line_items"), _product),
    }


def _product(line: Object) -> dict[str, Any]:
    variation = text_of(line.get("variation_id"))
    return {
        "product_id": name_of(line.get("product_id")),
        "sku": name_of(line.get("sku")),
        "name": name_of(line.get("name")),
        "variant": None if variation == "0" else name_of(variation),
        "price": number_of(line.get("price")),
        "quantity": number_of(line.get("quantity")),
    }


def _refund(hit: Hit) -> dict[str, Any]:
    """Without a value the whole order is refunded. WooCommerce writes what went back as a negative number.

    Raises Refused.
    """
    value = number_of(hit.refund.get("total"))
    if hit.refund and value is None:
        raise Refused(RejectReason.WRONG_TYPE, "/refund/total", "A refund says how much it is in `total`.")
    return {
        "order_id": _order_number(hit.order),
        "refund_id": text_of(hit.refund.get("id")),
        "value": None if value is None else abs(value),
        "currency": name_of(hit.order.get("currency")),
    }
