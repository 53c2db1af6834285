"""Logging as JSON lines on stdout: a constant message, the facts as fields beside it."""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

# What the standard library puts on every record, and uvicorn's second copy of its message in colour.
_NOT_FACTS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

# One line per request is enough, and these name URLs (with keys in them) or compiler passes.
_TALKATIVE = ("asyncio", "httpcore", "httpx", "numba")


class JsonLines(logging.Formatter):
    """One record, one line, one JSON object; anything hostile in a value is escaped by JSON."""

    def __init__(self, facts: Mapping[str, object] = MappingProxyType({})) -> None:
        """facts: added to each line."""
        super().__init__()
        self._facts = facts

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "ts": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._facts,
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        for name, value in vars(record).items():
            if name not in _NOT_FACTS:
                fields.setdefault(name, value)
        return _json_line(fields)


def configure_logging(level: str, **facts: object) -> None:
    """Send all logging to stdout as JSON lines, each with these facts. Start uvicorn with `log_config=None`, or it
    undoes this."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(facts))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # it logs addresses and query strings


class Seldom:
    """For a line that may come again and again: one per kind in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at: dict[str, float] = {}
        self._counts: Counter[str] = Counter()

    def due(self, kind: str) -> int:
        """How often it has happened since the last line, this time included; 0 when no line is due yet."""
        self._counts[kind] += 1
        now = time.monotonic()
        if now < self._due_at.get(kind, now):
            return 0
        self._due_at[kind] = now + self._seconds
        return self._counts.pop(kind)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_line(fields: dict[str, object]) -> str:
    try:
        return json.dumps(fields, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # NaN, keys that are no text, a loop
        return json.dumps({name: str(value) for name, value in fields.items()})
