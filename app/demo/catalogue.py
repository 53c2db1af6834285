"""What the demo shop sells and where its visitors come from. All of it is made up."""

from typing import NamedTuple

SHOP_URL = "https://shop.example"
CURRENCY = "EUR"


class Product(NamedTuple):
    product_id: str
    name: str
    category: str
    brand: str
    price_minor: int  # cents, VAT included

    @property
    def path(self) -> str:
        return f"/products/{self.product_id}"

    def properties(self) -> dict[str, object]:
        return {
            "product_id": self.product_id,
            "name": self.name,
            "category": self.category,
            "brand": self.brand,
            "price": self.price_minor / 100,
        }


class Channel(NamedTuple):
    """A way into the shop. interest scales how far its visitors go: 1 is the average."""

    name: str
    weight: int  # share of arrivals, out of 100
    interest: float
    landing_query: str
    referrer: str | None
    arrival_event: str | None = None  # sent before the first page, by the ad or mail platform


CHANNELS = (
    Channel("organic_search", 30, 1.0, "", "https://www.google.com/"),
    Channel("direct", 22, 1.25, "", None),
    Channel(
        "paid_search",
        17,
        1.05,
        "?utm_source=google&utm_medium=cpc&utm_campaign=autumn_bags&gclid=demo",
        "https://www.google.com/",
        "ad_clicked",
    ),
    Channel(
        "paid_social",
        11,
        0.55,
        "?utm_source=instagram&utm_medium=paid_social&utm_campaign=new_arrivals&fbclid=demo",
        "https://l.instagram.com/",
        "ad_clicked",
    ),
    Channel("organic_social", 6, 0.7, "", "https://www.pinterest.com/"),
    Channel("email", 8, 1.6, "?utm_source=newsletter&utm_medium=email&utm_campaign=weekly", None, "email_opened"),
    Channel("referral", 6, 0.95, "", "https://travel-blog.example/packing-light"),
)

# device type: (share of visitors out of 100, interest)
DEVICES = {"mobile": (58, 0.8), "desktop": (36, 1.35), "tablet": (6, 0.9)}

PAGES = ("/", "/about", "/shipping", "/size-guide", "/magazine/caring-for-leather", "/stores")
SEARCHES = ("backpack", "regenjacke", "gift", "wool hat", "white shirt", "travel mug", "größe 42", "notebook")

_RANGE: dict[str, tuple[tuple[str, str, int], ...]] = {
    "Bags": (
        ("Weekender Canvas", "Nordufer", 12900),
        ("City Backpack 18 l", "Nordufer", 8900),
        ("Tote Jute", "Lindgrün", 2490),
        ("Sling Bag Mini", "Kieselwerk", 4900),
        ("Laptop Sleeve 14", "Kieselwerk", 3900),
    ),
    "Hats": (
        ("Beanie Merino", "Nordufer", 2990),
        ("Cap Corduroy", "Tante Erna", 2490),
        ("Bucket Hat Linen", "Lindgrün", 3490),
        ("Straw Hat Wide", "Lindgrün", 3990),
        ("Kids Beanie", "Tante Erna", 1990),
    ),
    "Shirts": (
        ("T-Shirt Heavy White", "Kieselwerk", 2900),
        ("T-Shirt Striped", "Tante Erna", 2900),
        ("Oxford Shirt", "Nordufer", 6900),
        ("Linen Shirt", "Lindgrün", 7900),
        ("Longsleeve Waffle", "Kieselwerk", 3990),
    ),
    "Jackets": (
        ("Raincoat Hamburg", "Nordufer", 14900),
        ("Down Vest Light", "Nordufer", 9900),
        ("Denim Jacket", "Kieselwerk", 10900),
        ("Fleece Zip", "Lindgrün", 7490),
        ("Windbreaker", "Kieselwerk", 8490),
    ),
    "Shoes": (
        ("Sneaker Court", "Kieselwerk", 9900),
        ("Sneaker Trail", "Nordufer", 12900),
        ("Chelsea Boot", "Nordufer", 16900),
        ("Espadrille", "Lindgrün", 4900),
        ("House Slipper Felt", "Tante Erna", 3990),
    ),
    "Drinkware": (
        ("Travel Mug 350 ml", "Kieselwerk", 2490),
        ("Bottle Steel 750 ml", "Kieselwerk", 2990),
        ("Mug Stoneware", "Tante Erna", 1490),
        ("Tea Glass Set", "Tante Erna", 2790),
        ("Carafe 1 l", "Lindgrün", 3490),
    ),
    "Stationery": (
        ("Notebook A5 Dotted", "Tante Erna", 1290),
        ("Fountain Pen", "Nordufer", 3900),
        ("Pencil Set", "Tante Erna", 990),
        ("Desk Calendar", "Lindgrün", 1690),
        ("Washi Tape Trio", "Lindgrün", 790),
    ),
    "Home": (
        ("Wool Blanket", "Nordufer", 11900),
        ("Cushion Linen", "Lindgrün", 3990),
        ("Candle Fig", "Tante Erna", 1990),
        ("Vase Clay", "Tante Erna", 3490),
        ("Doormat Coir", "Lindgrün", 2990),
    ),
}

PRODUCTS = tuple(
    Product(f"{category.lower()}-{number}", name, category, brand, price_minor)
    for category, articles in _RANGE.items()
    for number, (name, brand, price_minor) in enumerate(articles, start=1)
)
