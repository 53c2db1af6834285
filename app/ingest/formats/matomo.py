"""Matomo's Tracking HTTP API, `/matomo.php`: hits by GET, as a form, in the query of an empty POST, or many as JSON."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from app.domain.outcome import RejectReason
from app.errors import Unreadable
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.content_ids import content_ids
from app.ingest.formats.foreign import (
    Object,
    check_count,
    decode_all,
    is_made_here,
    json_of,
    object_of,
    text_of,
)
from app.ingest.formats.matomo_words import translate
from app.ingest.formats.native_checks import Refused

ID_FIELD = "_event_id"  # of a hit in quarantine
PARAMETERS_MAX = 500  # of a hit; Matomo's clients send some forty, and a shop's own dimensions
# Anybody may have us look for a key: among so many hits of a bulk request, which all have it.
HITS_WITH_KEY = 10
# Not about the hit, and other on the next try.
VOLATILE = frozenset({"token_auth", "send_image", "queuedtracking", ID_FIELD})
PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")  # one, transparent

_encode = msgspec.json.Encoder().encode


class _Sent(NamedTuple):
    """hits: as sent, see `_hit_of`. token: of the request as a whole."""

    hits: list[Any]
    token: object


class MatomoFormat(WireFormat):
    name = "matomo"
    paths = ("/matomo.php", "/piwik.php")
    methods = ("POST", "GET")

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        """A server key as `token_auth` of a body or its hits, else `idsite`. A token of Matomo's own says nothing."""
        try:
            sent = _taken_apart(body, {})
        except Unreadable:
            return text_of(query.get("idsite"))
        some = sent.hits[:HITS_WITH_KEY]
        token = text_of(sent.token) or _said_in(some, "token_auth")
        if token and is_made_here(token):
            return token
        return text_of(query.get("idsite")) or _said_in(some, "idsite")

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        sent = _taken_apart(body, context.query).hits
        check_count(len(sent), context)
        hits = list(map(_hit_of, sent))
        _check_sites(hits)
        hits = [_named(hit, context) for hit in hits]
        ids = content_ids("matomo", map(_identity, hits))
        whole = [_with_id(hit, made_up) for hit, made_up in zip(hits, ids, strict=True)]
        return decode_all(whole, _translate, _raw_of, context)

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        """What hit it was is in the query, unless there were many."""
        if "idsite" in query:
            return Reply(204, b"") if query.get("send_image") == "0" else Reply(200, PIXEL, "image/gif")
        invalid = [rejection.index for rejection in result.rejections]
        tracked_count = len(result.outcomes) - len(invalid)
        answer = {"status": "success", "tracked": tracked_count, "invalid": len(invalid), "invalid_indices": invalid}
        return Reply(200, answer)


MATOMO = MatomoFormat()


# -- requests --------------------------------------------------------------------------------------------------------


def _taken_apart(body: bytes, query: Mapping[str, str]) -> _Sent:
    """Raises Unreadable."""
    body = body.strip()
    if body[:1] != b"{":
        shared = {name: value for name, value in query.items() if value}
        hit = {**shared, **_parameters(body.decode(errors="replace"))}
        if not hit:
            raise Unreadable("Send parameters in the query or as a form, or JSON with `requests`, an array.")
        return _Sent([hit], hit.get("token_auth"))
    envelope = object_of(json_of(body))
    if not isinstance(envelope.get("requests"), list):
        raise Unreadable("Send JSON with `requests`, an array of query strings.")
    return _Sent(envelope["requests"], envelope.get("token_auth"))


def _parameters(text: str) -> dict[str, str]:
    """Raises Unreadable."""
    try:
        return dict(parse_qsl(text, max_num_fields=PARAMETERS_MAX))
    except ValueError as error:
        raise Unreadable(f"A hit has more than {PARAMETERS_MAX} parameters; send fewer.") from error


def _hit_of(sent: object) -> object:
    """Of a bulk request: mostly `?idsite=1&rec=1&…`. As it is when it is none."""
    if not isinstance(sent, str):
        return sent
    try:
        return _parameters(sent.partition("?")[2] or sent)
    except Unreadable:
        return sent


def _said_in(hits: list[Any], name: str) -> str | None:
    """By the first of them that says it."""
    said = (text_of(object_of(_hit_of(hit)).get(name)) for hit in hits)
    return next(filter(None, said), None)


def _check_sites(hits: list[Any]) -> None:
    """The key says which storefront they belong to, and a request has one. Raises Unreadable."""
    sites = {text_of(object_of(hit).get("idsite")) for hit in hits} - {None}
    if len(sites) > 1:
        raise Unreadable("The requests are of several sites; send those of each `idsite` in a request of their own.")


# -- hits ------------------------------------------------------------------------------------------------------------


def _named(hit: Any, context: RequestContext) -> Any:
    """With a key of the day for a visitor whose browser keeps none."""
    if not isinstance(hit, dict) or any(text_of(hit.get(name)) for name in ("cid", "_id", "uid")):
        return hit
    day_key = context.cookieless_key()
    return hit if day_key is None else {**hit, "_id": day_key}


def _identity(hit: Any) -> Object | None:
    """A random number, a time, or an order's number tells a hit from another one of the same content."""
    if not isinstance(hit, dict) or not any(hit.get(name) for name in ("r", "rand", "cdt", "ec_id")):
        return None
    return {name: value for name, value in hit.items() if name not in VOLATILE}


def _with_id(hit: Any, made_up: str | None) -> Any:
    return {ID_FIELD: made_up, **hit} if isinstance(hit, dict) and made_up is not None else hit


def _translate(hit: Any) -> dict[str, Any]:
    """Raises Refused."""
    if not isinstance(hit, dict):
        raise Refused(RejectReason.NOT_AN_OBJECT, "", "A request is a query string, such as `?idsite=1&rec=1&url=…`.")
    return {"event_id": text_of(hit.get(ID_FIELD)), **translate(hit)}


def _raw_of(hit: Any) -> bytes:
    """As a bulk request, without what opens doors elsewhere."""
    kept = {name: value for name, value in hit.items() if name != "token_auth"} if isinstance(hit, dict) else hit
    return _encode({"requests": [kept]})
