"""CSV files of tills, call centres and CRM systems, by a mapping file: shop visits, calls, orders made on paper."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from app.importers.base import ID_MAX, NAME_MAX, URL_MAX, Unreadable
from app.importers.csv_mapping import ISO, UNIX, UNIX_MS, Mapping, Numbers, Time, Value
from app.importers.csv_rows import Row, check_columns, read_rows
from app.importers.event_ids import EventIds

OFFLINE = {"context": {"channel": "offline"}}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER_MAX = 18  # characters; what is longer may not fit 64 bits
FIELDS_MAX = {"url": URL_MAX, "referrer": URL_MAX}  # characters; all others are ids

_encode = msgspec.json.Encoder().encode


class CsvImporter:
    """A row is an event. One without an id gets an id that follows from its cells, so it can be imported again."""

    name = "csv"
    description = "CSV files, with --mapping"

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._zone = ZoneInfo(mapping.time.zone)
        self._fields = list(mapping.given_fields())
        self._properties = list(mapping.given_properties())
        self._read_number = number_reader(mapping.numbers)

    def count(self, files: Sequence[Path]) -> None:
        del files  # only reading them through would tell

    def read(self, files: Sequence[Path]) -> Iterator[bytes | Unreadable]:
        for path in files:
            check_columns(path, self._mapping.file, self._mapping.columns())
        for path in files:
            yield from self._read_file(path)

    def _read_file(self, path: Path) -> Iterator[bytes | Unreadable]:
        event_ids = EventIds()
        for row in read_rows(path, self._mapping.file):
            if isinstance(row, Unreadable):
                yield row
                continue
            try:
                event = self._event(row, event_ids.assign(_encode(row.values)))
            except ValueError as error:
                yield Unreadable(path, row.line, str(error))
                continue
            if event is not None:
                yield _encode(event)

    def _event(self, row: Row, row_id: str) -> dict[str, Any] | None:
        """None for a row that the mapping leaves out. Raises ValueError for one that is no event."""
        name = self._name(row)
        if not name:
            return None
        fields = {"event_id": row_id, **self._given_fields(row)}
        if not fields.keys() & {"visitor_id", "customer_id"}:
            if not self._mapping.event.anonymous:
                raise ValueError("names no visitor and no customer; `anonymous = true` in [event] takes such rows, too")
            fields["visitor_id"] = f"offline:{row_id}"
        time = _time(row, self._mapping.time, self._zone).isoformat()
        context = OFFLINE if self._mapping.event.offline else {}
        return {
            "event": name,
            **fields,
            "client_time": time,
            "properties": self._given_properties(row, name),
            **context,
        }

    def _name(self, row: Row) -> str:
        mapped = self._mapping.event
        if mapped.column is None:
            return mapped.name or ""
        cell = row.cells[mapped.column]
        name = mapped.names.get(cell) if mapped.names else cell
        if name is None:
            raise ValueError(f'{_quoted(cell)} in {mapped.column!r} is not in [event.names]; there, "" leaves it out')
        if len(name) > NAME_MAX:
            raise ValueError(f"{_quoted(name)} is longer than the {NAME_MAX} characters of an event's name")
        return name

    def _given_fields(self, row: Row) -> dict[str, str]:
        fields: dict[str, str] = {}
        for name, value in self._fields:
            text = str(self._cell(row, value) or "")
            if len(text) > (longest := FIELDS_MAX.get(name, ID_MAX)):
                raise ValueError(f"`{name}` is longer than {longest} characters")
            if text:
                fields[name] = text
        return fields

    def _given_properties(self, row: Row, event: str) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for name, value in self._properties:
            if (cell := self._cell(row, value)) is not None:
                properties[name] = cell
        if event == "order_refunded" and isinstance(amount := properties.get("value"), int | float):
            properties["value"] = abs(amount)  # tills write what they pay back with a minus
        return properties

    def _cell(self, row: Row, value: Value) -> str | int | float | bool | None:
        """None for an empty cell."""
        if value.constant is not None:
            return value.constant
        text = _joined(row, value.names)
        if not text:
            return None
        return text if value.type == "text" else self._read_number(text)


def number_reader(numbers: Numbers) -> Callable[[str], int | float]:
    """From text to number, both signs as they are set; signs of currencies and spaces around may stand beside it."""
    decimal, thousands = re.escape(numbers.decimal), re.escape(numbers.thousands)
    whole = rf"\d{{1,3}}(?:{thousands}\d{{3}})+|\d+" if thousands else r"\d+"
    pattern = re.compile(rf"([-+−]?)({whole})(?:{decimal}(\d+))?", re.ASCII)

    def read(text: str) -> int | float:
        bare = "".join(" " if sign.isspace() else sign for sign in text if unicodedata.category(sign) != "Sc").strip()
        found = pattern.fullmatch(bare)
        if found is None or len(found[0]) > NUMBER_MAX:
            raise ValueError(f"{_quoted(text)} is no number as [numbers] says")
        sign, digits, fraction = found[1], re.sub(r"\D", "", found[2]), found[3]
        number = Decimal(f"{digits}.{fraction or 0}") * (1 if sign in ("", "+") else -1)
        return float(number) if fraction else int(number)

    return read


def _time(row: Row, options: Time, zone: ZoneInfo) -> datetime:
    """Of an hour that comes twice, the first; an hour that is left out counts on from the one before."""
    text = _joined(row, options.names)
    try:
        if options.format in (UNIX, UNIX_MS):
            return EPOCH + timedelta(**{"seconds" if options.format == UNIX else "milliseconds": float(text)})
        pattern = options.format
        time = datetime.fromisoformat(text) if pattern == ISO else datetime.strptime(text, pattern)  # noqa: DTZ007
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{_quoted(text)} is no time of the format {options.format!r}") from error


def _joined(row: Row, names: list[str]) -> str:
    return " ".join(filter(None, (row.cells[name] for name in names)))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 50 else f"{text[:50]}…")
