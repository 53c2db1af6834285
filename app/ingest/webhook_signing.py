"""Signatures of shop systems: HMAC-SHA256 over the body as sent, with the secret of one of their webhooks."""

import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from app.errors import Unauthenticated

_WEBHOOK_ID = re.compile("[0-9]{1,9}")


@dataclass(slots=True, frozen=True)
class WebhookSignature:
    """What the address and the header say."""

    webhook_id: int
    mac: bytes
    advice: ClassVar[str] = (
        "The signature does not fit. Is the secret that `footfall webhooks create` was given the one that the shop"
        " system signs with?"
    )

    def fits(self, body: bytes, secret: bytes) -> bool:
        """body: as sent, still compressed. Takes the same time whatever is wrong."""
        return hmac.compare_digest(hmac.digest(secret, body, "sha256"), self.mac)


def read_webhook_signature(header: bytes, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> WebhookSignature:
    """Raises Unauthenticated when there is none."""
    webhook_id = _WEBHOOK_ID.fullmatch(query.get("id", ""))
    if webhook_id is None:
        raise Unauthenticated("The address ends in ?id=NUMBER, the webhook's number in `footfall webhooks list`.")
    try:
        mac = binascii.a2b_base64(headers.get(header, b""), strict_mode=True)
    except binascii.Error:
        mac = b""
    if not mac:
        raise Unauthenticated(f"The header {header.decode()} holds the Base64 of the body's HMAC-SHA256.")
    return WebhookSignature(int(webhook_id[0]), mac)
