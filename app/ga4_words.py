"""GA4's words and ours: one table for what is imported and for what is sent live."""

from __future__ import annotations

EVENT_NAMES = {
    "view_item": "product_viewed",
    "add_to_cart": "product_added",
    "remove_from_cart": "product_removed",
    "view_cart": "cart_viewed",
    "begin_checkout": "checkout_started",
    "add_shipping_info": "shipping_info_added",
    "add_payment_info": "payment_info_added",
    "purchase": "order_completed",
    "refund": "order_refunded",
    "view_item_list": "product_list_viewed",
    "select_item": "product_clicked",
    "search": "product_searched",
    "view_search_results": "product_searched",
    "view_promotion": "promotion_viewed",
    "select_promotion": "promotion_clicked",
    "add_to_wishlist": "product_added_to_wishlist",
    "page_view": "page_viewed",
    "session_start": "session_started",
}
PARAMETER_NAMES = {
    "transaction_id": "order_id",
    "engagement_time_msec": "engaged_ms",
    "search_term": "query",
    "page_title": "title",
}
INTERNAL_PARAMETERS = (  # GA4's own bookkeeping: what it says about sessions follows from our own
    "batch_ordering_id",
    "batch_page_id",
    "debug_mode",
    "engaged_session_event",
    "entrances",
    "ignore_referrer",
    "session_engaged",
)
PRODUCT_NAMES = {
    "item_id": "product_id",
    "item_name": "name",
    "item_category": "category",
    "item_brand": "brand",
    "item_variant": "variant",
    "index": "position",
}
