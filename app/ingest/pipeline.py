"""Runs decoded events through the steps; knows no HTTP and no SQL."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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


# Why some events are refused, by their place among those that a step was given.
Faults = Mapping[int, Fault]
NO_FAULTS: Faults = {}
# Changes all events of a request in place, or returns why some of them are refused. All at once, because most steps
# can tell by one look at a request that there is nothing to do for any of its events.
Step = Callable[[Sequence[Event], Arrival], Faults]


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
    """Take the events through the steps; those refused move from `decoded.events` to `decoded.rejections`.

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
    refused: list[tuple[int, Fault]] = []
    for _, step in steps:
        faults = step(decoded.events, arrival)
        if faults:
            refused += [(decoded.indexes[place], fault) for place, fault in faults.items()]
            _leave_out(decoded, faults)
    decoded.customers_refused = arrival.customers_refused
    if refused:
        raws = decoded.raws()
        decoded.rejections += [Rejection(i, f.reason, f.pointer, f.detail, raws[i]) for i, f in refused]
        decoded.rejections.sort(key=lambda rejection: rejection.index)


def _leave_out(decoded: Decoded, faults: Faults) -> None:
    kept = [place for place in range(len(decoded.events)) if place not in faults]
    decoded.events = [decoded.events[place] for place in kept]
    decoded.indexes = [decoded.indexes[place] for place in kept]
