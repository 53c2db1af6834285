"""For formats of other makers: what they send becomes native events, which take the checks of native ones."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from app.domain.outcome import Rejection, RejectReason
from app.errors import TooLarge, Unreadable
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.native_checks import Refused, event_of, suspicion_of
from app.ingest.formats.native_event import URL_MAX, NativeEvent
from app.ingest.formats.native_faults import rejection_of

T = TypeVar("T")
Object = Mapping[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_encode = msgspec.json.Encoder().encode


def decode_all(
    sent: Sequence[T],
    translate: Callable[[T], dict[str, Any]],
    raw_of: Callable[[T], bytes],
    context: RequestContext,
    *,
    sent_at: datetime | None = None,
    sent_ids: Sequence[str | None] = (),
) -> Decoded:
    """Every thing that was sent becomes one event, or a rejection with its reason.

    translate: to the fields of a NativeEvent, None for what was not given. Pure; raises Refused, and nothing else
    whatever it is given. raw_of: see `Decoded.raws`. Raises TooLarge.
    """
    if len(sent) > context.max_events:
        raise TooLarge(f"The body holds {len(sent)} events; send at most {context.max_events} in one request.")
    indexes: list[int] = []
    no_consent: list[int] = []
    decoded = Decoded([], indexes, lambda: list(map(raw_of, sent)), [], sent_at, no_consent, sent_ids)
    for index, each in enumerate(sent):
        try:
            native = msgspec.convert(_given(translate(each)), NativeEvent)
            if native.consent is False:
                no_consent.append(index)
                continue
            # Encoded only for what might be too large or hold a NUL: the bytes are not at hand any more.
            event = event_of(native, context, suspicion_of(_encode(native)))
        except Refused as fault:
            decoded.rejections.append(Rejection(index, fault.reason, fault.pointer, fault.detail, raw_of(each)))
        except (msgspec.ValidationError, UnicodeEncodeError) as fault:
            decoded.rejections.append(rejection_of(index, fault, raw_of(each)))
        else:
            decoded.events.append(event)
            indexes.append(index)
    return decoded


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


# -- bodies ----------------------------------------------------------------------------------------------------------


def json_of(body: bytes) -> Any:
    """Whatever its content type says. Raises Unreadable."""
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"The body is no JSON: {str(error)[:200]}.") from error


def object_of(value: object) -> Object:
    """A JSON object; empty for anything else."""
    return value if isinstance(value, dict) else {}


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
    """An RFC 3339 text; None for nothing. Raises Refused for what is no time."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            return msgspec.convert(value, datetime).astimezone(UTC)
    except (msgspec.ValidationError, ValueError, OverflowError):
        pass
    raise Refused(RejectReason.BAD_TIME, pointer, f"{str(value)[:50]!r} is no time.")


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
