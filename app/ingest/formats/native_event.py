"""An event as senders write it in our own wire format, and the limits on each of its fields."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

# Limits of one event, in characters unless the name says otherwise; the README states them.
NAME_MAX = 100
ID_MAX = 200
URL_MAX = 2_048
SEQ_MAX = 2**31 - 1
PROPERTY_NAME_MAX = 100
PROPERTIES_MAX_COUNT = 100
PROPERTIES_MAX_BYTES = 32 * 1024
PROPERTIES_MAX_DEPTH = 10
USER_AGENT_MAX = 1_000
LANGUAGE_MAX = 200
COUNTRY_LENGTH = 2

Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX)]
Url = Annotated[str, Meta(max_length=URL_MAX)]
Time = Annotated[datetime, Meta(tz=True)]


class NativeContext(Struct, forbid_unknown_fields=True, gc=False):
    """What a sender says of the device that an event came from; the headers say it of browsers."""

    user_agent: Annotated[str, Meta(max_length=USER_AGENT_MAX)] | None = None
    language: Annotated[str, Meta(max_length=LANGUAGE_MAX)] | None = None
    country: Annotated[str, Meta(min_length=COUNTRY_LENGTH, max_length=COUNTRY_LENGTH)] | None = None
    channel: Literal["offline"] | None = None


class NativeEvent(Struct, forbid_unknown_fields=True, gc=False):
    """An event as senders write it; the README's table of fields says what each means."""

    event: Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
    event_id: Id | None = None
    visitor_id: Id | None = None
    customer_id: Annotated[str, Meta(max_length=ID_MAX)] | None = None  # an empty one is nobody: see refuse_customer
    account_id: Id | None = None
    client_time: Time | None = None
    seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None
    url: Url | None = None
    referrer: Url | None = None
    properties: dict[Annotated[str, Meta(max_length=PROPERTY_NAME_MAX)], Any] | None = None
    consent: bool | None = None
    context: NativeContext | None = None
