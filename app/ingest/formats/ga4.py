"""GA4's Measurement Protocol, `POST /mp/collect`, and its twin `/debug/mp/collect`, which only says what is wrong."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from app.domain.outcome import Rejection, RejectReason
from app.errors import Unreadable
from app.ga4_words import EVENT_NAMES, INTERNAL_PARAMETERS, PARAMETER_NAMES, PRODUCT_NAMES
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.content_ids import content_ids
from app.ingest.formats.foreign import (
    Object,
    check_count,
    check_shared,
    decode_all,
    is_made_here,
    json_of,
    number_of,
    object_of,
    said_of,
    text_of,
    unix_time_of,
    url_of,
)
from app.ingest.formats.native_checks import Refused
from app.ingest.formats.native_event import NAME_MAX

# Of an event, beside its parameters: our own field, see docs/clients/ga4.md.
ID_FIELD = "event_id"
# Numbers that shops also send as text.
AMOUNTS = ("value", "tax", "shipping", "discount", "price", "quantity", "engaged_ms")
# Of the envelope; they describe who sends all its events.
DESCRIPTIONS = ("device", "user_location")

_encode = msgspec.json.Encoder().encode


class _Hit(NamedTuple):
    """event: as sent. envelope: what all events of the request share."""

    envelope: Object
    event: Any
    event_id: str | None


class Ga4Format(WireFormat):
    name = "ga4"
    paths: tuple[str, ...] = ("/mp/collect",)
    has_secret_in_address = True

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        """`api_secret` when it is a key of ours; Google's, left where it was, says nothing beside a measurement id."""
        del body
        secret = query.get("api_secret")
        public = query.get("measurement_id") or query.get("firebase_app_id")
        return secret if secret and (is_made_here(secret) or not public) else public

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = json_of(body)
        if not isinstance(sent, dict) or not isinstance(sent.get("events"), list):
            raise Unreadable("Send an object with `client_id` and `events`, an array.")
        check_count(len(sent["events"]), context)
        envelope = {name: value for name, value in sent.items() if name != "events"}
        check_shared(envelope, len(sent["events"]))
        ids = content_ids("ga4", (_identity(envelope, event) for event in sent["events"]))
        hits = [_hit(envelope, event, made_up) for event, made_up in zip(sent["events"], ids, strict=True)]
        return decode_all(hits, _translate, _raw_of, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        del result, query
        return Reply(204, b"")


class Ga4ValidationFormat(Ga4Format):
    name = "ga4_validation"
    paths = ("/debug/mp/collect",)

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        """Nothing is received, so that nothing is stored or counted; what is wrong goes to the reply."""
        # The pipeline imports the formats; only here does one of them ask what would become of its events.
        from app.ingest.pipeline import run_pipeline  # noqa: PLC0415
        from app.ingest.steps import STEPS  # noqa: PLC0415

        try:
            decoded = super().decode(body, context)
        except Unreadable as fault:
            messages = [{"fieldPath": "", "description": fault.detail, "validationCode": "VALUE_INVALID"}]
        else:
            run_pipeline(decoded, context.received_at, STEPS, retention_days=context.retention_days)
            messages = [_message(rejection) for rejection in decoded.rejections]
        return Decoded([], (), list, for_reply=messages)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        del query
        return Reply(200, {"validationMessages": list(result.for_reply)})


GA4 = Ga4Format()
GA4_VALIDATION = Ga4ValidationFormat()


# -- one event -------------------------------------------------------------------------------------------------------


def _hit(envelope: Object, event: object, made_up: str | None) -> _Hit:
    return _Hit(envelope, event, text_of(object_of(event).get(ID_FIELD)) or made_up)


def _identity(envelope: Object, event: object) -> object:
    """The protocol has no id. Without a time of its own an event is like the next one, unless it is an order's."""
    sent = object_of(event)
    time = _timestamp(envelope, sent)
    is_order = sent.get("name") == "purchase" and object_of(sent.get("params")).get("transaction_id")
    if time is None and not is_order:
        return None
    return (_visitor_id(envelope), text_of(envelope.get("user_id")), time, sent.get("name"), sent.get("params"))


def _translate(hit: _Hit) -> dict[str, Any]:
    """Raises Refused."""
    envelope, event = hit.envelope, hit.event
    if not isinstance(event, dict):
        raise Refused(RejectReason.NOT_AN_OBJECT, "", "An event is an object with `name` and `params`.")
    params = event.get("params")
    if params is not None and not isinstance(params, dict):
        raise Refused(RejectReason.WRONG_TYPE, "/params", "`params` must be an object.")
    visitor_id, customer_id = _visitor_id(envelope), text_of(envelope.get("user_id"))
    if visitor_id is None and customer_id is None:
        raise Refused(RejectReason.NO_PERSON, "/client_id", "Give a client_id or a user_id.")
    own = dict(params or {})
    return {
        "event": event_name_of(event.get("name"), "/name"),
        "event_id": hit.event_id,
        "visitor_id": visitor_id,
        "customer_id": customer_id,
        "client_time": unix_time_of(_timestamp(envelope, event), 1_000_000, "/timestamp_micros"),
        "url": url_of(own.pop("page_location", None)),
        "referrer": url_of(own.pop("page_referrer", None)),
        "properties": _described(envelope) | properties_of(own),
        "context": said_of(
            user_agent=envelope.get("user_agent"),
            language=object_of(envelope.get("device")).get("language"),
            country=object_of(envelope.get("user_location")).get("country_id"),
        ),
    }


def _visitor_id(envelope: Object) -> str | None:
    return text_of(envelope.get("client_id")) or text_of(envelope.get("app_instance_id"))


def _timestamp(envelope: Object, event: Object) -> object:
    """In microseconds; an event's own goes before that of the request."""
    return event.get("timestamp_micros") or envelope.get("timestamp_micros")


def _described(envelope: Object) -> dict[str, Any]:
    """What the envelope says of the person, as properties of each event."""
    described: dict[str, Any] = {name: envelope[name] for name in DESCRIPTIONS if envelope.get(name)}
    if user_properties := object_of(envelope.get("user_properties")):
        described["user_properties"] = {
            name: sent["value"] if isinstance(sent, dict) and "value" in sent else sent
            for name, sent in user_properties.items()
        }
    return described


def _raw_of(hit: _Hit) -> bytes:
    event = hit.event
    if isinstance(event, dict) and hit.event_id is not None:
        event = {**event, ID_FIELD: hit.event_id}
    return _encode({**hit.envelope, "events": [event]})


# -- words, shared with what browsers send ---------------------------------------------------------------------------


def event_name_of(sent: object, pointer: str) -> str:
    """Raises Refused."""
    name = text_of(sent)
    if name is None:
        raise Refused(RejectReason.MISSING_FIELD, pointer, "Give the event a name.")
    return EVENT_NAMES.get(name, name[:NAME_MAX])


def properties_of(params: Object) -> dict[str, Any]:
    """Parameters in our words; those that we have no word for keep their names."""
    properties = _renamed(params, PARAMETER_NAMES)
    for name in INTERNAL_PARAMETERS:
        properties.pop(name, None)
    if "order_id" in properties:
        properties["order_id"] = text_of(properties["order_id"])
    if isinstance(items := properties.get("items"), list):
        properties["products"] = [product_of(item) if isinstance(item, dict) else item for item in items]
        del properties["items"]
    return properties


def product_of(item: Object) -> dict[str, Any]:
    return _renamed(item, PRODUCT_NAMES)


def _renamed(sent: Object, names: Mapping[str, str]) -> dict[str, Any]:
    ours = {names.get(name, name): value for name, value in sent.items() if value is not None}
    for name in AMOUNTS:
        if isinstance(ours.get(name), str) and (number := number_of(ours[name])) is not None:
            ours[name] = number
    return ours


# -- validation ------------------------------------------------------------------------------------------------------

# Our reasons in Google's codes; VALUE_INVALID for all others.
VALIDATION_CODES = {
    RejectReason.MISSING_FIELD: "VALUE_REQUIRED",
    RejectReason.NO_PERSON: "VALUE_REQUIRED",
    RejectReason.EMPTY: "VALUE_REQUIRED",
    RejectReason.TOO_LONG: "VALUE_OUT_OF_BOUNDS",
    RejectReason.OUT_OF_RANGE: "VALUE_OUT_OF_BOUNDS",
    RejectReason.PROPERTIES_TOO_LARGE: "VALUE_OUT_OF_BOUNDS",
    RejectReason.TOO_MANY_PROPERTIES: "EXCEEDED_MAX_ENTITIES",
}
# Fields of our events, as the protocol calls them.
FIELD_PATHS = {
    "/client_id": "client_id",
    "/visitor_id": "client_id",
    "/customer_id": "user_id",
    "/client_time": "timestamp_micros",
    "/url": "events.params.page_location",
    "/referrer": "events.params.page_referrer",
    "/properties": "events.params",
}


def _message(rejection: Rejection) -> dict[str, str]:
    return {
        "fieldPath": FIELD_PATHS.get(rejection.pointer) or f"events{rejection.pointer}".replace("/", "."),
        "description": f"Event at index: [{rejection.index}]. {rejection.detail}",
        "validationCode": VALIDATION_CODES.get(rejection.reason, "VALUE_INVALID"),
        "reason": rejection.reason,
    }
