"""Rows of tills and CRM systems become events as a mapping file says; a bad row costs no neighbour."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.importers import importer_of
from app.importers.base import ImportFailed, ImportFileError, Unreadable
from app.importers.csv import CsvImporter
from app.importers.csv_mapping import Mapping, read_mapping
from app.importers.preview import preview_files

DOCS = Path(__file__).parents[3] / "docs" / "import-csv.md"
VISITS = """
[event]
name = "shop_visited"
[time]
column = "when"
[fields]
customer_id = "customer"
"""
SALES = """
[file]
delimiter = ";"
[numbers]
decimal = ","
thousands = "."
[time]
columns = ["Datum", "Uhrzeit"]
format = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"
[event]
column = "Art"
names = { Kauf = "order_completed", Storno = "order_refunded", Angebot = "" }
[fields]
customer_id = "Kunde"
event_id = { columns = ["Art", "Beleg"] }
[properties]
order_id = "Beleg"
value = { column = "Betrag", type = "number" }
currency = { constant = "EUR" }
store = { constant = "Kiel" }
"""
HEADER = "Datum;Uhrzeit;Art;Beleg;Kunde;Betrag"


@pytest.fixture
def mapping_of(tmp_path: Path) -> Any:
    def read(text: str) -> Mapping:
        path = tmp_path / "mapping.toml"
        path.write_text(text, encoding="utf-8")
        return read_mapping(path)

    return read


class Reader:
    """Reads a text as a CSV file with a mapping."""

    def __init__(self, folder: Path, mapping: Mapping) -> None:
        self.file = folder / "file.csv"
        self.importer = CsvImporter(mapping)

    def items(self, content: str | bytes) -> list[dict[str, Any] | Unreadable]:
        self.file.write_bytes(content.encode() if isinstance(content, str) else content)
        read = self.importer.read([self.file])
        return [item if isinstance(item, Unreadable) else json.loads(item) for item in read]

    def events(self, content: str | bytes) -> list[dict[str, Any]]:
        items = self.items(content)
        assert not [item for item in items if isinstance(item, Unreadable)], items
        return [item for item in items if isinstance(item, dict)]

    def faults(self, content: str | bytes) -> list[tuple[int, str]]:
        return [(item.line, item.detail) for item in self.items(content) if isinstance(item, Unreadable)]


@pytest.fixture
def visits(tmp_path: Path, mapping_of: Any) -> Reader:
    return Reader(tmp_path, mapping_of(VISITS))


@pytest.fixture
def sales(tmp_path: Path, mapping_of: Any) -> Reader:
    return Reader(tmp_path, mapping_of(SALES))


# -- what a row becomes ----------------------------------------------------------------------------------------------


def test_a_row_becomes_an_event_with_all_that_the_mapping_names(sales: Reader) -> None:
    [event] = sales.events(f"{HEADER}\n02.03.2026;14:05;Kauf;R-7;70;1.234,50 €\n")

    assert event == {
        "event": "order_completed",
        "event_id": "Kauf R-7",
        "customer_id": "70",
        "client_time": "2026-03-02T13:05:00+00:00",
        "properties": {
            "order_id": "R-7",
            "value": 1234.5,
            "currency": "EUR",
            "store": "Kiel",
        },
        "context": {"channel": "offline"},
    }


def test_money_paid_back_is_positive_however_the_till_writes_it(sales: Reader) -> None:
    events = sales.events(f"{HEADER}\n02.03.2026;14:05;Storno;R-7;70;-12,50\n02.03.2026;14:06;Storno;R-8;70;12,50\n")

    assert [event["properties"]["value"] for event in events] == [12.5, 12.5]


def test_a_row_whose_event_is_mapped_to_nothing_is_left_out(sales: Reader) -> None:
    assert sales.items(f"{HEADER}\n02.03.2026;14:05;Angebot;R-7;70;1,00\n") == []


def test_an_empty_cell_is_no_value(sales: Reader) -> None:
    [event] = sales.events(f"{HEADER}\n02.03.2026;14:05;Kauf;; 70 ;\n")

    assert event["properties"].keys() == {"currency", "store"}
    assert event["customer_id"] == "70"


def test_rows_of_what_happened_on_a_page_are_not_offline(tmp_path: Path, mapping_of: Any) -> None:
    reader = Reader(tmp_path, mapping_of(VISITS.replace("[time]", "offline = false\n[time]")))

    [event] = reader.events("when,customer\n2026-03-02T12:00:00Z,70\n")

    assert "context" not in event


def test_a_column_without_a_list_of_names_holds_our_words(tmp_path: Path, mapping_of: Any) -> None:
    reader = Reader(tmp_path, mapping_of(VISITS.replace('name = "shop_visited"', 'column = "what"')))

    [event] = reader.events("when,customer,what\n2026-03-02T12:00:00Z,70,product_reviewed\n")

    assert event["event"] == "product_reviewed"


def test_a_row_that_names_nobody_may_be_a_visitor_of_its_own(tmp_path: Path, mapping_of: Any) -> None:
    reader = Reader(tmp_path, mapping_of(VISITS.replace("[time]", "anonymous = true\n[time]")))

    one, two = reader.events("when,customer\n2026-03-02T12:00:00Z,\n2026-03-02T12:00:00Z,\n")

    assert one["visitor_id"] == f"offline:{one['event_id']}"
    assert one["visitor_id"] != two["visitor_id"]


# -- ids -------------------------------------------------------------------------------------------------------------


def test_rows_without_an_id_get_the_same_ones_in_every_run(visits: Reader) -> None:
    content = "when,customer\n" + "2026-03-02T12:00:00Z,70\n" * 2 + "2026-03-02T12:00:00Z,71\n"

    first, second = visits.events(content), visits.events(content)

    assert first == second
    assert len({event["event_id"] for event in first}) == 3


def test_a_row_has_its_id_also_in_an_export_that_overlaps(visits: Reader) -> None:
    row = "2026-03-02T12:00:00Z,70\n"

    [alone] = visits.events(f"when,customer\n{row}")
    later = visits.events(f"when,customer\n2026-03-01T12:00:00Z,69\n{row}")[1]

    assert alone["event_id"] == later["event_id"]


# -- times and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "cell", "expected"),
    [
        ("", "2026-03-02T12:00:00Z", "2026-03-02T12:00:00+00:00"),
        ("", "2026-03-02 12:00", "2026-03-02T12:00:00+00:00"),
        ('zone = "Europe/Berlin"', "2026-07-02 12:00", "2026-07-02T10:00:00+00:00"),
        ('zone = "Europe/Berlin"', "2026-07-02T12:00+00:00", "2026-07-02T12:00:00+00:00"),
        ('zone = "Europe/Berlin"', "2026-10-25 02:30", "2026-10-25T00:30:00+00:00"),  # comes twice: the first
        ('zone = "Europe/Berlin"', "2026-03-29 02:30", "2026-03-29T01:30:00+00:00"),  # never comes: 03:30
        ('format = "%m/%d/%y %I:%M %p"', "03/02/26 01:15 PM", "2026-03-02T13:15:00+00:00"),
        ('format = "unix"', "1772452800.25", "2026-03-02T12:00:00.250000+00:00"),
        ('format = "unix_ms"', "1772452800250", "2026-03-02T12:00:00.250000+00:00"),
    ],
)
def test_a_time_is_read_as_the_mapping_says(
    tmp_path: Path, mapping_of: Any, options: str, cell: str, expected: str
) -> None:
    reader = Reader(tmp_path, mapping_of(VISITS.replace("[fields]", f"{options}\n[fields]")))

    [event] = reader.events(f"when,customer\n{cell},70\n")

    assert event["client_time"] == expected


@pytest.mark.parametrize("cell", ["yesterday", "", "2026-13-01", "9999999999999999"])
def test_what_is_no_time_is_reported(visits: Reader, cell: str) -> None:
    [(line, detail)] = visits.faults(f"when,customer\n{cell},70\n")

    assert line == 2
    assert detail.startswith(f"{cell!r} is no time of the format 'iso'")


@pytest.mark.parametrize(
    ("numbers", "cell", "expected"),
    [
        ('decimal = ","\nthousands = "."', "1.234.567,89", 1234567.89),
        ('decimal = ","\nthousands = "."', "12", 12),
        ('decimal = ","\nthousands = " "', "1\u202f234,5", 1234.5),
        ('thousands = ","', "$1,234.50", 1234.5),
        ('thousands = "\'"', "1'234.50", 1234.5),
        ("", "-0.10", -0.1),
        ("", "−3", -3),
    ],
)
def test_a_number_is_read_as_the_mapping_says(
    tmp_path: Path, mapping_of: Any, numbers: str, cell: str, expected: float
) -> None:
    text = f'{VISITS}[properties]\nvalue = {{ column = "sum", type = "number" }}\n[numbers]\n{numbers}'

    [event] = Reader(tmp_path, mapping_of(text)).events(f'when,customer,sum\n2026-03-02,70,"{cell}"\n')

    assert event["properties"]["value"] == expected


@pytest.mark.parametrize("cell", ["1.234,50", "1,5", "12 EUR", "1.2.3", "nan", "1e5", "9" * 30])
def test_what_is_no_number_as_the_mapping_says_is_reported_rather_than_guessed(
    tmp_path: Path, mapping_of: Any, cell: str
) -> None:
    text = f'{VISITS}[properties]\nvalue = {{ column = "sum", type = "number" }}'

    [(line, detail)] = Reader(tmp_path, mapping_of(text)).faults(f'when,customer,sum\n2026-03-02,70,"{cell}"\n')

    assert (line, detail) == (2, f"{cell!r} is no number as [numbers] says")


# -- dialects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_first_line(visits: Reader, delimiter: str) -> None:
    content = f'when{delimiter}customer{delimiter}"note, with; signs"\n2026-03-02{delimiter}70{delimiter}x\n'

    assert visits.events(content)[0]["customer_id"] == "70"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_cell(visits: Reader, ending: str) -> None:
    content = ending.join(["\ufeffwhen,customer", "2026-03-02,70", "", "2026-03-02,71", ""])

    assert [event["customer_id"] for event in visits.events(content)] == ["70", "71"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_a_file_may_have_another_encoding(tmp_path: Path, mapping_of: Any, encoding: str) -> None:
    reader = Reader(tmp_path, mapping_of(VISITS + f'[file]\nencoding = "{encoding}"'))

    [event] = reader.events("when,customer\n2026-03-02,Jürgen\n".encode(encoding))

    assert event["customer_id"] == "Jürgen"


def test_quotes_hold_delimiters_quotes_and_line_ends_and_lines_are_counted_on(visits: Reader) -> None:
    items = visits.items('when,customer\n2026-03-02,"a ""b"", c\nd"\nnever,71\n2026-03-02,72\n')

    assert isinstance(items[0], dict)
    assert items[0]["customer_id"] == 'a "b", c\nd'
    assert isinstance(items[1], Unreadable)
    assert items[1].line == 4
    assert isinstance(items[2], dict)


# -- bad rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (b"2026-03-02", "has 1 cells, and the first line 2"),
        (b"2026-03-02,70,1", "has 3 cells, and the first line 2"),
        (b"2026-03-02,", "names no visitor and no customer"),
        (b"2026-03-02,J\xfcrgen", "is not utf-8; set `encoding`"),
        (b"2026-03-02,a\x00b", "holds a NUL character"),
        (b"2026-03-02," + b"x" * 201, "`customer_id` is longer than 200 characters"),
        (b'2026-03-02,"70"x', "',' expected after '\"'; is a quote missing"),
        (b"2026-03-02," + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_its_neighbours_go_on(visits: Reader, row: bytes, detail: str) -> None:
    before, bad, after = visits.items(b"when,customer\n2026-03-02,69\n" + row + b"\n2026-03-02,71\n")

    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert isinstance(bad, Unreadable)
    assert (bad.path, bad.line) == (visits.file, 3)
    assert bad.detail.startswith(detail)


def test_a_word_that_the_mapping_does_not_know_is_reported(sales: Reader) -> None:
    [(_, detail)] = sales.faults(f"{HEADER}\n02.03.2026;14:05;Anruf;R-7;70;1,00\n")

    assert detail == "'Anruf' in 'Art' is not in [event.names]; there, \"\" leaves it out"


def test_a_quote_that_is_never_closed_is_reported(visits: Reader) -> None:
    assert visits.faults('when,customer\n2026-03-02,"70\n2026-03-02,71\n')[0][0] == 2


# -- bad files and mappings ------------------------------------------------------------------------------------------


def test_a_column_that_a_file_lacks_is_named_before_any_event(visits: Reader, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("when,customer\n2026-03-02,70\n")
    bad.write_text("when,client\n2026-03-02,70\n")

    with pytest.raises(ImportFileError, match=r"has no column 'customer'; its first line says 'when', 'client'"):
        next(visits.importer.read([good, bad]))


@pytest.mark.parametrize("content", [b"", b"when,customer,when\n", b"\xff\xfe\x00"])
def test_a_file_without_its_columns_once_each_is_refused(visits: Reader, content: bytes) -> None:
    with pytest.raises(ImportFileError, match=r"has (no|more than one) column"):
        visits.items(content)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("event = 1", "Expected `object`, got `int`"),
        ("[event", "Expected"),
        (VISITS.replace("customer_id", "costumer_id"), "unknown field `costumer_id`"),
        (VISITS.replace('name = "shop_visited"', ""), r"\[event\] has either a name or a column"),
        (VISITS.replace('column = "when"', ""), r"\[time\] has a column or columns"),
        (VISITS.replace("[fields]", 'zone = "Mars/Base"\n[fields]'), "zone that is not known: 'Mars/Base'"),
        (VISITS + '[file]\nencoding = "klingon"', "encoding that is not known: 'klingon'"),
        (VISITS + '[file]\ndelimiter = ";;"', "a delimiter of one character"),
        (VISITS + '[numbers]\ndecimal = ","\nthousands = ","', "the same sign"),
        (
            VISITS + '[properties]\nvalue = { column = "a", constant = 1 }',
            "`value` has a column, columns or a constant",
        ),
        (VISITS + '[properties]\nvalue = { column = "a", type = "money" }', "Invalid enum value 'money'"),
    ],
)
def test_a_mapping_at_fault_says_what_to_change(mapping_of: Any, text: str, detail: str) -> None:
    with pytest.raises(ImportFileError, match=detail):
        mapping_of(text)


def test_csv_needs_a_mapping_and_the_others_none(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="needs --mapping"):
        importer_of("csv", None)
    with pytest.raises(ImportFailed, match="ndjson needs none"):
        importer_of("ndjson", tmp_path)
    with pytest.raises(ImportFailed, match="'xml' can't be imported; there are ga4, ndjson, csv"):
        importer_of("xml", None)


# -- before it is sent -----------------------------------------------------------------------------------------------


def test_a_dry_run_shows_events_and_bad_lines_and_no_sign_of_theirs_takes_effect(
    visits: Reader, tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=200)
    visits.file.write_text("when,customer\n2026-03-02T12:00:00Z,[red]\x1b[31m\nnever,71\n")

    unreadable_count = preview_files(visits.importer, [visits.file], console)

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert unreadable_count == 1
    assert "shop_visited" in printed
    assert "[red]\\x1b[31m" in printed
    assert "1 events, 1 unreadable lines" in printed
    assert "file.csv, line 3: 'never' is no time" in printed
    assert "\x1b" not in printed


def test_a_dry_run_cuts_no_value_off_in_a_narrow_terminal(visits: Reader) -> None:
    console = Console(file=io.StringIO(), width=80)
    visits.file.write_text("when,customer\n2026-03-02T12:00:00Z,customer-70-of-kiel\n")

    preview_files(visits.importer, [visits.file], console)

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2026-03-02T12:00:00+00:00" in printed
    assert "customer_id=customer-70-of-kiel" in printed
    assert "…" not in printed


def test_the_mapping_in_the_docs_reads_the_file_in_the_docs(tmp_path: Path, mapping_of: Any) -> None:
    blocks = DOCS.read_text(encoding="utf-8").split("```")
    mapping, content = (
        next(block.removeprefix(kind) for block in blocks if block.startswith(kind)) for kind in ("toml\n", "csv\n")
    )

    events = Reader(tmp_path, mapping_of(mapping)).events(content)

    assert [event["event"] for event in events] == ["order_completed", "shop_visited", "order_refunded"]
    assert datetime.fromisoformat(events[0]["client_time"]) == datetime(2026, 3, 2, 13, 5, tzinfo=UTC)
    assert [event["properties"].get("value") for event in events] == [1234.5, None, 49.9]
