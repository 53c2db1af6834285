"""GA4's BigQuery export in our words: names of events and parameters, order properties, ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from app.ga4_words import EVENT_NAMES, INTERNAL_PARAMETERS, PARAMETER_NAMES, PRODUCT_NAMES
from app.importers.base import ID_MAX, NAME_MAX, PROPERTIES_MAX, URL_MAX
from app.importers.event_ids import EventIds
from app.importers.ga4_parquet import Item, Row, open_export, read_rows

PRODUCT_FIELDS = ("item_id", "item_name", "item_category", "item_brand", "item_variant", "price", "quantity")
PROMOTION_FIELDS = ("promotion_id", "promotion_name", "creative_name", "creative_slot")
NO_ID = frozenset(("", "null", "undefined", "none", "nan", "(not set)"))


_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


class Ga4Importer:
    """Imports the daily tables `events_YYYYMMDD`, exported as Parquet."""

    name = "ga4"
    description = "Google Analytics 4: Parquet files of its BigQuery export"

    def count(self, files: Sequence[Path]) -> int:
        return sum(open_export(path).metadata.num_rows for path in files)

    def read(self, files: Sequence[Path]) -> Iterator[bytes]:
        for path in files:
            open_export(path).close()  # a file that cannot be read is reported before anything is sent
        for path in files:
            yield from _read_file(path)


GA4 = Ga4Importer()


def _read_file(path: Path) -> Iterator[bytes]:
    event_ids = EventIds()
    with open_export(path) as file:
        for row in read_rows(file, path):
            event = _encode(_native_event(event_ids.assign(_identity(row)), row))
            # NUL: JSON may hold it, Postgres may not. Looking for the backslash alone is much quicker.
            if b"\\" in event and b"\\u0000" in event:
                event = _encode(_without_nul(msgspec.json.decode(event)))
            yield event


def _identity(row: Row) -> bytes:
    """What tells one hit from another, in GA4's words: a change of our mapping must not change the ids.

    Sorted, because the order of the parameters carries no meaning.
    """
    order_id = row.ecommerce.get("transaction_id")
    return _encode_sorted((*row[:5], row.parameters, order_id))


class _Event(msgspec.Struct, omit_defaults=True):
    """A native event; what is None is left out."""

    event_id: str
    event: str | None
    visitor_id: str | None = None
    customer_id: str | None = None
    client_time: str | None = None
    url: str | None = None
    referrer: str | None = None
    properties: dict[str, Any] = {}


def _native_event(event_id: str, row: Row) -> _Event:
    """Uses the row up: its parameters become the properties."""
    name = row.event_name
    url = row.parameters.pop("page_location", None)
    referrer = row.parameters.pop("page_referrer", None)
    return _Event(
        event_id=event_id,
        event=EVENT_NAMES.get(name, name[:NAME_MAX]) if name else None,
        visitor_id=_known_id(row.user_pseudo_id),
        customer_id=_known_id(row.user_id),
        client_time=row.client_time,
        url=_url(url),
        referrer=_url(referrer),
        properties=_properties(row),
    )


def _properties(row: Row) -> dict[str, Any]:
    """The shop's parameters go before what GA4 found out about the device; order and products before both."""
    properties = row.context | row.parameters
    for name in INTERNAL_PARAMETERS:
        properties.pop(name, None)
    for foreign, native in PARAMETER_NAMES.items():
        if foreign in properties:
            properties[native] = properties.pop(foreign)
    ours = _goods(row.items) if row.items else {}
    if row.ecommerce or "order_id" in properties:
        ours |= _order(row, properties.pop("order_id", None))
    if len(properties) + len(ours) > PROPERTIES_MAX:
        properties = dict(islice(properties.items(), PROPERTIES_MAX - len(ours)))
    properties |= ours
    return properties


def _order(row: Row, order_id: str | int | None) -> dict[str, Any]:
    """What `ecommerce` says, in the order's own currency; it goes before parameters of the same name."""
    sent = row.ecommerce
    order = {
        "order_id": _known_id(sent.get("transaction_id")) or _known_id(order_id),
        "value": sent.get("refund_value" if row.event_name == "refund" else "purchase_revenue"),
        "tax": sent.get("tax_value"),
        "shipping": sent.get("shipping_value"),
    }
    return {name: value for name, value in order.items() if value is not None}


def _goods(items: list[Item]) -> dict[str, Any]:
    """`products`, and the first promotion that GA4 put in the place of a product."""
    products = [product for product in map(_product, items) if product is not None]
    goods: dict[str, Any] = {"products": products} if products else {}
    if len(products) < len(items):
        promotion = next(item for item in items if _product(item) is None)
        goods |= {field: value for field in PROMOTION_FIELDS if (value := getattr(promotion, field))}
    return goods


@lru_cache(maxsize=16_384)  # a shop's goods come again and again in lists of a dozen
def _product(item: Item) -> msgspec.Raw | None:
    """The product as JSON, None if the item is none."""
    fields = {PRODUCT_NAMES.get(field, field): getattr(item, field) for field in PRODUCT_FIELDS}
    product = {name: value for name, value in fields.items() if value is not None}
    return msgspec.Raw(_encode(product)) if product else None


def _url(value: str | int | None) -> str | None:
    return None if value is None else str(value)[:URL_MAX]


@lru_cache(maxsize=8_192)  # the hits of a visitor lie close together
def _known_id(value: str | int | None) -> str | None:
    """The id, None if it says that there is none; one that is too long ends in a digest to stay unique."""
    text = "" if value is None else str(value)
    if text.strip().lower() in NO_ID:
        return None
    if len(text) > ID_MAX:
        digest = blake2b(text.encode(), digest_size=16).hexdigest()
        return f"{text[: ID_MAX - len(digest)]}{digest}"
    return text


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value
