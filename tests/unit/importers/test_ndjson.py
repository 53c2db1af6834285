"""One native event a line; a bad line is reported with its number and costs no neighbour."""

import gzip
import json
from pathlib import Path

import pytest

from app.importers.base import ImportFileError, Unreadable
from app.importers.ndjson import LINE_MAX_BYTES, NDJSON

VIEW = b'{"event_id":"1","event":"product_viewed"}'
ORDER = b'{"event_id":"2","event":"order_completed","properties":{"value":30.0}}'


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_lines_are_passed_on_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", VIEW + b"\n\n  \r\n" + ORDER + b"\r\n" + VIEW)
    assert list(NDJSON.read([file])) == [VIEW, ORDER, VIEW]


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.gz", VIEW)
    packed = write(tmp_path / "packed.ndjson", gzip.compress(ORDER + b"\n"))
    assert list(NDJSON.read([packed, plain])) == [ORDER, VIEW]


def test_a_byte_order_mark_is_no_part_of_the_event(tmp_path: Path) -> None:
    assert list(NDJSON.read([write(tmp_path / "a", b"\xef\xbb\xbf" + VIEW)])) == [VIEW]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b"{event: 1}", "not JSON"),
        (b'{"event": "\xff"}', "not JSON"),
        (b'{"event": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"event":"' + b"x" * 3 * LINE_MAX_BYTES + b'"}', "longer than 1,048,576 bytes"),
    ],
    ids=["syntax", "not UTF-8", "NaN", "deep", "array", "long"],
)
def test_a_bad_line_is_reported_and_its_neighbours_go_on(tmp_path: Path, line: bytes, detail: str) -> None:
    file = write(tmp_path / "a.ndjson", VIEW + b"\n" + line + b"\n" + ORDER)
    before, bad, after = NDJSON.read([file])
    assert (before, after) == (VIEW, ORDER)
    assert isinstance(bad, Unreadable)
    assert (bad.path, bad.line) == (file, 2)
    assert bad.detail.startswith(detail)


def test_events_without_an_id_get_the_same_ones_in_every_run(tmp_path: Path) -> None:
    bare = b'{"event":"scroll"}'
    file = write(tmp_path / "a.ndjson", b"\n".join([bare, bare, b'{"event":"scroll","event_id":""}']))
    first = [json.loads(item) for item in NDJSON.read([file]) if isinstance(item, bytes)]
    second = [json.loads(item) for item in NDJSON.read([file]) if isinstance(item, bytes)]
    assert first == second
    assert len({event["event_id"] for event in first}) == 3
    assert [event["event"] for event in first] == ["scroll"] * 3


def test_a_missing_file_is_named_before_any_event(tmp_path: Path) -> None:
    good = write(tmp_path / "a.ndjson", VIEW)
    with pytest.raises(ImportFileError, match=r"absent\.ndjson: cannot be opened"):
        next(NDJSON.read([good, tmp_path / "absent.ndjson"]))


def test_a_gzip_file_cut_short_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.gz", gzip.compress(VIEW)[:-12])
    with pytest.raises(ImportFileError, match="ends early or is damaged"):
        list(NDJSON.read([file]))


def test_the_number_of_events_is_not_known_in_advance(tmp_path: Path) -> None:
    assert NDJSON.count([write(tmp_path / "a.ndjson", VIEW)]) is None  # type: ignore[func-returns-value]
