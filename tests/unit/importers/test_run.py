"""An import in a terminal: whatever happens, it says what became of the events."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from app.importers import IMPORT_NAMES
from app.importers.base import Unreadable
from app.importers.run import import_files
from app.importers.send import ImportRefused
from tests.unit.importers.service import Answer, ScriptedService


class ThreeEvents:
    """Two events around an unreadable line, then whatever `end` is."""

    name = "three"
    description = "for tests"

    def __init__(self, end: BaseException | None = None) -> None:
        self.end = end

    def count(self, files: Sequence[Path]) -> int | None:
        return 2 * len(files)

    def read(self, files: Sequence[Path]) -> Iterator[bytes | Unreadable]:
        for path in files:
            yield b'{"event":"[bold]"}'
            yield Unreadable(path, 2, "not JSON")
            yield b'{"event":"b"}'
        if self.end:
            yield from [b"{}"] * 999
            raise self.end


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def run(console: Console, monkeypatch: pytest.MonkeyPatch, importer: ThreeEvents, *answers: Answer) -> str:
    """Everything that was printed."""
    client = ScriptedService(*answers).client()
    monkeypatch.setattr("app.importers.run.httpx.Client", lambda **_: client)
    try:
        import_files(importer, [Path("events.x")], url="http://footfall.test", key="k", console=console)
    finally:
        printed = console.file.getvalue()  # type: ignore[attr-defined]
    return " ".join(printed.split())


def test_the_outcome_names_counts_reasons_and_bad_lines(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [{"index": 0, "reason": "bad_name", "pointer": "/event", "detail": "No brackets."}]
    answer = httpx.Response(207, json={"received": 2, "stored": 1, "duplicates": 0, "rejected": refused})
    printed = run(console, monkeypatch, ThreeEvents(), answer)
    for text in ("2/2", "stored │ 1", "rejected │ 1", "bad_name │ 1", "unreadable lines │ 1"):
        assert text in printed
    assert "events.x, line 2: not JSON" in printed
    assert 'bad_name /event: No brackets. {"event":"[bold]"}' in printed


def test_what_senders_wrote_has_no_effect_on_the_terminal(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "\x1b[31m\x07\u202e[red]"
    refused = [{"index": 0, "reason": hostile, "pointer": f"/{hostile}", "detail": hostile}]
    answer = httpx.Response(207, json={"received": 2, "stored": 1, "duplicates": 0, "rejected": refused})
    printed = run(console, monkeypatch, ThreeEvents(), answer)

    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert "\\x1b[31m\\x07\\u202e[red]" in printed


def test_the_outcome_is_printed_when_the_service_refuses(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportRefused, match="Unknown key"):
        run(console, monkeypatch, ThreeEvents(), httpx.Response(401, json={"detail": "Unknown key."}))
    assert "stored" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_interrupted_import_says_that_it_may_run_again(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(console, monkeypatch, ThreeEvents(end=KeyboardInterrupt()))
    printed = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "Running the same import again is safe" in printed
    assert "stored │ 1,000" in printed


def test_the_formats_are_ga4_ndjson_and_csv() -> None:
    assert IMPORT_NAMES == ("ga4", "ndjson", "csv")
