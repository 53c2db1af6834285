"""For formats of other makers: what they send becomes native events, which take the checks of native ones."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from app.domain.outcome import Rejection, RejectReason
from app.errors import TooLarge, Unreadable
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.native_checks import Refused, event_of
from app.ingest.formats.native_event import LANGUAGE_MAX, URL_MAX, USER_AGENT_MAX, NativeEvent
from app.ingest.formats.native_faults import rejection_of

T = TypeVar("T")
Object = Mapping[str, Any]

# Levels of a body: far more than an event may have, and far fewer than Python can go down when it is encoded again.
NESTING_MAX = 100
# Of what a request says once and all its events repeat, times their number. Clients send a kilobyte of it.
SHARED_MAX_BYTES = 4 * 1024 * 1024
COUNTRY_CHARACTERS = 2  # ISO 3166-1 alpha-2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Of an event in quarantine, where its request is gone: the visitor that was known from that alone.
VISITOR_FIELD = "footfall_visitor_id"

_encode = msgspec.json.Encoder().encode


def decode_all(
    sent: Sequence[T],
    translate: Callable[[T], dict[str, Any]],
    raw_of: Callable[[T], bytes],
    context: RequestContext,
    *,
    sent_at: datetime | None = None,
    for_reply: Sequence[Any] = (),
) -> Decoded:
    """Every thing that was sent becomes one event, or a rejection with its reason.

    translate: to the fields of a NativeEvent, None for what was not given. Pure; raises Refused, and nothing else
    whatever it is given. raw_of: see `Decoded.raws`. Raises TooLarge.
    """
    check_count(len(sent), context)
    indexes: list[int] = []
    no_consent: list[int] = []
    decoded = Decoded([], indexes, lambda: list(map(raw_of, sent)), [], sent_at, no_consent, for_reply)
    for index, each in enumerate(sent):
        try:
            native = msgspec.convert(_given(translate(each)), NativeEvent)
            if native.consent is False:
                no_consent.append(index)
                continue
            # Encoded only for what might be too large or hold a NUL: the bytes are not at hand any more.
            event = event_of(native, context, _encode(native))
        except Refused as fault:
            decoded.rejections.append(Rejection(index, fault.reason, fault.pointer, fault.detail, raw_of(each)))
        except (msgspec.ValidationError, UnicodeEncodeError) as fault:
            decoded.rejections.append(rejection_of(index, fault, raw_of(each)))
        else:
            decoded.events.append(event)
            indexes.append(index)
    return decoded


def check_count(count: int, context: RequestContext) -> None:
    """For those to whom the events cost something before they are decoded. Raises TooLarge."""
    if count > context.max_events:
        raise TooLarge(f"The body holds {count} events; send at most {context.max_events} in one request.")


def check_shared(shared: Object, count: int) -> None:
    """For what a request says once and each of its events repeats, in quarantine too: 4 MiB would become gigabytes.

    Raises TooLarge.
    """
    if count > 1 and len(_encode(shared)) * count > SHARED_MAX_BYTES:
        share = f"What the {count} events have in common takes {SHARED_MAX_BYTES // count} bytes at most"
        raise TooLarge(f"{share}; say less there, or send fewer events in one request.")


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


# -- bodies ----------------------------------------------------------------------------------------------------------


def json_of(body: bytes) -> Any:
    """Whatever its content type says, and whatever clients take for JSON, see `_lenient`. Raises Unreadable."""
    value = _decoded(body)
    # Counting is quick, and few bodies have so many.
    if body.count(b"[") + body.count(b"{") > NESTING_MAX and _is_deeper(value, NESTING_MAX):
        raise Unreadable(f"The body is nested more than {NESTING_MAX} levels deep; flatten it.")
    return value


def _is_deeper(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        children = (
            each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)
        )
        level = [child for of_one in children for child in of_one]
    return bool(level)


def _decoded(body: bytes) -> Any:
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            return msgspec.json.decode(_lenient(body))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Unreadable(f"The body is no JSON: {str(error)[:200]}.") from error


def _lenient(body: bytes) -> bytes:
    """As JSON what comes near it: one text that was cut in the middle of an emoji, or the NaN that Python's clients
    write, must not cost a whole batch. Raises ValueError or RecursionError."""
    value = json.loads(body.decode(), parse_constant=lambda _: None)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def object_of(value: object) -> Object:
    """A JSON object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def given_object(value: object, pointer: str) -> Object:
    """Empty for nothing, and for the empty array that PHP makes of it. Raises Refused."""
    if value and not isinstance(value, dict):
        raise Refused(RejectReason.WRONG_TYPE, pointer, "Make this an object.")
    return object_of(value)


def list_of(value: object) -> Sequence[Any]:
    """A JSON array; empty for anything else."""
    return value if isinstance(value, list) else []


def key_in_json(body: bytes, *names: str) -> str | None:
    """The first of these members of a JSON object that is a text. Never raises."""
    try:
        sent = object_of(json_of(body))
    except Unreadable:
        return None
    return next((value for name in names if isinstance(value := sent.get(name), str) and value), None)


def is_made_here(secret: str) -> bool:
    """A key that we made up, and not a text of an operator's choice or another maker's secret."""
    return secret.startswith("ff_")


# -- values ----------------------------------------------------------------------------------------------------------


def text_of(value: object) -> str | None:
    """An id or a name, which some clients send as a number; None for nothing, for "" and for what is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value) or None


def url_of(value: object) -> str | None:
    """Cut where it is longer than we take: its end is seldom what matters."""
    text = text_of(value)
    return text and text[:URL_MAX]


def said_of(*, user_agent: object = None, language: object = None, country: object = None) -> dict[str, str] | None:
    """The `context` of a native event, of what it takes; None for nothing."""
    said = {
        "user_agent": (text_of(user_agent) or "")[:USER_AGENT_MAX],
        "language": (text_of(language) or "")[:LANGUAGE_MAX],
        "country": code if (code := text_of(country)) and len(code) == COUNTRY_CHARACTERS else "",
    }
    return {name: text for name, text in said.items() if text} or None


def number_of(value: object) -> int | float | None:
    """Also of a text that holds one; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = value if isinstance(value, int) else float(value)
    except ValueError:
        return None
    if isinstance(number, int):
        return number
    if not -1e300 < number < 1e300:  # also no NaN
        return None
    return int(number) if number.is_integer() and isinstance(value, str) and "." not in value else number


def time_of(value: object, pointer: str = "/client_time") -> datetime | None:
    """Of a text as ISO 8601 has it, in UTC when it names no offset; None for nothing. Raises Refused for no time."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = _moment(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (msgspec.ValidationError, ValueError, OverflowError):
        pass
    raise Refused(RejectReason.BAD_TIME, pointer, f"{str(value)[:50]!r} is no time.")


def _moment(text: str) -> datetime:
    """Mostly as RFC 3339 has it; also without seconds, or without a time of the day. Raises ValueError."""
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        if text[4:5] != "-":  # digits alone are seconds of some clock
            raise
        return datetime.fromisoformat(text)


def unix_time_of(value: object, per_second: int, pointer: str = "/client_time") -> datetime | None:
    """A number since 1970, of which so many are a second; None for nothing. Raises Refused for what is no time."""
    if value is None or value == "":
        return None
    number = number_of(value)
    try:
        if number is not None:
            return EPOCH + timedelta(microseconds=round(number * 1_000_000 / per_second))
    except OverflowError:
        pass
    raise Refused(RejectReason.BAD_TIME, pointer, f"{str(value)[:50]!r} is no time.")
