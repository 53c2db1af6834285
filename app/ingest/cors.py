"""CORS for senders in browsers: any page may ask, the key's list of origins decides."""

from collections.abc import Mapping

PREFLIGHT_MAX_AGE_SECONDS = 86_400
Header = tuple[bytes, bytes]


def cors_headers(origin: bytes | None) -> list[Header]:
    """For every reply to a browser, errors too: without them a page can't even read why it was refused."""
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin),
        # We set no cookies, but sendBeacon always asks with credentials, and is refused where they are not allowed.
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"Retry-After"),
        (b"vary", b"Origin"),
    ]


def preflight_headers(headers: Mapping[bytes, bytes]) -> list[Header]:
    return [
        *cors_headers(headers.get(b"origin")),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"content-type")),
        (b"access-control-max-age", str(PREFLIGHT_MAX_AGE_SECONDS).encode()),
    ]
