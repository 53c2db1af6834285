"""Reads a request's body within limits: bytes as sent, bytes after decompression, and time."""

import asyncio
import zlib

from starlette.types import Receive

from app.errors import TooLarge, Unavailable, Unreadable, UnsupportedType

GZIP_MAGIC = b"\x1f\x8b"
GZIP_MEMBERS_MAX = 1_000


class ClientGone(Exception):
    """The sender hung up before its request was complete."""


async def read_body(receive: Receive, *, encoding: str, max_bytes: int, timeout_seconds: float) -> bytes:
    """The body, decompressed. Raises 400, 413, 415 or 503 as FootfallError, or ClientGone."""
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedType(f"Content-Encoding {encoding[:50]!r} is not understood; send gzip or no compression.")
    try:
        async with asyncio.timeout(timeout_seconds):
            body = await _receive_all(receive, max_bytes)
    except TimeoutError as error:
        detail = f"The body did not arrive within {timeout_seconds:g} seconds; send again."
        raise Unavailable(detail, retry_after_seconds=1) from error
    # Some senders compress without saying so, and some proxies decompress without saying so: the bytes decide.
    return _gunzip(body, max_bytes) if body[:2] == GZIP_MAGIC else body


async def _receive_all(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body"):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    """All members of the file (gzip allows several, one after the other). Never makes much more than max_bytes."""
    chunks: list[bytes] = []
    size, rest = 0, body
    while rest:
        decompressor = zlib.decompressobj(wbits=31)
        try:
            chunk = decompressor.decompress(rest, max_bytes + 1 - size)
        except zlib.error as error:
            raise Unreadable("The body is no valid gzip; compress it again, or send it plain.") from error
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes or len(chunks) > GZIP_MEMBERS_MAX:
            raise _too_large(max_bytes)
        if not decompressor.eof:
            raise Unreadable("The gzip body is cut off; send it whole.")
        rest = decompressor.unused_data
    return b"".join(chunks)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {max_bytes} bytes (after decompression); split it into several requests.")
