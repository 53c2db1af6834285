"""Signatures of server keys: HMAC-SHA256 over the time and the body as sent, instead of sending the secret.

The HMAC's key is the SHA-256 of the secret, because no more than that is stored here.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from app.errors import Unauthenticated

KEY_ID, TIMESTAMP, SIGNATURE = b"footfall-key-id", b"footfall-timestamp", b"footfall-signature"
# How far the sender's clock may be off, and so for how long a request that was overheard can be sent again.
TOLERANCE_SECONDS = 300

_KEY_ID = re.compile(rb"[0-9]{1,10}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_SIGNATURE = re.compile(rb"v1=([0-9a-fA-F]{64})")


@dataclass(slots=True, frozen=True)
class Signature:
    """What the three headers say. timestamp: Unix seconds as text, for that is what was signed."""

    key_id: int
    timestamp: bytes
    mac: bytes
    advice: ClassVar[str] = (
        "The signature does not fit. It is HMAC-SHA256 over timestamp, `.` and the body's bytes as sent;"
        " its key is the SHA-256 of the secret, as 32 bytes."
    )

    def check_time(self, now: datetime) -> None:
        """Raises Unauthenticated when it is too old, or from the future."""
        off_seconds = int(self.timestamp) - now.timestamp()
        if abs(off_seconds) > TOLERANCE_SECONDS:
            raise Unauthenticated(
                f"Footfall-Timestamp is {off_seconds:+.0f} s off our clock; {TOLERANCE_SECONDS} s are allowed."
            )

    def fits(self, body: bytes, digests: Iterable[bytes]) -> bool:
        """body: as sent, still compressed. digests: of the key's secrets."""
        signed = self.timestamp + b"." + body
        return any(hmac.compare_digest(hmac.digest(digest, signed, "sha256"), self.mac) for digest in digests)


def read_signature(headers: Mapping[bytes, bytes]) -> Signature | None:
    """None for a request that is not signed. Raises Unauthenticated for one that is signed by halves."""
    if headers.keys().isdisjoint((KEY_ID, TIMESTAMP, SIGNATURE)):
        return None
    key_id = _KEY_ID.fullmatch(headers.get(KEY_ID, b""))
    timestamp = _TIMESTAMP.fullmatch(headers.get(TIMESTAMP, b""))
    mac = _SIGNATURE.fullmatch(headers.get(SIGNATURE, b""))
    if not (key_id and timestamp and mac):
        raise Unauthenticated(
            "A signed request has the headers `Footfall-Key-Id: NUMBER`, `Footfall-Timestamp: UNIX SECONDS` and"
            " `Footfall-Signature: v1=64 HEX DIGITS`."
        )
    return Signature(int(key_id[0]), timestamp[0], bytes.fromhex(mac[1].decode()))
