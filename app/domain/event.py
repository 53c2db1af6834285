"""An event as it travels through the service, after a wire format decoded it and before it is stored."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.context import Campaign, Device, Sender


class Trust(StrEnum):
    """How an event came in; derived from the key, never from the body."""

    BROWSER = "browser"
    SERVER = "server"
    SIGNED = "signed"
    IMPORT = "import"


@dataclass(slots=True)
class Event:
    """One thing that happened in a storefront.

    event_id: canonical UUID text, see `canonical_event_id`.
    client_time: as the sender sent it; None when it sent none.
    occurred_at: the corrected time that all reports use.
    properties: as decoded from JSON; no text in it holds a NUL character.
    source: name of the wire format it came in.
    sender: what the event says of its device; None once that has become `device`, and never stored.
    At least one of visitor_key and customer_key is set.
    """

    storefront_id: int
    event_id: str
    event_name: str
    visitor_key: str | None
    customer_key: str | None
    account_key: str | None
    client_time: datetime | None
    occurred_at: datetime
    received_at: datetime
    seq: int
    trust: Trust
    url: str | None
    referrer: str | None
    properties: dict[str, Any]
    source: str = "native"
    is_bot: bool = False
    sender: Sender | None = None
    device: Device | None = None
    campaign: Campaign | None = None

    @property
    def identity(self) -> tuple[int, str, datetime | None]:
        """What makes two events the same (semantics: sameness)."""
        return (self.storefront_id, self.event_id, self.client_time)


_is_uuid = re.compile(
    "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
).fullmatch


def canonical_event_id(sent: str) -> str:
    """The UUID under which an event's id is stored: a UUID is itself, any other text its SHA-256 cut to 128 bits.

    UUIDs are compared without regard to case. Two texts sharing a UUID would take 2^61 tries to find on purpose,
    and could only make one sender's events duplicates of the same sender's events.
    """
    if _is_uuid(sent):
        return sent.lower()
    digits = hashlib.sha256(sent.encode()).hexdigest()
    # Version 8 ("custom") and the RFC 9562 variant, so that it can't be taken for a random or a timed UUID.
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


# Each figure of a UUID becomes an x, so that they all look the same; an x that was sent does not pass for one.
_FIGURES = bytes.maketrans(b"x0123456789abcdefABCDEF", b"?" + b"x" * 22)
_LOOK = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


def canonical_event_ids(sent: Sequence[str]) -> list[str]:
    """As `canonical_event_id`, of many: when all are UUIDs, as they mostly are, in a fifth of the time."""
    lines = "\n".join(sent)
    # A line break inside of an id makes more lines of them than there are ids.
    if sent and lines.encode("ascii", "replace").translate(_FIGURES) == b"\n".join([_LOOK] * len(sent)):
        return list(sent) if lines == (canonical := lines.lower()) else canonical.split("\n")
    return [canonical_event_id(each) for each in sent]


def new_event_id(received_at: datetime) -> str:
    """An id for an event that came without one: a UUIDv7, so that neighbours in time are neighbours in the index."""
    milliseconds = int(received_at.timestamp() * 1000)
    rest = os.urandom(10).hex()
    digits = f"{milliseconds & 0xFFFFFFFFFFFF:012x}"
    return f"{digits[:8]}-{digits[8:]}-7{rest[:3]}-{'89ab'[int(rest[3], 16) & 3]}{rest[4:7]}-{rest[7:19]}"
