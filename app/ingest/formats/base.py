"""What a wire format is: bytes to events, outcome to reply. Foreign names stop inside a format's file."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from app.domain.context import Sender
from app.domain.event import Event, Trust
from app.domain.outcome import Outcome, Rejection


def no_key() -> None:
    """Where there is no browser to tell apart from others."""


@dataclass(slots=True)  # not frozen: that takes a microsecond more to make, once a request
class RequestContext:
    """What a decoder may know beside the body.

    content_type: without parameters, in lower case, "" if not given. path, query: of the address that was sent to;
    both are empty when an event comes out of quarantine.
    cookieless_key: makes a visitor key for one day, for a browser that names nobody; see `ingest.cookieless`. None for
    servers, and out of quarantine.
    sender: what the headers say of a browser. own_hosts: of the shop, see `ingest.context.campaign`.
    topic: of a webhook, as its header names it; "" for everything else, and out of quarantine.
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
    cookieless_key: Callable[[], str | None] = no_key
    sender: Sender | None = None
    own_hosts: frozenset[str] = frozenset()
    topic: str = ""


@dataclass(slots=True)
class Decoded:
    """A body taken apart.

    events and indexes go together: indexes[i] is the place of events[i] in the request.
    raws: per event of the request a body that `decode` makes the same event of, without path and query; made only when
    an event is refused later.
    no_consent: places of events that must not be kept; counted, and nothing else.
    for_reply: what else the format's own `reply` has to know, such as ids as they were sent.
    redacted: how many texts of each kind were taken out of the events. customers_refused: how many customer ids, as
    nobody's.
    """

    events: list[Event]
    indexes: Sequence[int]
    raws: Callable[[], Sequence[bytes]]
    rejections: list[Rejection] = field(default_factory=list)
    sent_at: datetime | None = None
    no_consent: Sequence[int] = ()
    for_reply: Sequence[Any] = ()
    redacted: Counter[str] = field(default_factory=Counter)
    customers_refused: int = 0

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

    for_reply: see `Decoded`.
    """

    outcomes: list[Outcome]
    event_ids: list[str | None]
    rejections: list[Rejection]
    for_reply: Sequence[Any] = ()

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


class WebhookShape(NamedTuple):
    """How a shop system sends what it signs with a secret of its own, instead of having a key of ours.

    signature_header: holds the Base64 of the HMAC-SHA256 of the body as sent. is_ping: of the body of an unsigned
    request, by which the system tries an address; answered 200 without storing anything.
    """

    topic_header: bytes
    signature_header: bytes
    is_ping: Callable[[bytes], bool]


class WireFormat(Protocol):
    """How one family of clients sends. Inherit from it: what most of them share is written here."""

    stubs: tuple[Stub, ...] = ()
    # Without a body, and so with everything in the query, when GET is among them.
    methods: tuple[str, ...] = ("POST",)
    # Clients of most families repeat what was answered 503, and some throw away what was answered 429.
    understands_too_many: bool = False
    # Whether the family's protocol has secrets in the address, so that a server key may stand there too.
    has_secret_in_address: bool = False
    # Set for shop systems: which of them sends is then said by `?id=`, and proven by the signature.
    webhook: WebhookShape | None = None

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
