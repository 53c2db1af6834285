"""What a wire format is: bytes to events, outcome to reply. Foreign names stop inside a format's file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from app.domain.event import Event, Trust
from app.domain.outcome import Outcome, Rejection


@dataclass(slots=True)  # not frozen: that takes a microsecond more to make, once a request
class RequestContext:
    """What a decoder may know beside the body.

    content_type: without parameters, in lower case, "" if not given. path, query: of the address that was sent to;
    both are empty when an event comes out of quarantine.
    """

    storefront_id: int
    trust: Trust
    received_at: datetime
    content_type: str
    max_events: int
    retention_days: int | None = None
    is_bot: bool = False
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Decoded:
    """A body taken apart.

    events and indexes go together: indexes[i] is the place of events[i] in the request.
    raws: per event of the request a body that `decode` makes the same event of, without path and query; made only when
    an event is refused later.
    no_consent: places of events that must not be kept; counted, and nothing else.
    sent_ids: per event of the request its id as sent, where the reply has to name it.
    """

    events: list[Event]
    indexes: Sequence[int]
    raws: Callable[[], Sequence[bytes]]
    rejections: list[Rejection] = field(default_factory=list)
    sent_at: datetime | None = None
    no_consent: Sequence[int] = ()
    sent_ids: Sequence[str | None] = ()

    @property
    def received_count(self) -> int:
        return len(self.events) + len(self.rejections) + len(self.no_consent)

    def withhold(self) -> None:
        """Nobody of this request has consented."""
        self.no_consent = range(self.received_count)
        self.events, self.indexes, self.rejections = [], [], []


@dataclass(slots=True)
class IngestResult:
    """What became of a request. outcomes and event_ids by place in the request; no id for a refused event.

    sent_ids: see `Decoded`.
    """

    outcomes: list[Outcome]
    event_ids: list[str | None]
    rejections: list[Rejection]
    sent_ids: Sequence[str | None] = ()

    def count(self, outcome: Outcome) -> int:
        return self.outcomes.count(outcome)


class Reply(NamedTuple):
    """content: encoded as JSON unless it is bytes, which go out as they are, under media_type."""

    status: int
    content: Any
    media_type: str = "application/json"


class Stub(NamedTuple):
    """An address that a family's clients ask before they send, for what we have no settings for.

    path: as FastAPI writes it, `/v1/projects/{key}/settings`. answer: from the path's parameters.
    """

    path: str
    answer: Callable[[Mapping[str, str]], Reply]


class WireFormat(Protocol):
    """How one family of clients sends. Inherit from it: what most of them share is written here."""

    stubs: tuple[Stub, ...] = ()
    # Without a body, and so with everything in the query, when GET is among them.
    methods: tuple[str, ...] = ("POST",)
    # Clients of most families repeat what was answered 503, and some throw away what was answered 429.
    understands_too_many: bool = False

    @property
    def name(self) -> str: ...  # metric label and folder under tests/golden/

    @property
    def paths(self) -> tuple[str, ...]: ...

    def key(self, body: bytes, query: Mapping[str, str]) -> str | None:
        """The key where only this family has it; asked when it is in none of the places that `caller` knows.

        Pure, and never raises. body: decompressed, of any content.
        """
        del body, query
        return None

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        """Pure. Raises errors.FootfallError (400, 413, 415) when the body as a whole can't be used."""
        ...

    def reply(self, result: IngestResult, query: Mapping[str, str]) -> Reply:
        """What the sender expects."""
        ...
