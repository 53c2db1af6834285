"""What became of a received event: every event gets exactly one outcome."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from app.domain.event import Trust


class Outcome(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    SPOOLED = "spooled"
    NO_CONSENT = "no_consent"  # left out, and nothing of it kept
    BOT = "bot"  # stored and marked; counted apart from STORED, which is what the sender is told


class RejectReason(StrEnum):
    """Why an event was refused. A closed set: metric label, quarantine column and part of the reply."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    TOO_LONG = "too_long"
    EMPTY = "empty"
    OUT_OF_RANGE = "out_of_range"
    TOO_DEEP = "too_deep"
    TOO_MANY_PROPERTIES = "too_many_properties"
    PROPERTIES_TOO_LARGE = "properties_too_large"
    NUL_CHARACTER = "nul_character"
    BAD_TIME = "bad_time"
    FUTURE_TIME = "future_time"
    TOO_OLD = "too_old"
    NO_PERSON = "no_person"
    BAD_CUSTOMER = "bad_customer"
    UNSTORABLE = "unstorable"


@dataclass(slots=True, frozen=True)
class Rejection:
    """One refused event.

    index: its position in the request, from 0. pointer: RFC 6901, into the event ("" = the event itself).
    detail: what to change. raw: the event's bytes as received.
    """

    index: int
    reason: RejectReason
    pointer: str
    detail: str
    raw: bytes


@dataclass(slots=True, frozen=True)
class RefusedEvent:
    """A rejection with what is needed to understand and replay it later; kept whole in quarantine.

    refusal_id: by which quarantine knows it when it is stored again, as after a commit whose answer was lost.
    """

    storefront_id: int
    format: str
    trust: Trust
    received_at: datetime
    sent_at: datetime | None
    rejection: Rejection
    is_bot: bool = False
    refusal_id: UUID = field(default_factory=uuid4)


class SinkUnavailable(Exception):
    """Storage can't take events now; `reason` is one of FAILURE_REASONS."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(cause)
        self.reason = reason


class SpoolFull(SinkUnavailable):
    """Storage is away, and there is no room on disk either, or (not no_room) the spool can't be used."""

    def __init__(self, cause: str, *, no_room: bool = False) -> None:
        super().__init__("spool", cause)
        self.no_room = no_room


# Closed set, a metric label: lost or refused connection, deadline passed, refused by Postgres, data it can't hold, or
# no room in the spool.
FAILURE_REASONS = ("connection", "timeout", "database", "unstorable", "spool")


class UnstorableError(Exception):
    """Some event of the batch can't be represented in storage."""
