"""Who sends, and how far that can be trusted: follows from the key and the signature, never from the body."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from app.bearer import basic_user, bearer_token
from app.domain.event import Trust
from app.domain.storefront import ApiKey, KeyDirectory, KeyKind
from app.errors import Forbidden, Unauthenticated
from app.ingest.formats.base import WebhookShape
from app.ingest.signing import Signature, read_signature
from app.ingest.webhook_signing import WebhookSignature, read_webhook_signature


@dataclass(slots=True)  # not frozen: that takes a microsecond more to make, once a request
class Caller:
    """signature: of a signed request, still to be held against the body."""

    key: ApiKey
    trust: Trust
    signature: Signature | WebhookSignature | None = None

    async def check_body(self, raw: bytes, keys: KeyDirectory) -> None:
        """raw: the body as sent, before decompression. Raises 401 or 503 when it is not what was signed."""
        if self.signature is None:
            return
        # When it does not fit what is known, the key may have got another secret just now.
        for fresh in (False, True):
            if await _fits(self.signature, raw, keys, fresh=fresh):
                return
        raise Unauthenticated(self.signature.advice)


async def _fits(signature: Signature | WebhookSignature, raw: bytes, keys: KeyDirectory, *, fresh: bool) -> bool:
    if isinstance(signature, WebhookSignature):
        webhook = await keys.find_webhook(signature.webhook_id, fresh=fresh)
        return webhook is not None and signature.fits(raw, webhook.secret)
    signer = await keys.find_signer(signature.key_id, fresh=fresh)
    return signer is not None and signature.fits(raw, signer.digests)


class SentKey(NamedTuple):
    """A key as it was sent. is_address: it stood in the request's address, where servers and proxies write it down."""

    secret: str
    is_address: bool = False


def key_of_request(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> SentKey | None:
    """Where clients of most families have it; None when it is in none of these places."""
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    secret = (
        bearer_token(authorization) or basic_user(authorization) or headers.get(b"x-write-key", b"").decode("latin-1")
    )
    if secret:
        return SentKey(secret)
    in_address = query.get("key") or query.get("writeKey")
    return SentKey(in_address, is_address=True) if in_address else None


async def identify(
    keys: KeyDirectory, sent: SentKey | None, headers: Mapping[bytes, bytes], query: Mapping[str, str], now: datetime
) -> Caller:
    """Raises 401, 403 or 503. A signed request is only known for good once its body is checked."""
    signature = read_signature(headers)
    if signature is not None:
        return await _signer(keys, signature, query, now)
    if sent is None:
        raise Unauthenticated("Send a write or server key as `Authorization: Bearer KEY`, or a write key as ?key=.")
    key = await keys.find(sent.secret)
    if key is None:
        raise Unauthenticated("This key is not known; `footfall keys create` makes one (`--as TEXT` of your own).")
    return _bearer(key, sent, headers, query)


def known_caller(
    keys: KeyDirectory, sent: SentKey | None, headers: Mapping[bytes, bytes], query: Mapping[str, str]
) -> Caller | None:
    """As `identify`, for a key that is at hand; None takes `identify`."""
    if sent is None or read_signature(headers) is not None:
        return None
    key = keys.known(sent.secret)
    return None if key is None else _bearer(key, sent, headers, query)


def _bearer(key: ApiKey, sent: SentKey, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> Caller:
    if key.kind not in (KeyKind.WRITE, KeyKind.SERVER):
        raise Forbidden(f"This is a {key.kind} key; events are sent with a write or a server key.")
    if sent.is_address and key.kind is not KeyKind.WRITE:
        raise Forbidden("A server key is secret and must not stand in an address; send it as Authorization: Bearer.")
    origin = headers.get(b"origin")
    if origin is not None and key.origins is not None and origin.decode("latin-1") not in key.origins:
        raise Forbidden("This key may not be used from this origin; make one with `footfall keys create --origin`.")
    return Caller(key, _trust(key, query))


async def identify_webhook(
    keys: KeyDirectory, source: str, shape: WebhookShape, headers: Mapping[bytes, bytes], query: Mapping[str, str]
) -> Caller:
    """As `identify`, for a shop system. Only known for good once its body is checked. source: its wire format."""
    signature = read_webhook_signature(shape.signature_header, headers, query)
    webhook = await keys.find_webhook(signature.webhook_id)
    if webhook is None or webhook.source != source:
        raise Unauthenticated(
            f"There is no {source} webhook {signature.webhook_id}; `footfall webhooks list` shows those there are."
        )
    return Caller(webhook.key, Trust.SIGNED, signature)


async def _signer(keys: KeyDirectory, signature: Signature, query: Mapping[str, str], now: datetime) -> Caller:
    signature.check_time(now)
    signer = await keys.find_signer(signature.key_id)
    if signer is None:
        raise Unauthenticated(f"There is no key {signature.key_id} in use; `footfall keys list` shows those there are.")
    if signer.key.kind is not KeyKind.SERVER:
        raise Forbidden(f"Key {signature.key_id} is a {signer.key.kind} key; only server keys sign.")
    trust = _trust(signer.key, query)
    return Caller(signer.key, Trust.SIGNED if trust is Trust.SERVER else trust, signature)


def _trust(key: ApiKey, query: Mapping[str, str]) -> Trust:
    """From the key alone; a server key may only say less of itself, that it brings in history."""
    if query.get("source") == "import":
        if key.kind is not KeyKind.SERVER:
            raise Forbidden("Importing takes a server key.")
        return Trust.IMPORT
    return Trust.SERVER if key.kind is KeyKind.SERVER else Trust.BROWSER
