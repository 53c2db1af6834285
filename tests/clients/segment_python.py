"""A shop's server with segment-analytics-python. Arguments: address and key."""

import json
import sys
from pathlib import Path

from segment import analytics

shop = json.loads(Path(__file__).with_name("shop.json").read_text())
visitor, customer, product, order = shop["visitor"], shop["customer"], shop["product"], shop["order"]
analytics.host, analytics.write_key = sys.argv[1:]

analytics.page(anonymous_id=visitor, name="Home")
analytics.page(anonymous_id=visitor, name=product["name"])
analytics.track(anonymous_id=visitor, event="Product Viewed", properties=product)
analytics.track(anonymous_id=visitor, event="Product Added", properties=product)
analytics.page(anonymous_id=visitor, name="Checkout")
analytics.track(anonymous_id=visitor, event="Checkout Started", properties={"products": [product]})
analytics.identify(customer, {"plan": "club"}, anonymous_id=visitor)
analytics.page(customer, name="Thanks", anonymous_id=visitor)
analytics.track(customer, "Order Completed", {**order, "products": [product]})
analytics.shutdown()
