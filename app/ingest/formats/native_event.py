"""An event as senders write it in our own wire format, and the limits on each of its fields."""

from datetime import datetime
from typing import Annotated, Any

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

Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX)]
Url = Annotated[str, Meta(max_length=URL_MAX)]
Time = Annotated[datetime, Meta(tz=True)]


class NativeEvent(Struct, forbid_unknown_fields=True, gc=False):
    """An event as senders write it; the README's table of fields says what each means."""

    event: Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
    event_id: Id | None = None
    visitor_id: Id | None = None
    customer_id: Id | None = None
    account_id: Id | None = None
    client_time: Time | None = None
    seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None
    url: Url | None = None
    referrer: Url | None = None
    properties: dict[Annotated[str, Meta(max_length=PROPERTY_NAME_MAX)], Any] | None = None
    consent: bool | None = None
