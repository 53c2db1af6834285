"""The forms in which an answer leaves: JSON as it is, and as one table CSV, Parquet or an Arrow stream."""

import csv
import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.reports.base import ReportResult
from app.reports.tables import Cell, Table

# Spreadsheets take a cell that begins so for a formula, and run it. The wide and small variants count after NFKC.
FORMULA_STARTS = "=+-@\N{MINUS SIGN}"
ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Form:
    """extension: of the file it is saved as; None when it is no file."""

    media_type: str
    extension: str | None
    render: Callable[[ReportResult], bytes]


def _json(result: ReportResult) -> bytes:
    return result.model_dump_json(by_alias=True).encode()


def _csv(result: ReportResult) -> bytes:
    table, text = _whole_table(result), io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table.columns)
    writer.writerows([_csv_cell(row[name]) for name in table.columns] for row in table.rows)
    return text.getvalue().encode()


def _parquet(result: ReportResult) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_arrow_table(result), sink)
    return bytes(sink.getvalue())


def _arrow_stream(result: ReportResult) -> bytes:
    table, sink = _arrow_table(result), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


JSON = Form("application/json", None, _json)
CSV = Form("text/csv", "csv", _csv)
PARQUET = Form("application/vnd.apache.parquet", "parquet", _parquet)
ARROW_STREAM = Form("application/vnd.apache.arrow.stream", "arrows", _arrow_stream)

# The first is for those who accept anything.
FORMS = (JSON, CSV, PARQUET, ARROW_STREAM)


def _whole_table(result: ReportResult) -> Table:
    """A file is read far from the reply it came in, so its rows say themselves what they rest on."""
    table = result.table()
    return Table({**table.columns, "as_of": datetime}, [{**row, "as_of": result.as_of} for row in table.rows])


def _arrow_table(result: ReportResult) -> Any:
    table = _whole_table(result)
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in table.columns.items()])
    return pa.Table.from_pylist(table.rows, schema)


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(cell, str) and _may_be_formula(cell):
        return "'" + cell
    return cell


def _may_be_formula(text: str) -> bool:
    """Whether the first character that shows begins a formula. A tab or line end in front can move it into a cell of
    its own, so a text that begins with one counts too."""
    first = next((character for character in text if not _is_invisible(character)), "")
    return text.startswith(("\t", "\r", "\n")) or unicodedata.normalize("NFKC", first).startswith(tuple(FORMULA_STARTS))


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
