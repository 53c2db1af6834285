"""Reads the key out of an Authorization header."""

import base64
import binascii


def bearer_token(authorization: str | None) -> str | None:
    """The token of `Bearer TOKEN` (the scheme in any case); None without a header or with another scheme."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def basic_user(authorization: str | None) -> str | None:
    """The user of `Basic BASE64`, where some clients have the key; None when there is none."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode("latin-1").partition(":")[0] or None
    except binascii.Error:
        return None
