"""Where a page of a list ended, as a text that the client hands back to get the next page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from struct import Struct
from typing import Annotated

from pydantic import Field

_PLACE = Struct("!qqq")

# A place in an order that new events don't change: whoever was given is not given again.
Place = tuple[int, int, int]
Cursor = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{32}$",
        description="`next_after` of the page before, as it is; leave it out for the first page",
    ),
]


def cursor_of(place: Place) -> str:
    return urlsafe_b64encode(_PLACE.pack(*place)).decode()


def place_of(cursor: Cursor) -> Place:
    """Of a text that fits the pattern."""
    rank, second, third = _PLACE.unpack(urlsafe_b64decode(cursor))
    return rank, second, third
