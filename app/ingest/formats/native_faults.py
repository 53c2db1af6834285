"""Puts what the decoder says about a faulty event into our words."""

import re

import msgspec

from app.domain.outcome import Rejection, RejectReason
from app.ingest.formats.native_event import PROPERTIES_MAX_DEPTH, SEQ_MAX

QUOTE_MAX = 300  # characters of an explanation
TIME_ADVICE = "Write times as RFC 3339 with an offset, such as 2026-11-21T10:15:00.123Z."
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*?)`$")
# The decoder's words, each with the reason it means and advice to add; first match counts.
_MEANINGS: tuple[tuple[str, RejectReason, str], ...] = (
    ("of length <=", RejectReason.TOO_LONG, "Shorten it."),
    ("of length >=", RejectReason.EMPTY, "Leave the field out, or give it a value."),
    ("missing required field", RejectReason.MISSING_FIELD, "Every event needs a name in `event`."),
    ("unknown field", RejectReason.UNKNOWN_FIELD, "Put values of your own into `properties`."),
    ("datetime", RejectReason.BAD_TIME, TIME_ADVICE),
    ("out of range", RejectReason.OUT_OF_RANGE, "Send it as text."),
    ("`int` <=", RejectReason.OUT_OF_RANGE, f"It goes from 0 to {SEQ_MAX}."),
    ("`int` >=", RejectReason.OUT_OF_RANGE, f"It goes from 0 to {SEQ_MAX}."),
)
_FIELD = re.compile(r"field `(.*)`", re.DOTALL)


def rejection_of(index: int, fault: Exception, piece: bytes) -> Rejection:
    """Why an event can't be decoded, and what to change."""
    reason, pointer, detail = _explain(fault, piece)
    return Rejection(index, reason, _quotable(pointer), _quotable(detail), piece)


def _explain(fault: Exception, piece: bytes) -> tuple[RejectReason, str, str]:
    """Puts a decoder's fault into our words: reason, pointer, detail."""
    if isinstance(fault, RecursionError):
        return (
            RejectReason.TOO_DEEP,
            "",
            f"The event is nested too deep; {PROPERTIES_MAX_DEPTH} levels are allowed.",
        )
    if not isinstance(fault, msgspec.ValidationError):
        return RejectReason.INVALID_JSON, "", _json_detail(fault, piece)
    message = str(fault)
    place = _PLACE.search(message)
    problem = message[: place.start()] if place else message
    pointer = place[1].split("[")[0].replace(".", "/") if place else ""
    if pointer == "" and "Expected `object`" in problem:
        return RejectReason.NOT_AN_OBJECT, "", f"{problem}. An event is a JSON object."
    for words, reason, advice in _MEANINGS:
        if words in problem:
            if not pointer and (field := _FIELD.search(problem)):
                pointer = "/" + field[1].replace("~", "~0").replace("/", "~1")
            return reason, pointer, f"{problem}. {advice}"
    return RejectReason.WRONG_TYPE, pointer, f"{problem}."


def _quotable(text: str) -> str:
    """Text that may hold a sender's field name: bounded, and without what Postgres can't keep."""
    return text.replace("\0", "\\0")[:QUOTE_MAX]


def _json_detail(fault: Exception, piece: bytes) -> str:
    if isinstance(fault, UnicodeDecodeError):
        return "The text is not UTF-8."
    if "surrogate" in str(fault) or ("truncated" in str(fault) and re.search(rb"\\u[dD][89abAB]", piece)):
        return "The text holds half of a surrogate pair (\\ud800 to \\udfff); send whole characters."
    return f"{fault}. NaN, Infinity, comments and trailing commas are not JSON."
