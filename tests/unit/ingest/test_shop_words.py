"""Words of shops whose maker leaves the names to them: Segment's and GA4's, in whatever spelling."""

import pytest

from app.ingest.formats.shop_words import shop_event_name, shop_properties


@pytest.mark.parametrize(
    ("sent", "ours"),
    [
        ("Product Added", "product_added"),
        ("product-added", "product_added"),
        ("add_to_cart", "product_added"),
        ("Purchase", "order_completed"),
        ("search", "product_searched"),
        ("order_completed", "order_completed"),
        ("Menu opened", "Menu opened"),
        ("x" * 101, "x" * 100),
    ],
)
def test_a_name_is_known_in_segment_s_and_in_ga4_s_words(sent: str, ours: str) -> None:
    assert shop_event_name(sent) == ours


def test_an_order_in_ga4_s_words_is_ours() -> None:
    items = [{"item_id": "bag-1", "item_name": "Bag", "price": "49.90", "quantity": 1, "index": 0}, "odd"]

    assert shop_properties("order_completed", {"transaction_id": "A-7", "value": 49.9, "items": items}) == {
        "order_id": "A-7",
        "value": 49.9,
        "products": [{"product_id": "bag-1", "name": "Bag", "price": 49.9, "quantity": 1, "position": 0}, "odd"],
    }


def test_a_product_may_stand_at_the_top() -> None:
    assert shop_properties("product_viewed", {"item_id": "bag-1", "item_brand": "Lund", "index": 3}) == {
        "product_id": "bag-1",
        "brand": "Lund",
        "index": 3,
    }


def test_a_name_of_ours_goes_before_one_that_means_it() -> None:
    sent = {"order_id": "A-7", "transaction_id": "T-9", "items": 3, "coupon": None}

    assert shop_properties("order_completed", sent) == {"order_id": "A-7", "transaction_id": "T-9", "items": 3}
