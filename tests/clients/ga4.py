"""A shop's server with ga4mp, a client of GA4's Measurement Protocol. Arguments: address and key."""

import json
import sys
from pathlib import Path
from typing import Any

from ga4mp import GtagMP

shop = json.loads(Path(__file__).with_name("shop.json").read_text())
product, order = shop["product"], shop["order"]
host, key = sys.argv[1:]
item = {"item_id": product["product_id"], "item_name": product["name"], "price": product["price"], "quantity": 2}

ga = GtagMP(api_secret=key, measurement_id="G-SHOP", client_id=shop["visitor"])
ga._base_domain = f"{host}/mp/collect"  # it has no setting for its host


def send(*events: tuple[str, dict[str, Any]]) -> None:
    ga.send([{"name": name, "params": params} for name, params in events])


send(("page_view", {"page_location": "https://shop.example/"}))
send(("page_view", {"page_location": "https://shop.example/teapot"}), ("view_item", {"items": [item]}))
send(("add_to_cart", {"items": [item], "value": 39.8, "currency": "EUR"}))
send(("page_view", {"page_location": "https://shop.example/checkout"}), ("begin_checkout", {"items": [item]}))
ga.store.set_user_property("user_id", shop["customer"])
send(
    ("page_view", {"page_location": "https://shop.example/thanks"}),
    ("purchase", {"transaction_id": order["order_id"], "value": order["total"], "currency": "EUR", "items": [item]}),
)
