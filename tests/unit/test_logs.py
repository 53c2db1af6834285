"""A log record is one JSON object on one line of stdout, whatever is in it."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from app.logs import JsonLines, Seldom, configure_logging

LOGGERS = (None, "asyncio", "httpcore", "httpx", "numba", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(log.handlers[:], log.level, log.propagate, log.disabled) for log in loggers]
    yield
    for log, (handlers, level, propagate, disabled) in zip(loggers, before, strict=True):
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate, log.disabled = propagate, disabled


def line(message: str = "flush finished", /, **fields: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": message, "name": "app.ingest", "levelname": "INFO", "created": 0.25})
    vars(record).update(fields)
    text = JsonLines().format(record)
    assert len(text.splitlines()) == 1
    parsed = json.loads(text, parse_constant=pytest.fail)
    assert isinstance(parsed, dict)
    return parsed


def test_facts_stand_beside_a_constant_message() -> None:
    assert line(action="flush_finished", events=500, seconds=0.04) == {
        "ts": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "app.ingest",
        "message": "flush finished",
        "action": "flush_finished",
        "events": 500,
        "seconds": 0.04,
    }


def test_a_fact_cannot_pass_for_the_time_or_the_level() -> None:
    forged = line(ts="yesterday", level="debug")

    assert (forged["ts"], forged["level"]) == ("1970-01-01T00:00:00.250Z", "info")


@pytest.mark.parametrize("hostile", ['"}\n{"level":"error"', "\x00\x1b[31m", "\u2028", "\ud800", "naïve 店"])
def test_hostile_text_stays_inside_its_field(hostile: str) -> None:
    assert line(hostile, path=hostile) == line("x") | {"message": hostile, "path": hostile}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"\xff", "b'\\xff'"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ({("a", 1): 2}, "{('a', 1): 2}"),
        ({"rows": 3}, {"rows": 3}),
    ],
)
def test_what_json_does_not_know_is_written_as_text(value: object, written: object) -> None:
    assert line(value=value)["value"] == written


def test_an_exception_is_one_field() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        shown = line(exc_info=sys.exc_info())

    assert str(shown["exception"]).endswith("ValueError: first\nsecond")


@pytest.mark.usefixtures("restored_logging")
def test_uvicorn_speaks_the_same_format_and_keeps_no_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(sys.stdout))

    configure_logging("info")
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[1mStarted"})
    logging.getLogger("uvicorn.access").info("GET /?key=secret")
    logging.getLogger("httpx").info("GET /?key=secret")

    [only] = capsys.readouterr().out.splitlines()
    assert json.loads(only).items() >= {"logger": "uvicorn.error", "message": "Started"}.items()
    assert "color_message" not in only


@pytest.mark.usefixtures("restored_logging")
def test_records_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("ERROR")
    logging.getLogger("app.ingest").warning("slow")
    logging.getLogger("httpx").warning("slow")

    assert capsys.readouterr().out == ""


def test_a_line_that_comes_again_and_again_is_written_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.logs.time.monotonic", lambda: now)
    seldom = Seldom(seconds=10)

    assert [seldom.due("spool") for _ in range(4)] == [1, 0, 0, 0]
    assert seldom.due("database") == 1
    now += 10
    assert [seldom.due("spool"), seldom.due("spool")] == [4, 0]
