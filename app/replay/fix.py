"""Mends the JSON of a refused event: renames, casts, drops and fills fields. The outcome is decoded like any event."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from app.errors import Invalid

Path = tuple[str, ...]
MILLISECONDS_FROM = 100_000_000_000  # a number of seconds that large would lie in the year 5138
_MISSING = object()


class Unfixable(Exception):
    """The event is no JSON object, so no field of it can be changed."""


@dataclass(slots=True, frozen=True)
class Fix:
    """Applied in this order. What a part does not fit (field not there, text that is no number) it leaves alone.

    A field that is there already is never overwritten by `renames` or `defaults`.
    """

    renames: tuple[tuple[Path, Path], ...] = ()
    casts: tuple[tuple[Path, str], ...] = ()
    drops: tuple[Path, ...] = ()
    defaults: tuple[tuple[Path, Any], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.renames or self.casts or self.drops or self.defaults)

    def apply(self, raw: bytes) -> bytes:
        """Raises Unfixable."""
        try:
            event = json.loads(raw.decode(), parse_constant=_refuse)
            if not isinstance(event, dict):
                raise Unfixable("The event is no JSON object, so no field of it can be mended.")
            self._mend(event)
            return json.dumps(event, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise Unfixable("The event is no JSON, so no field of it can be mended.") from error

    def _mend(self, event: dict[str, Any]) -> None:
        for old, new in self.renames:
            value = _get(event, old)
            if value is not _MISSING and _put(event, new, value):
                _remove(event, old)
        for path, kind in self.casts:
            value = _cast(_get(event, path), CASTS[kind])
            if value is not _MISSING:
                _remove(event, path)
                _put(event, path, value)
        for path in self.drops:
            _remove(event, path)
        for path, value in self.defaults:
            if _get(event, path) is None:
                _remove(event, path)
            _put(event, path, value)


def parse_fix(renames: Iterable[str], casts: Iterable[str], drops: Iterable[str], defaults: Iterable[str]) -> Fix:
    """From `old=new`, `field=kind`, `field` and `field=value`. Raises Invalid.

    Fields are JSON pointers (`/properties/price`) or dotted (`properties.price`). A value is JSON, or else text.
    """
    return Fix(
        renames=tuple((_path(old), _path(new)) for old, new in map(_pair, renames)),
        casts=tuple((_path(field), _kind(kind)) for field, kind in map(_pair, casts)),
        drops=tuple(map(_path, drops)),
        defaults=tuple((_path(field), _value(text)) for field, text in map(_pair, defaults)),
    )


def _pair(given: str) -> tuple[str, str]:
    left, equals, right = given.partition("=")
    if not equals:
        raise Invalid(f"{given!r} lacks a `=`.")
    return left, right


def _path(given: str) -> Path:
    """A JSON pointer begins with a slash (RFC 6901); anything else has dots between its parts."""
    if given.startswith("/"):
        path = tuple(part.replace("~1", "/").replace("~0", "~") for part in given[1:].split("/"))
    else:
        path = tuple(given.split("."))
    if not all(path):
        raise Invalid(f"{given!r} names no field; write it as properties.price or /properties/price.")
    return path


def _kind(given: str) -> str:
    if given not in CASTS:
        raise Invalid(f"{given!r} is nothing to cast to; there are {', '.join(CASTS)}.")
    return given


def _value(given: str) -> Any:
    try:
        return json.loads(given, parse_constant=_refuse)
    except ValueError:
        return given


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# -- fields: by name in objects, by number in arrays ------------------------------------------------------------------


def _get(event: Any, path: Path) -> Any:
    """_MISSING when it is not there."""
    for part in path:
        if isinstance(event, dict):
            event = event.get(part, _MISSING)
        elif isinstance(event, list) and part.isdecimal() and int(part) < len(event):
            event = event[int(part)]
        else:
            return _MISSING
    return event


def _put(event: dict[str, Any], path: Path, value: Any) -> bool:
    """Whether there was a free place for it. Objects on the way to it are made."""
    *way, name = path
    place: Any = event
    for part in way:
        place = place.setdefault(part, {}) if isinstance(place, dict) else _get(place, (part,))
    if not isinstance(place, dict) or name in place:
        return False
    place[name] = value
    return True


def _remove(event: dict[str, Any], path: Path) -> None:
    place = _get(event, path[:-1])
    if isinstance(place, dict):
        place.pop(path[-1], None)


# -- casts: each takes a value as JSON has it and raises ValueError where it does not fit ------------------------------


def _cast(value: Any, cast: Callable[[Any], Any]) -> Any:
    """_MISSING where it does not fit."""
    if value is _MISSING or value is None or isinstance(value, dict | list):
        return _MISSING
    try:
        return cast(value)
    except (ValueError, OverflowError):
        return _MISSING


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        return int(value)
    number = json.loads(value, parse_constant=_refuse) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError("no number")  # what all casts raise
    return number


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _truth(value: Any) -> bool:
    text = _text(value).strip().lower()
    if text not in ("true", "1", "false", "0"):
        raise ValueError("no truth value")
    return text in ("true", "1")


def _time(value: Any) -> str:
    """RFC 3339, from seconds or milliseconds since 1970, or from ISO 8601; UTC when it names no offset."""
    try:
        number = float(_number(value))
        moment = datetime.fromtimestamp(number / 1000 if number >= MILLISECONDS_FROM else number, UTC)
    except ValueError:
        moment = datetime.fromisoformat(_text(value).strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return moment.isoformat()


CASTS: dict[str, Callable[[Any], Any]] = {"number": _number, "string": _text, "boolean": _truth, "time": _time}
