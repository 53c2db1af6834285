"""What a wire format is: bytes to events, outcome to reply. Foreign names stop inside a format's file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.domain.event import Event, Trust
from app.domain.outcome import Outcome, Rejection


@dataclass(slots=True)  # not frozen: that takes a microsecond more to make, once a request
class RequestContext:
    """What a decoder may know beside the body. content_type: without parameters, in lower case, "" if not given."""

    storefront_id: int
    trust: Trust
    received_at: datetime
    content_type: str
    max_events: int
    retention_days: int | None = None
    is_bot: bool = False


@dataclass(slots=True)
class Decoded:
    """A body taken apart.

    events and indexes go together: indexes[i] is the place of events[i] in the request.
    raws: the bytes of every event of the request, cut out only when one of them is refused later.
    no_consent: places of events that must not be kept; counted, and nothing else.
    """

    events: list[Event]
    indexes: Sequence[int]
    raws: Callable[[], Sequence[bytes]]
    rejections: list[Rejection] = field(default_factory=list)
    sent_at: datetime | None = None
    no_consent: Sequence[int] = ()

    @property
    def received_count(self) -> int:
        return len(self.events) + len(self.rejections) + len(self.no_consent)

    def withhold(self) -> None:
        """Nobody of this request has consented."""
        self.no_consent = range(self.received_count)
        self.events, self.indexes, self.rejections = [], [], []


@dataclass(slots=True)
class IngestResult:
    """What became of a request. outcomes and event_ids by place in the request; no id for a refused event."""

    outcomes: list[Outcome]
    event_ids: list[str | None]
    rejections: list[Rejection]

    def count(self, outcome: Outcome) -> int:
        return self.outcomes.count(outcome)


class WireFormat(Protocol):
    @property
    def name(self) -> str: ...  # metric label and folder under tests/golden/

    @property
    def paths(self) -> tuple[str, ...]: ...  # POST routes

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        """Pure. Raises errors.FootfallError (400, 413, 415) when the body as a whole can't be used."""
        ...

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> tuple[int, Any]:
        """Status and JSON body that the sender expects."""
        ...
