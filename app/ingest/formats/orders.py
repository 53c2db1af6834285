"""For formats of shop systems: orders as webhooks bring them, without what is nobody's business here.

Of a body only the fields that are named in a format's table are looked at or kept, in quarantine too: what the buyer is
called, where he lives and how he is reached is not among them.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from app.domain.outcome import Outcome, RejectReason
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.foreign import Object, decode_all, json_of, list_of, object_of, text_of
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.native_event import ID_MAX

# Names of a note on an order by which a shop passes on who its visitor is. Some systems hide those with a `_`.
VISITOR_NOTES = frozenset({"footfall_visitor", "_footfall_visitor"})
# Of the 32 KiB that properties may have. An order of more goods is kept with those that fit.
PRODUCTS_MAX_BYTES = 24 * 1024
TEXT_MAX = 200  # characters of what a product is called

# By name of a field: None for a plain value, or the fields of the object, or of the objects in the list, that it holds.
Fields = Mapping[str, "Fields | None"]
# Of the notes of an order only our own are looked at: shops ask in them for whatever they like.
NOTES: Fields = {"name": None, "key": None, "value": None}

_encode = msgspec.json.Encoder().encode


class Hit(NamedTuple):
    """One event to be, in the shop system's words. event: our name; or a topic that we don't know."""

    event: str
    order: Object
    refund: Object


class OrderFormat(WireFormat):
    """A shop system's webhooks. order_fields, refund_fields: what is looked at."""

    def __init__(self, order_fields: Fields, refund_fields: Fields) -> None:
        self._order_fields, self._refund_fields = order_fields, refund_fields

    @abstractmethod
    def hits(self, topic: str, body: Object) -> Sequence[Hit]:
        """What a webhook's body means."""

    @abstractmethod
    def translate(self, hit: Hit) -> dict[str, Any]:
        """As `foreign.decode_all` wants it."""

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = object_of(json_of(body))
        if context.topic:
            hits = self.hits(context.topic, sent)
        else:
            hits = [Hit(text_of(sent.get("event")) or "", object_of(sent.get("order")), object_of(sent.get("refund")))]
        return decode_all(list(map(self._kept, hits)), self.translate, _raw_of, context)

    def _kept(self, hit: Hit) -> Hit:
        return Hit(hit.event, only(hit.order, self._order_fields), only(hit.refund, self._refund_fields))

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        """Shop systems look at the status only; what is refused would be refused again."""
        del query
        return Reply(200, {"received": len(result.outcomes), "rejected": result.count(Outcome.REJECTED)})


def _raw_of(hit: Hit) -> bytes:
    return _encode(hit._asdict())


def only(value: object, fields: Fields) -> Any:
    """These fields of an object, or of each object in a list."""
    if isinstance(value, list):
        return [only(item, fields) for item in value if fields is not NOTES or _is_ours(object_of(item))]
    sent = object_of(value)
    return {name: _field(sent[name], inner) for name, inner in fields.items() if name in sent}


def _field(value: object, inner: Fields | None) -> Any:
    if inner is not None:
        return only(value, inner)
    return value if isinstance(value, str | int | float) else None


def _is_ours(note: Object) -> bool:
    return bool(VISITOR_NOTES & {text_of(note.get("name")), text_of(note.get("key"))})


def visitor_in_notes(notes: object) -> str | None:
    """What the shop passed on. Whatever is no id is passed over: it must not cost the order."""
    values = (text_of(note.get("value")) for note in map(object_of, list_of(notes)) if _is_ours(note))
    return next((value for value in values if value and len(value) <= ID_MAX and value.isprintable()), None)


def needed_id(value: object, pointer: str) -> str:
    """Raises Refused when there is none."""
    if (text := text_of(value)) is None:
        raise Refused(RejectReason.MISSING_FIELD, pointer, "The order can't be told from others without its id.")
    return text


def unknown_topic(hit: Hit, known: Iterable[str]) -> Refused:
    detail = f"No event is made of the topic {hit.event[:50]!r}. Have the shop send {', '.join(known)} only."
    return Refused(RejectReason.WRONG_TYPE, "/event", detail)


def name_of(value: object) -> str | None:
    """What something is called, without NUL characters, which can't be stored."""
    text = text_of(value)
    return text and (text.replace("\0", "")[:TEXT_MAX] or None)


def products_of(items: object, product_of: Callable[[Object], dict[str, Any]]) -> dict[str, Any]:
    """`products`, and how many were left out for lack of room."""
    products: list[dict[str, Any]] = []
    size_bytes = 0
    lines = list_of(items)
    for line in lines:
        product = given(product_of(object_of(line)))
        size_bytes += len(_encode(product)) + 1
        if size_bytes > PRODUCTS_MAX_BYTES:
            break
        products.append(product)
    left_out = len(lines) - len(products)
    return {"products": products or None, "products_left_out": left_out or None}


def given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
