"""One made-up visitor of the demo shop, and what can be done there; each deed becomes a native event."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from app.demo.catalogue import CURRENCY, PAGES, PRODUCTS, SEARCHES, SHOP_URL, Channel, Product

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

VAT_DIVISOR = 119 / 19  # German VAT of 19 %, contained in the price
FREE_SHIPPING_FROM_MINOR = 5000
SHIPPING_MINOR = 490
COUPON = "WELCOME10"  # 10 % off

CHECKOUT_STEPS = ("cart_viewed", "checkout_started", "shipping_info_added", "payment_info_added")
# Answers to "would you recommend us?", from 0 to 10
NPS_WEIGHTS = (2, 1, 1, 2, 2, 5, 6, 13, 20, 22, 26)


@dataclass
class Shopper:
    rng: Random
    visitor_id: str
    device_type: str
    now_ms: int  # the visitor's clock, ms since the epoch
    customer_id: str | None = None
    cart_id: str = ""
    cart: list[tuple[Product, int]] = field(default_factory=list)
    last_order: dict[str, object] = field(default_factory=dict)
    events: list[dict[str, object]] = field(default_factory=list)

    def arrive(self, channel: Channel) -> None:
        """Begins a session: the first page carries the campaign and the referrer."""
        path = self.rng.choice(("/", "/", self._product().path, "/magazine/caring-for-leather"))
        landing = path + channel.landing_query
        if channel.arrival_event:
            self._emit(channel.arrival_event, landing)
        self._emit("page_viewed", landing)
        if channel.referrer:
            self.events[-1]["referrer"] = channel.referrer

    def read_page(self) -> None:
        self._emit("page_viewed", self.rng.choice(PAGES))

    def look_around(self) -> Product:
        """Comes to one product, through a list or a search, and looks at it more or less closely."""
        rng, product = self.rng, self._product()
        if rng.random() < 0.25:
            query = rng.choice(SEARCHES)
            self._emit("page_viewed", "/search")
            self._emit("product_searched", "/search", query=query, result_count=rng.randint(0, 24))
        else:
            path = f"/categories/{product.category.lower()}"
            self._emit("page_viewed", path)
            self._emit("product_list_viewed", path, category=product.category)
        if rng.random() < 0.75:
            self._emit("page_viewed", product.path)
            self._emit("product_viewed", product.path, currency=CURRENCY, **product.properties())
            self._weigh_up(product)
        return product

    def add_to_cart(self, product: Product) -> None:
        quantity = self.rng.choice((1, 1, 1, 1, 2, 3))
        if not self.cart:
            self.cart_id = f"cart-{self.rng.getrandbits(48):012x}"
        self.cart.append((product, quantity))
        self._emit(
            "product_added",
            product.path,
            cart_id=self.cart_id,
            quantity=quantity,
            value=product.price_minor * quantity / 100,
            currency=CURRENCY,
            **product.properties(),
        )

    def check_out(self, step_count: int) -> None:
        """Goes the first step_count of CHECKOUT_STEPS."""
        for step in CHECKOUT_STEPS[:step_count]:
            path = "/cart" if step == "cart_viewed" else "/checkout"
            self._emit("page_viewed", path)
            self._emit(step, path, cart_id=self.cart_id, value=self._cart_minor() / 100, currency=CURRENCY)
            if step == "checkout_started" and self.rng.random() < 0.6:
                self.log_in()

    def order(self) -> None:
        """Buys what is in the cart."""
        goods_minor, coupon = self._cart_minor(), self.rng.random() < 0.2
        if coupon:
            goods_minor = round(goods_minor * 0.9)
            self._emit("coupon_applied", "/checkout", cart_id=self.cart_id, coupon=COUPON)
        shipping_minor = 0 if goods_minor >= FREE_SHIPPING_FROM_MINOR else SHIPPING_MINOR
        total_minor = goods_minor + shipping_minor
        self.last_order = {
            "order_id": f"order-{self.rng.getrandbits(40):010x}",
            "value": total_minor / 100,
            "currency": CURRENCY,
            "products": [product.properties() | {"quantity": quantity} for product, quantity in self.cart],
        }
        self._emit(
            "order_completed",
            "/checkout/thank-you",
            cart_id=self.cart_id,
            tax=round(total_minor / VAT_DIVISOR) / 100,
            shipping=shipping_minor / 100,
            **({"coupon": COUPON} if coupon else {}),
            **self.last_order,
        )
        self.cart = []

    def log_in(self) -> None:
        if self.customer_id is None:
            self.customer_id = f"customer-{self.rng.getrandbits(40):010x}"
            self._emit("customer_identified", "/account")

    def join_loyalty(self) -> None:
        self.log_in()
        self._emit("loyalty_joined", "/account/loyalty", programme="Stammkunde")

    def refund(self) -> None:
        self._emit("order_refunded", "/account/orders", **self.last_order)

    def answer_survey(self) -> None:
        score = self.rng.choices(range(11), NPS_WEIGHTS)[0]
        self._emit("survey_answered", "/survey", survey_type="nps", score=score)

    def recommend(self) -> None:
        product, deed = self._product(), self.rng.random()
        if deed < 0.5:
            rating = self.rng.choice((2, 3, 4, 4, 5, 5, 5))
            self._emit("product_reviewed", product.path, product_id=product.product_id, rating=rating)
        elif deed < 0.85:
            self._emit("product_shared", product.path, product_id=product.product_id, share_to="whatsapp")
        else:
            self._emit("referral_sent", "/account/invite", referral_channel="email")

    def _weigh_up(self, product: Product) -> None:
        if self.rng.random() < 0.2:
            self._emit("product_reviews_viewed", product.path, product_id=product.product_id)
        if self.rng.random() < 0.06:
            self._emit("product_compared", "/compare", product_id=product.product_id)
        if self.rng.random() < 0.06:
            self._emit("product_added_to_wishlist", product.path, **product.properties())

    def _product(self) -> Product:
        """The first products of the catalogue sell best."""
        return PRODUCTS[int(len(PRODUCTS) * self.rng.random() ** 1.6)]

    def _cart_minor(self) -> int:
        return sum(product.price_minor * quantity for product, quantity in self.cart)

    def _emit(self, event: str, path: str, **properties: object) -> None:
        """Sends one event, then lets some time pass (a page and its events come almost together)."""
        sent: dict[str, object] = {
            "event_id": self._event_id(),
            "event": event,
            "visitor_id": self.visitor_id,
            "client_time": rfc3339(self.now_ms),
            "seq": len(self.events) + 1,
            "url": SHOP_URL + path,
            "properties": {"synthetic": True, "device_type": self.device_type} | properties,
        }
        if self.customer_id:
            sent["customer_id"] = self.customer_id
        self.events.append(sent)
        pause_ms = 150 if event == "page_viewed" and self.rng.random() < 0.7 else 25_000
        self.now_ms += 1 + int(self.rng.expovariate(1 / pause_ms))

    def _event_id(self) -> str:
        """A UUIDv7 whose time is the visitor's clock and whose random bits come from the seed."""
        random_a, random_b = self.rng.getrandbits(12), self.rng.getrandbits(62)
        digits = f"{self.now_ms:012x}7{random_a:03x}{(0b10 << 62) | random_b:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def rfc3339(time_ms: int) -> str:
    time = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
