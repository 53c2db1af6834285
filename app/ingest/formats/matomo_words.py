"""What a Matomo hit says, in our words."""

from typing import Any

from app.domain.outcome import RejectReason
from app.errors import Unreadable
from app.ingest.formats.foreign import (
    Object,
    json_of,
    number_of,
    object_of,
    said_of,
    text_of,
    time_of,
    unix_time_of,
    url_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.native_event import NAME_MAX
from app.ingest.formats.shop_words import shop_event_name

# A parameter, a value of it (None: any), and the event that a hit with it is; the first that fits counts. But one with
# e_c and e_a is an event that the shop has named itself.
EVENT_NAMES: tuple[tuple[str, str | None, str], ...] = (
    ("ping", "1", "page_engaged"),
    ("ec_id", None, "order_completed"),
    ("idgoal", "0", "cart_updated"),
    ("idgoal", None, "goal_reached"),
    ("search", None, "product_searched"),
    ("c_i", None, "promotion_clicked"),
    ("c_n", None, "promotion_viewed"),
    ("link", None, "link_clicked"),
    ("download", None, "file_downloaded"),
    ("ca", "1", "custom_action"),
    ("_pks", None, "product_viewed"),
    ("_pkn", None, "product_viewed"),
    ("_pkc", None, "product_list_viewed"),
    ("action_name", None, "page_viewed"),
    ("url", None, "page_viewed"),
)
PROPERTY_NAMES = {
    "action_name": "title",
    "search": "query",
    "search_cat": "search_category",
    "search_count": "search_count",
    "link": "link_url",
    "download": "link_url",
    "idgoal": "goal_id",
    "ec_id": "order_id",
    "revenue": "value",
    "ec_st": "subtotal",
    "ec_tx": "tax",
    "ec_sh": "shipping",
    "ec_dt": "discount",
    "e_c": "event_category",
    "e_a": "event_action",
    "e_n": "event_label",
    "e_v": "event_value",
    "c_n": "promotion_name",
    "c_p": "creative_name",
    "c_t": "link_url",
    "c_i": "interaction",
    "pv_id": "page_view_id",
    "res": "screen_resolution",
    "_rcn": "campaign_name",
    "_rck": "campaign_keyword",
    "_ref": "campaign_referrer",
}
# Of the product that a page shows; on all its hits but those that have products of their own.
PAGE_PRODUCT_NAMES = {"_pks": "product_id", "_pkn": "name", "_pkp": "price", "_pkc": "category"}
PRODUCT_NAMES = ("product_id", "name", "category", "price", "quantity")  # by place in an element of ec_items
NUMBERS = frozenset({"revenue", "ec_st", "ec_tx", "ec_sh", "ec_dt", "e_v", "search_count"})
PRODUCT_NUMBERS = frozenset({"price", "quantity"})
# Fields of ours, the caller's tokens and address, where somebody is to the metre, and the script's own bookkeeping: the
# clock's local time, plugins, loading times (pf_*).
LEFT_OUT = frozenset(
    "_id cid uid url urlref cdt cip token_auth _event_id key idsite rec apiv r rand h m s send_image queuedtracking"  # noqa: SIM905  # short
    " ping ca new_visit bots ua lang country uadata cs lat long cookie pdf qt realp wma fla java dir gears ag"
    " _idn _idts _idvc _viewts _ects _refts cvar _cvar".split()
)


def translate(hit: Object) -> dict[str, Any]:
    """To the fields of a NativeEvent. Raises Refused."""
    variables = _variables(hit)
    # Matomo's clients before version 4 tell of the page's product by variables of these names.
    hit = {name: variables.pop(name) for name in PAGE_PRODUCT_NAMES if name in variables} | dict(hit)
    event_name = _event_name(hit)
    return {
        "event": event_name,
        "visitor_id": text_of(hit.get("cid")) or text_of(hit.get("_id")),
        "customer_id": text_of(hit.get("uid")),
        "client_time": _time_of(hit.get("cdt")),
        "url": url_of(hit.get("url")),
        "referrer": url_of(hit.get("urlref")),
        "properties": variables | _named_properties(hit) | _goods(hit),
        "context": said_of(user_agent=hit.get("ua"), language=hit.get("lang"), country=hit.get("country")),
    }


def _event_name(hit: Object) -> str:
    """Raises Refused."""
    own = " ".join(part.strip() for name in ("e_c", "e_a") if (part := text_of(hit.get(name))))
    if own:
        return shop_event_name(own)[:NAME_MAX]
    sent = {name: text for name, value in hit.items() if (text := text_of(value)) is not None}
    for name, value, ours in EVENT_NAMES:
        if name in sent and value in (None, sent[name]):
            return ours
    raise Refused(RejectReason.MISSING_FIELD, "/url", "Give the page's `url`, or what has happened on it.")


def _time_of(sent: object) -> Any:
    """Seconds since 1970, or `2026-03-02 12:00:00` in UTC. Raises Refused."""
    if number_of(sent) is not None:
        return unix_time_of(sent, 1, "/cdt")
    if sent is not None and not isinstance(sent, str):
        raise Refused(RejectReason.BAD_TIME, "/cdt", "`cdt` is a text or a number.")
    return time_of(sent and sent.replace(" ", "T", 1), "/cdt")


def _named_properties(hit: Object) -> dict[str, Any]:
    is_cart = text_of(hit.get("idgoal")) == "0"
    properties: dict[str, Any] = {}
    for name, value in hit.items():
        if name in LEFT_OUT or name in PAGE_PRODUCT_NAMES or name.startswith("pf_") or name == "ec_items":
            continue
        if name == "idgoal" and is_cart:
            continue
        ours = PROPERTY_NAMES.get(name, name)
        properties[ours] = _number(value) if name in NUMBERS else text_of(value) if ours == "order_id" else value
    return properties


def _goods(hit: Object) -> dict[str, Any]:
    """The products of an order or a cart, or the one of the page."""
    if "ec_items" in hit:
        items = _json_of(hit["ec_items"])
        if not isinstance(items, list):
            return {"ec_items": hit["ec_items"]}
        return {"products": [_product(item) for item in items]}
    if text_of(hit.get("idgoal")) == "0":
        return {}
    product = {ours: hit[theirs] for theirs, ours in PAGE_PRODUCT_NAMES.items() if text_of(hit.get(theirs))}
    return {name: _product_value(name, value) for name, value in product.items()}


def _product(item: object) -> object:
    """From `[sku, name, category, price, quantity]`, of which the last may be missing."""
    if not isinstance(item, list):
        return item
    named = zip(PRODUCT_NAMES, item, strict=False)
    return {name: _product_value(name, value) for name, value in named if value not in (None, "", [])}


def _product_value(name: str, value: object) -> object:
    if name in PRODUCT_NUMBERS:
        return _number(value)
    if name == "category" and isinstance(value, str) and value.startswith("["):  # up to five, as JSON
        value = _json_of(value) or value
    return value[0] if name == "category" and isinstance(value, list) and len(value) == 1 else value


def _variables(hit: Object) -> dict[str, Any]:
    """Custom variables, `{"1": ["name", "value"]}`, of the visit and of the page."""
    properties: dict[str, Any] = {}
    for parameter in ("_cvar", "cvar"):
        for pair in object_of(_json_of(hit.get(parameter))).values():
            if isinstance(pair, list) and len(pair) == 2 and (name := text_of(pair[0])):
                properties[name] = pair[1]
    return properties


def _json_of(sent: object) -> object:
    """Of a parameter; in a bulk request it may be taken apart already. None for what is no JSON."""
    if not isinstance(sent, str):
        return sent
    try:
        return json_of(sent.encode())
    except Unreadable:
        return None


def _number(sent: object) -> object:
    number = number_of(sent)
    return sent if number is None else number
