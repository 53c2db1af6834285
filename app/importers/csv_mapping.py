"""The mapping file of a CSV import: which columns become which parts of an event. docs/import-csv.md explains it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from app.importers.base import NAME_MAX, PROPERTIES_MAX, ImportFileError

ISO, UNIX, UNIX_MS = "iso", "unix", "unix_ms"  # time formats that are no pattern
AUTO = "auto"


class File(Struct, forbid_unknown_fields=True, frozen=True):
    """delimiter: `auto` takes the one that finds most columns in the first line."""

    delimiter: str = AUTO
    encoding: str = "utf-8"


class Numbers(Struct, forbid_unknown_fields=True, frozen=True):
    """The signs of "1.234,56" are a decimal comma and a thousands point."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""


class Value(Struct, forbid_unknown_fields=True, frozen=True):
    """A cell; or several, joined by a space; or the same for all rows."""

    column: str | None = None
    columns: list[str] = []
    constant: str | int | float | bool | None = None
    type: Literal["text", "number"] = "text"

    @property
    def names(self) -> list[str]:
        return self.columns if self.column is None else [self.column]


class Time(Struct, forbid_unknown_fields=True, frozen=True):
    """format: a pattern of strptime, or one of those named above. zone: of times without an offset."""

    column: str | None = None
    columns: list[str] = []
    format: str = ISO
    zone: str = "UTC"

    @property
    def names(self) -> list[str]:
        return self.columns if self.column is None else [self.column]


class EventName(Struct, forbid_unknown_fields=True, frozen=True):
    """name: of every row's event. Or the cell in `column`, which `names` puts into our words; "" leaves the row out.

    anonymous: a row that names nobody is a visitor of its own. offline: it happened away from the page, which is the
    event's channel then.
    """

    name: str | None = None
    column: str | None = None
    names: dict[str, str] = {}
    anonymous: bool = False
    offline: bool = True


class Fields(Struct, forbid_unknown_fields=True, frozen=True):
    """Of the event; a text alone is the name of a column."""

    event_id: str | Value | None = None
    visitor_id: str | Value | None = None
    customer_id: str | Value | None = None
    account_id: str | Value | None = None
    url: str | Value | None = None
    referrer: str | Value | None = None


class Mapping(Struct, forbid_unknown_fields=True, frozen=True):
    """A mapping file as it is written."""

    event: EventName
    time: Time
    file: File = File()
    numbers: Numbers = Numbers()
    fields: Fields = Fields()
    properties: dict[str, str | Value] = {}

    def columns(self) -> set[str]:
        """Those that a file must have."""
        values = [value for _, value in (*self.given_fields(), *self.given_properties())]
        names = [name for value in values for name in value.names] + self.time.names
        return {*names, *([self.event.column] if self.event.column else [])}

    def given_fields(self) -> Iterator[tuple[str, Value]]:
        for name in self.fields.__struct_fields__:
            if (value := getattr(self.fields, name)) is not None:
                yield name, _value(value)

    def given_properties(self) -> Iterator[tuple[str, Value]]:
        for name, value in self.properties.items():
            yield name, _value(value)


def _value(written: str | Value) -> Value:
    return Value(column=written) if isinstance(written, str) else written


def read_mapping(path: Path) -> Mapping:
    """Raises ImportFileError that says what to change."""
    try:
        mapping = msgspec.toml.decode(path.read_bytes(), type=Mapping)
        _check(mapping)
    except OSError as error:
        raise ImportFileError(path, f"cannot be opened ({error.strerror or error}).") from error
    except ValueError as error:  # what msgspec raises for TOML and for what is in it, too
        raise ImportFileError(path, f"{error}.") from error
    return mapping


def _check(mapping: Mapping) -> None:
    """What types don't show. Raises ValueError."""
    if (mapping.event.name is None) == (mapping.event.column is None):
        raise ValueError("[event] has either a name or a column")
    _check_source("[time]", mapping.time.column, mapping.time.columns)
    for name, value in (*mapping.given_fields(), *mapping.given_properties()):
        _check_source(f"`{name}`", value.column, value.columns, value.constant)
    if mapping.numbers.decimal == mapping.numbers.thousands:
        raise ValueError("[numbers] has the same sign for decimals and for thousands")
    if len(mapping.properties) >= PROPERTIES_MAX or any(len(name) > NAME_MAX for name in mapping.properties):
        raise ValueError(f"[properties] has at most {PROPERTIES_MAX - 1} names of up to {NAME_MAX} characters")
    if mapping.file.delimiter != AUTO and len(mapping.file.delimiter) != 1:
        raise ValueError(f'[file] has a delimiter of one character, such as ";" or "\\t", or "{AUTO}"')
    try:
        codecs.lookup(mapping.file.encoding)
    except LookupError as error:
        raise ValueError(f"[file] has an encoding that is not known: {mapping.file.encoding!r}") from error
    try:
        ZoneInfo(mapping.time.zone)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"[time] has a zone that is not known: {mapping.time.zone!r}") from error


def _check_source(place: str, column: str | None, columns: list[str], constant: object = None) -> None:
    if [column is not None, bool(columns), constant is not None].count(True) != 1:
        said = "a column or columns" if place == "[time]" else "a column, columns or a constant"
        raise ValueError(f"{place} has {said}, and only one of them")
