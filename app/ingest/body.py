"""Reads a request's body within a limit of bytes. How long it may take is the connection's matter."""

from collections.abc import Callable, Mapping

from starlette.types import Receive

from app.errors import TooLarge
from app.ingest.decompress import check_encoding


class ClientGone(Exception):
    """The sender hung up, or was cut off, before its request was complete."""


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], *, max_bytes: int, take_bytes: Callable[[int], None]
) -> bytes:
    """The body as sent. Raises 413, 415 or 503 as FootfallError, or ClientGone.

    take_bytes: counts what bodies on their way hold in memory; raises when that is too much.
    """
    check_encoding(headers)
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    return await _receive_all(receive, max_bytes, take_bytes)


async def _receive_all(receive: Receive, max_bytes: int, take_bytes: Callable[[int], None]) -> bytes:
    chunk, is_last = await _receive(receive)
    if is_last:  # as nearly always
        if len(chunk) > max_bytes:
            raise _too_large(max_bytes)
        return chunk
    chunks: list[bytes] = []
    size = 0
    try:
        while True:
            chunks.append(chunk)
            size += len(chunk)
            take_bytes(len(chunk))
            if size > max_bytes:
                raise _too_large(max_bytes)
            if is_last:
                return b"".join(chunks)
            chunk, is_last = await _receive(receive)
    finally:
        take_bytes(-size)


async def _receive(receive: Receive) -> tuple[bytes, bool]:
    """The next piece, and whether it is the last."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), not message.get("more_body")


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {max_bytes} bytes; split it into several requests.")
