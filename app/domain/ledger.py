"""The ledger: what came in and what became of it, counted apart so that sums can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from app.domain.event import Event
from app.domain.outcome import Outcome, RefusedEvent

# Refused events that are replayed are received once more, under a source of their own, and stored or duplicates there.
# What they were before stays: received and rejected by their format. So each line adds up by itself. They count in the
# minute in which they first came, and only when they are stored: trying a replay out leaves no trace.
REPLAY_SOURCE = "replay"
# Stored events that were deleted on purpose since, in the minute in which they came: by an erasure or by retention.
ERASED_SOURCE = "erased"


@dataclass(slots=True)
class Received:
    """What one request brought, counted at the door before anything is done with it.

    source: the wire format's name, or REPLAY_SOURCE. no_consent: events left out for want of consent.
    limited: 1 for a request refused by a rate limit; its body is not read, so it counts as one event.
    """

    storefront_id: int
    source: str
    received_at: datetime
    received: int
    no_consent: int = 0
    limited: int = 0


@dataclass(slots=True)
class LedgerLine:
    """One minute of one source. bot: stored and marked as a bot's; `stored` counts the others."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    bot: int = 0
    no_consent: int = 0
    limited: int = 0


LedgerKey = tuple[int, str, datetime]  # storefront_id, source, start of the minute


_door = attrgetter("storefront_id", "source", "received_at", "is_bot")


def ledger_lines(
    received: Iterable[Received], events: Sequence[Event], outcomes: Sequence[Outcome], refused: Iterable[RefusedEvent]
) -> dict[LedgerKey, LedgerLine]:
    """The lines that one commit adds. outcomes: of the events, in their order."""
    lines: dict[LedgerKey, LedgerLine] = {}

    def line(storefront_id: int, source: str, at: datetime) -> LedgerLine:
        key = (storefront_id, source, at.replace(second=0, microsecond=0))
        known = lines.get(key)
        if known is None:  # hardly ever, of the requests of a commit
            known = lines[key] = LedgerLine()
        return known

    for part in received:
        door = line(part.storefront_id, part.source, part.received_at)
        door.received += part.received
        door.no_consent += part.no_consent
        door.limited += part.limited
    # Events of one request follow each other and share all this: counted in bulk, they cost next to nothing each.
    fates = zip(map(_door, events), outcomes, strict=True)
    for ((storefront_id, source, at, is_bot), outcome), alike in groupby(fates):
        fate, count = line(storefront_id, source, at), len(list(alike))
        if outcome is Outcome.DUPLICATE:
            fate.duplicate += count
        elif is_bot:
            fate.bot += count
        else:
            fate.stored += count
    for event in refused:
        line(event.storefront_id, event.format, event.received_at).rejected += 1
    return lines
