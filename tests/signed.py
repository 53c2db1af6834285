"""Signed requests as a sender makes them, written from the README and without the service's own code."""

import hashlib
import hmac


def signature_headers(
    key_id: int, secret: str, body: bytes, timestamp: int | str, *, content_type: str = "application/json"
) -> dict[str, str]:
    signing_key = hashlib.sha256(secret.encode()).digest()
    mac = hmac.new(signing_key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Footfall-Key-Id": str(key_id),
        "Footfall-Timestamp": str(timestamp),
        "Footfall-Signature": f"v1={mac}",
        "Content-Type": content_type,
    }
