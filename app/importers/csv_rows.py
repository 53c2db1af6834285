"""Reads a CSV file row by row, whatever its dialect, and knows at which line each row begins."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from app.importers.base import ImportFileError, Unreadable
from app.importers.csv_mapping import AUTO, File

if TYPE_CHECKING:
    from _csv import Reader  # the type of what csv.reader returns; it has no public name before Python 3.13

DELIMITERS = (",", ";", "\t", "|")
LINE_MAX = 1 << 20  # characters; a longer line comes in pieces, which then are no rows
BYTE_ORDER_MARK = "\ufeff"


class Row(NamedTuple):
    """line: at which it begins, from 1. cells: by name of the column."""

    line: int
    values: list[str]
    cells: dict[str, str]


def check_columns(path: Path, options: File, wanted: Iterable[str]) -> None:
    """Raises ImportFileError when the file can't be opened, or has not each of these columns once."""
    with _open(path, options) as file:
        header = _header(path, _reader(path, options, file))
    shown = ", ".join(map(repr, header[:50]))
    for name in sorted(wanted):
        if header.count(name) != 1:
            fault = "no" if name not in header else "more than one"
            raise ImportFileError(path, f"has {fault} column {name!r}; its first line says {shown}.")


def read_rows(path: Path, options: File) -> Iterator[Row | Unreadable]:
    """Raises ImportFileError when it can't be read on."""
    with _open(path, options) as file:
        reader = _reader(path, options, file)
        header = _header(path, reader)
        while True:
            line = reader.line_num + 1
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield Unreadable(path, line, f"{error}; is a quote missing, or one too many?")
                continue
            if values is None:
                return
            if fault := _fault(values, len(header), options):
                yield Unreadable(path, line, fault)
            elif values:
                yield Row(line, values, dict(zip(header, map(str.strip, values), strict=True)))


def _fault(values: list[str], width: int, options: File) -> str | None:
    """Why a row can't be used; a blank line has no values and no fault."""
    if values and len(values) != width:
        return f"has {len(values)} cells, and the first line {width}"
    text = "".join(values)
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"is not {options.encoding}; set `encoding` in [file], to latin-1 for instance"
    if "\0" in text:
        return "holds a NUL character; should `encoding` in [file] be utf-16?"
    return None


def _open(path: Path, options: File) -> IO[str]:
    """Bytes that are no text come through as halves of surrogate pairs, so that they cost their own row only."""
    try:
        return path.open(encoding=options.encoding, errors="surrogateescape", newline="")
    except OSError as error:
        raise ImportFileError(path, f"cannot be opened ({error.strerror or error}).") from error


def _reader(path: Path, options: File, file: IO[str]) -> Reader:
    """At the beginning of the file."""
    delimiter = options.delimiter
    if delimiter == AUTO:
        first_line = next(_lines(path, file), "")
        delimiter = max(DELIMITERS, key=lambda sign: len(next(csv.reader([first_line], delimiter=sign), [])))
        file.seek(0)
    return csv.reader(_lines(path, file), delimiter=delimiter, strict=True)


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    try:
        while line := file.readline(LINE_MAX):
            yield line.removeprefix(BYTE_ORDER_MARK)
    except (UnicodeError, OSError) as error:
        raise ImportFileError(path, f"can't be read on ({error}); is its `encoding` right?") from error


def _header(path: Path, reader: Reader) -> list[str]:
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise ImportFileError(path, f"has a first line that is no CSV ({error}).") from error
