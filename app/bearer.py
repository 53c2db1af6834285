"""Reads the key out of an Authorization header."""


def bearer_token(authorization: str | None) -> str | None:
    """The token of `Bearer TOKEN` (the scheme in any case); None without a header or with another scheme."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
