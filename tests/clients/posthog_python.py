"""A shop's server with posthog for Python. Arguments: address and key."""

import json
import sys
from pathlib import Path

from posthog import Posthog

shop = json.loads(Path(__file__).with_name("shop.json").read_text())
visitor, customer, product, order = shop["visitor"], shop["customer"], shop["product"], shop["order"]
host, key = sys.argv[1:]
posthog = Posthog(key, host=host)
nobody = {"$process_person_profile": False}  # who has not logged in is nobody's profile

for page in ("", "teapot"):
    posthog.capture(
        "$pageview", distinct_id=visitor, properties={"$current_url": f"https://shop.example/{page}"} | nobody
    )
posthog.capture("Product Viewed", distinct_id=visitor, properties=product | nobody)
posthog.capture("Product Added", distinct_id=visitor, properties=product | nobody)
posthog.capture("$pageview", distinct_id=visitor, properties={"$current_url": "https://shop.example/checkout"} | nobody)
posthog.capture("Checkout Started", distinct_id=visitor, properties={"products": [product]} | nobody)
posthog.alias(visitor, customer)
posthog.capture("$pageview", distinct_id=customer, properties={"$current_url": "https://shop.example/thanks"})
posthog.capture("Order Completed", distinct_id=customer, properties=order | {"products": [product]})
posthog.shutdown()
