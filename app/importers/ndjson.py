"""Native events, one JSON object a line, plain or gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import msgspec

from app.importers.base import ImportFileError, Unreadable
from app.importers.event_ids import EventIds

LINE_MAX_BYTES = 1 << 20  # 1 MiB: far more than an event may have, little enough to hold in memory
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class NdjsonImporter:
    """Passes lines on as they are; an event without an id gets one derived from its line.

    So running the import again stores nothing twice.
    """

    name = "ndjson"
    description = "Native events, one JSON object a line, plain or .gz"

    def count(self, files: Sequence[Path]) -> None:
        del files  # only reading them through would tell

    def read(self, files: Sequence[Path]) -> Iterator[bytes | Unreadable]:
        for path in files:
            _open(path).close()  # a file that cannot be read is reported before anything is sent
        for path in files:
            yield from _read_file(path)


NDJSON = NdjsonImporter()


def _open(path: Path) -> IO[bytes]:
    """Plain or unzipped, by content: names of files are not always right."""
    try:
        file = path.open("rb")
        is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.close()
        return cast(IO[bytes], gzip.open(path)) if is_gzip else path.open("rb")
    except OSError as error:
        raise ImportFileError(path, f"cannot be opened ({error.strerror or error}).") from error


def _read_file(path: Path) -> Iterator[bytes | Unreadable]:
    event_ids = EventIds()
    for number, line in enumerate(_lines(path), start=1):
        content = line.removeprefix(BYTE_ORDER_MARK).strip()
        if not content:
            continue
        try:
            yield _event(content, event_ids)
        except ValueError as error:
            yield Unreadable(path, number, str(error))


def _lines(path: Path) -> Iterator[bytes]:
    """The lines; of one that is too long only the beginning, just over the limit."""
    with _open(path) as file:
        try:
            while line := file.readline(LINE_MAX_BYTES + 1):
                rest = line
                while len(rest) > LINE_MAX_BYTES and not rest.endswith(b"\n"):
                    rest = file.readline(LINE_MAX_BYTES + 1)
                yield line
        except (EOFError, zlib.error, OSError) as error:
            raise ImportFileError(path, f"ends early or is damaged ({error}); copy it again.") from error


def _event(content: bytes, event_ids: EventIds) -> bytes:
    """The line, checked to be a JSON object: one that is not would spoil the request for its neighbours."""
    if len(content) > LINE_MAX_BYTES:
        raise ValueError(f"longer than {LINE_MAX_BYTES:,} bytes; write one event a line")
    try:
        event = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:  # ValueError: also text that is not UTF-8
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(event, dict):
        raise ValueError("not a JSON object; write one event a line")  # noqa: TRY004  # wrong content, not a bug
    if event.get("event_id"):
        return content
    return msgspec.json.encode({**event, "event_id": event_ids.assign(content)})
