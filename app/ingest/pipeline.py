"""Runs decoded events through the steps; knows no HTTP and no SQL."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.context import Sender
from app.domain.event import Event
from app.domain.outcome import Rejection, RejectReason
from app.ingest.formats.base import Decoded, no_key


@dataclass(slots=True, frozen=True)
class Fault:
    """Why a step refuses an event."""

    reason: RejectReason
    pointer: str
    detail: str


@dataclass(slots=True)
class Arrival:
    """What the steps may know of the request. retention_days: of its storefront, None = all is kept.

    sender, own_hosts, cookieless_key: see `RequestContext`. redacts: whether texts are taken out; redacted counts
    them, by kind.
    customers_refused: customer ids taken out, as nobody's.
    """

    received_at: datetime
    sent_at: datetime | None
    retention_days: int | None = None
    sender: Sender | None = None
    own_hosts: frozenset[str] = frozenset()
    cookieless_key: Callable[[], str | None] = no_key
    redacts: bool = True
    redacted: Counter[str] = field(default_factory=Counter)
    customers_refused: int = 0


# Changes the event in place, or returns why it is refused.
Step = Callable[[Event, Arrival], Fault | None]


def run_pipeline(
    decoded: Decoded,
    received_at: datetime,
    steps: Sequence[tuple[str, Step]],
    *,
    retention_days: int | None = None,
    sender: Sender | None = None,
    own_hosts: frozenset[str] = frozenset(),
    cookieless_key: Callable[[], str | None] = no_key,
    redacts: bool = True,
) -> None:
    """Take every event through the steps; those refused move from `decoded.events` to `decoded.rejections`.

    The keywords are those of `Arrival`.
    """
    arrival = Arrival(
        received_at,
        decoded.sent_at,
        retention_days,
        sender,
        own_hosts,
        cookieless_key,
        redacts,
        decoded.redacted,
    )
    kept: list[Event] = []
    indexes: list[int] = []
    refused: list[tuple[int, Fault]] = []
    for index, event in zip(decoded.indexes, decoded.events, strict=True):
        fault = _first_fault(event, arrival, steps)
        if fault is None:
            kept.append(event)
            indexes.append(index)
        else:
            refused.append((index, fault))
    decoded.customers_refused = arrival.customers_refused
    if refused:
        raws = decoded.raws()
        decoded.events, decoded.indexes = kept, indexes
        decoded.rejections += [Rejection(i, f.reason, f.pointer, f.detail, raws[i]) for i, f in refused]
        decoded.rejections.sort(key=lambda rejection: rejection.index)


def _first_fault(event: Event, arrival: Arrival, steps: Sequence[tuple[str, Step]]) -> Fault | None:
    for _, step in steps:
        fault = step(event, arrival)
        if fault is not None:
            return fault
    return None
