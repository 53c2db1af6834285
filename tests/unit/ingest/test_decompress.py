"""Compressed bodies: understood in three forms, and stopped before they grow into memory."""

import gzip
import os
import sys
import tracemalloc
import zlib

import brotli
import pytest

from app.errors import TooLarge, Unreadable, UnsupportedType
from app.ingest.decompress import GROWTH_FREE_BYTES, check_encoding, decompressed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BYTES = 4 * 1024 * 1024
TEXT = b'{"event":"page_viewed","visitor_id":"ana"}'

PACK = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}


def unpacked(body: bytes, encoding: str, max_bytes: int = MAX_BYTES) -> bytes:
    return decompressed(body, {b"content-encoding": encoding.encode()}, max_bytes)


@pytest.mark.parametrize("encoding", PACK)
def test_each_encoding_is_understood(encoding: str) -> None:
    assert unpacked(PACK[encoding](TEXT), encoding) == TEXT
    assert unpacked(PACK[encoding](TEXT), f" {encoding.upper()} ") == TEXT


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "zstd"])
def test_a_plain_body_is_taken_as_it_is_whatever_it_says(encoding: str) -> None:
    assert unpacked(TEXT, encoding) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_body_is_recognised_though_it_does_not_say_so(encoding: str) -> None:
    assert unpacked(PACK[encoding](TEXT), "") == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_parts_are_one_body(encoding: str) -> None:
    assert unpacked(PACK[encoding](TEXT) + PACK[encoding](TEXT), encoding) == TEXT + TEXT


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_cut_off_is_unreadable(encoding: str) -> None:
    with pytest.raises(Unreadable):
        unpacked(PACK[encoding](TEXT * 10)[:-3], encoding)


@pytest.mark.parametrize(("encoding", "magic"), [("gzip", b"\x1f\x8b"), ("br", b""), ("zstd", b"\x28\xb5\x2f\xfd")])
def test_a_damaged_body_is_unreadable(encoding: str, magic: bytes) -> None:
    with pytest.raises(Unreadable):
        unpacked(magic + b"\xff" * 100, encoding)


@pytest.mark.parametrize("encoding", ["deflate", "gzip, br", "x" * 200])
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedType):
        check_encoding({b"content-encoding": encoding.encode()})


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_of_just_the_limit_is_taken_and_one_byte_more_is_not(encoding: str) -> None:
    body = os.urandom(100_000)

    assert unpacked(PACK[encoding](body), encoding, max_bytes=100_000) == body
    with pytest.raises(TooLarge, match="99999 bytes"):
        unpacked(PACK[encoding](body), encoding, max_bytes=99_999)


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_that_grows_out_of_proportion_is_refused_below_the_limit(encoding: str) -> None:
    assert unpacked(PACK[encoding](b"a" * GROWTH_FREE_BYTES), encoding) == b"a" * GROWTH_FREE_BYTES
    with pytest.raises(TooLarge, match="100 times"):
        unpacked(PACK[encoding](b"a" * 2_000_000), encoding)


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_takes_no_more_memory_than_the_limit(encoding: str) -> None:
    bomb = PACK[encoding](bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unpacked(bomb, encoding)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3 * MAX_BYTES


def test_a_zstd_frame_that_asks_for_a_huge_window_is_refused() -> None:
    options = {int(zstd.CompressionParameter.window_log): 27, int(zstd.CompressionParameter.content_size_flag): 0}
    compressor = zstd.ZstdCompressor(options=options)
    frame = compressor.compress(os.urandom(300_000)) + compressor.flush()

    with pytest.raises(Unreadable):
        unpacked(frame, "zstd")


def test_a_thousand_tiny_parts_are_enough() -> None:
    with pytest.raises(TooLarge):
        unpacked(gzip.compress(b"") * 2_000, "gzip")


def test_zlib_without_gzip_is_not_taken_for_gzip() -> None:
    assert unpacked(zlib.compress(TEXT), "") == zlib.compress(TEXT)
