"""Decompresses a body, and stops where it grows beyond a limit: a few kB can hold gigabytes."""

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import brotli

from app.errors import TooLarge, Unreadable, UnsupportedType

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PARTS_MAX = 1_000  # members of a gzip, frames of a zstd body
# 8 MiB, what RFC 8878 asks decoders to support: a frame may ask for gigabytes of memory.
ZSTD_OPTIONS = {int(zstd.DecompressionParameter.window_log_max): 23}
ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "br", "zstd"})

_DAMAGES = (zlib.error, zstd.ZstdError, brotli.error)

# A body that grows more than this is made to cost us memory: events of one shop compress to a tenth or a thirtieth.
# Small ones are let be.
GROWTH_MAX = 100
GROWTH_FREE_BYTES = 64 * 1024


class _TooBig(Exception):
    """There is more than the limit allows."""


class _Decompressor(Protocol):
    """What zlib's and zstd's have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def encoding_of(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()


def check_encoding(headers: Mapping[bytes, bytes]) -> None:
    """Raises UnsupportedType (415)."""
    encoding = encoding_of(headers)
    if encoding not in ENCODINGS:
        raise UnsupportedType(
            f"Content-Encoding {encoding[:50]!r} is not understood; send gzip, br, zstd or no compression."
        )


def is_plain(body: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Neither compressed nor said to be."""
    return b"content-encoding" not in headers and body[:2] != GZIP_MAGIC and body[:4] != ZSTD_MAGIC


def decompressed(body: bytes, headers: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    """Raises 400 or 413 as FootfallError. Never makes much more than max_bytes."""
    growth_max_bytes = max(GROWTH_FREE_BYTES, GROWTH_MAX * len(body))
    try:
        return _decompress(body, encoding_of(headers), min(max_bytes, growth_max_bytes))
    except _DAMAGES as error:
        raise _damaged() from error
    except _TooBig as error:
        if growth_max_bytes < max_bytes:
            raise TooLarge(f"The body grows to more than {GROWTH_MAX} times its size; send it plain.") from error
        detail = f"The body is larger than {max_bytes} bytes (after decompression); split it into several requests."
        raise TooLarge(detail) from error


def decompressed_if_small(body: bytes, headers: Mapping[bytes, bytes], max_bytes: int) -> bytes | None:
    """None for a body of more than max_bytes, as sent or decompressed. Raises 400 as FootfallError."""
    if len(body) > max_bytes:
        return None
    try:
        return _decompress(body, encoding_of(headers), max_bytes)
    except _DAMAGES as error:
        raise _damaged() from error
    except _TooBig:
        return None


def _decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    # Some senders compress without saying so, and some proxies decompress without saying so: the bytes decide.
    if body[:2] == GZIP_MAGIC:
        return _parts(body, max_bytes, lambda: zlib.decompressobj(wbits=31))
    if body[:4] == ZSTD_MAGIC:
        return _parts(body, max_bytes, lambda: zstd.ZstdDecompressor(options=ZSTD_OPTIONS))
    return _brotli(body, max_bytes) if encoding == "br" else body


def _parts(body: bytes, max_bytes: int, new_decompressor: Callable[[], _Decompressor]) -> bytes:
    """All members of a gzip, all frames of a zstd body: both allow several, one after the other."""
    chunks: list[bytes] = []
    size, rest = 0, body
    while rest:
        decompressor = new_decompressor()
        chunks.append(decompressor.decompress(rest, max_bytes + 1 - size))
        size += len(chunks[-1])
        if size > max_bytes or len(chunks) > PARTS_MAX:
            raise _TooBig
        if not decompressor.eof:
            raise _cut_off()
        rest = decompressor.unused_data
    return b"".join(chunks)


def _brotli(body: bytes, max_bytes: int) -> bytes:
    decompressor = brotli.Decompressor()
    decompressed: bytes = decompressor.process(body, output_buffer_limit=max_bytes + 1)
    if len(decompressed) > max_bytes:
        raise _TooBig
    if not decompressor.is_finished():
        raise _cut_off()
    return decompressed


def _damaged() -> Unreadable:
    return Unreadable("The compressed body is damaged; compress it again, or send it plain.")


def _cut_off() -> Unreadable:
    return Unreadable("The compressed body is cut off; send it whole.")
