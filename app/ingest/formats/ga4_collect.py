"""What GA4's browser script (gtag.js) sends to a first-party host, `/g/collect`: short names in query and body."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from app.errors import Unreadable
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.content_ids import content_ids
from app.ingest.formats.foreign import check_count, check_shared, decode_all, number_of, said_of, url_of
from app.ingest.formats.ga4 import event_name_of, product_of, properties_of

Hit = dict[str, str]

# Of what stands for the whole hit, the longer names that the Measurement Protocol and our words know.
PARAMETER_NAMES = {
    "dt": "page_title",
    "cu": "currency",
    "_et": "engagement_time_msec",
    "sid": "session_id",
    "sct": "session_number",
    "sr": "screen_resolution",
    "cs": "utm_source",
    "cm": "utm_medium",
    "cn": "utm_campaign",
    "ck": "utm_term",
    "cc": "utm_content",
    "ci": "utm_id",
}
NUMBERS = ("_et", "sct")
# Of a product in pr1, pr2 …: two letters and the value, `idSKU-1~nmHat~pr19.9`.
ITEM_NAMES = {
    "id": "item_id",
    "nm": "item_name",
    "br": "item_brand",
    "ca": "item_category",
    "c2": "item_category2",
    "c3": "item_category3",
    "c4": "item_category4",
    "c5": "item_category5",
    "va": "item_variant",
    "pr": "price",
    "qt": "quantity",
    "cp": "coupon",
    "ds": "discount",
    "af": "affiliation",
    "ln": "item_list_name",
    "li": "item_list_id",
    "lp": "index",
    "lo": "location_id",
    "pi": "promotion_id",
    "pn": "promotion_name",
    "cn": "creative_name",
    "cs": "creative_slot",
}
ITEM_NUMBERS = ("index",)
# Fields of ours, who somebody is by a hash of the e-mail address, and the script's own bookkeeping: its version and
# settings, consent for advertising, the browser's versions one by one. So are names with an underscore in front, other
# than _et.
LEFT_OUT = frozenset(
    "v tid key cid uid en dl dr ul em ecid gtm gcs gcd npa dma dma_cps tag_exp pscdl frm seg are tfd tt ir z"  # noqa: SIM905  # short
    " uaa uab uafvl uam uamb uap uapv uaw ur us_privacy gdpr gdpr_consent".split()
)
PARAMETERS_MAX = 500  # of the query, which every line of the body repeats in memory, and of a line
ID_FIELD = "_event_id"  # of a hit in quarantine

_item_of = re.compile(r"pr\d+").fullmatch
_item_parts = re.compile(r"(?:[^~]|~~)+").findall  # a tilde in a value is written twice


class Ga4CollectFormat(WireFormat):
    name = "ga4_collect"
    paths = ("/g/collect",)
    methods = ("POST", "GET")

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        del body
        return query.get("tid")

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        """Each line of the body is an event, which has the query's parameters too."""
        lines = [line.decode(errors="replace") for line in body.splitlines() if line.strip()]
        check_count(len(lines), context)
        if len(context.query) > PARAMETERS_MAX:
            raise Unreadable(f"The address has {len(context.query)} parameters; send at most {PARAMETERS_MAX}.")
        shared = {name: value for name, value in context.query.items() if value}
        check_shared(shared, len(lines))
        hits: list[Hit] = [{**shared, **_parameters(line)} for line in lines or [""]]
        if not all(hits):
            raise Unreadable("Send parameters, in the query or in the body, as in `v=2&tid=G-1&cid=7&en=page_view`.")
        for hit in hits:
            if "cid" not in hit and "uid" not in hit and (day_key := context.cookieless_key()) is not None:
                hit["cid"] = day_key
        for hit, made_up in zip(hits, content_ids("ga4-collect", map(_identity, hits)), strict=True):
            if made_up is not None:
                hit.setdefault(ID_FIELD, made_up)
        return decode_all(hits, _translate, _raw_of, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        del result, query
        return Reply(204, b"")


GA4_COLLECT = Ga4CollectFormat()


def _parameters(line: str) -> Hit:
    """Raises Unreadable."""
    try:
        return dict(parse_qsl(line, max_num_fields=PARAMETERS_MAX))
    except ValueError as error:
        raise Unreadable(f"A line has more than {PARAMETERS_MAX} parameters; send fewer.") from error


def _identity(hit: Hit) -> Hit | None:
    """The page load and the number of the hit in it tell a hit from another one of the same content."""
    return hit if "_p" in hit and "_s" in hit else None


def _translate(hit: Hit) -> dict[str, Any]:
    """Raises Refused."""
    return {
        "event": event_name_of(hit.get("en"), "/en"),
        "event_id": hit.get(ID_FIELD),
        "visitor_id": hit.get("cid"),
        "customer_id": hit.get("uid"),
        "url": url_of(hit.get("dl")),
        "referrer": url_of(hit.get("dr")),
        "properties": _properties(hit),
        "context": said_of(language=hit.get("ul")),
        "consent": _consent(hit.get("gcs", "")),
    }


def _consent(gcs: str) -> bool | None:
    """G1 and a digit each for advertising and for analytics, of which only the latter is about us; 0 is denied."""
    return {"0": False, "1": True}.get(gcs[3:4]) if gcs.startswith("G1") else None


def _properties(hit: Hit) -> dict[str, Any]:
    params: dict[str, Any] = {}
    described: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    for name, value in hit.items():
        kind, _, own = name.partition(".")
        if kind in ("ep", "epn") and own:
            params[own] = _number(value) if kind == "epn" else value
        elif kind in ("up", "upn") and own:
            described[own] = _number(value) if kind == "upn" else value
        elif _item_of(name):
            items.append(_item(value))
        elif name in PARAMETER_NAMES:
            params.setdefault(PARAMETER_NAMES[name], _number(value) if name in NUMBERS else value)
        elif name not in LEFT_OUT and kind != "sst" and not name.startswith("_"):
            params[name] = value
    properties = properties_of(params)
    if items:
        properties["products"] = [product_of(item) for item in items]
    if described:
        properties["user_properties"] = described
    return properties


def _item(sent: str) -> dict[str, Any]:
    """Parameters of the shop's own come in pairs, `k0` with the name and `v0` with the value."""
    parts = {part[:2]: part[2:].replace("~~", "~") for part in _item_parts(sent)}
    own = {parts[code]: parts.get(f"v{code[1]}") for code in parts if code[0] == "k" and code[1:].isdigit()}
    known = {ITEM_NAMES.get(code, code): value for code, value in parts.items() if code[0] not in "kv" or code == "va"}
    return {**own, **{name: _number(value) if name in ITEM_NUMBERS else value for name, value in known.items()}}


def _number(sent: str) -> int | float | str:
    number = number_of(sent)
    return sent if number is None else number


def _raw_of(hit: Hit) -> bytes:
    return urlencode(hit).encode()
