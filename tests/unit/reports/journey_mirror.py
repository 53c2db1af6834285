"""A mirror in memory that is filled by hand: journeys in, what the compiled matcher makes of them out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from app.domain.funnel import FunnelDefinition
from app.mirror.follow import Mirror
from app.mirror.scan import Scan, open_scan
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.result import FunnelResult, shape_funnel
from tests.journeys import JourneyEvent

MEMORY_BYTES = 256 * 1024**2
CACHE_BYTES = 64 * 1024**2

EVENT_SCHEMA = pa.schema(
    [
        ("storefront_id", pa.int32()),
        ("stored", pa.int64()),
        ("visitor_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("account_id", pa.int64()),
        ("url", pa.string()),
        ("referrer", pa.string()),
        ("name_id", pa.int32()),
        ("occurred_at_us", pa.int64()),
        ("received_at_us", pa.int64()),
        ("seq", pa.int32()),
        ("properties", pa.string()),
        ("shape_id", pa.int32()),
        ("trust", pa.int8()),
        ("row_number", pa.int64()),
    ]
)
INSERT_EVENTS = "INSERT INTO event BY NAME FROM incoming"


class Identity(NamedTuple):
    """Whom an event names: a visitor, a customer, or both."""

    visitor_id: int | None = None
    customer_id: int | None = None


class Link(NamedTuple):
    visitor_id: int
    customer_id: int
    linked_at_us: int


@dataclass(frozen=True)
class Matched:
    """One actor's result, or an attempt's. times_us, stored: when each event of the reported chain happened, and its
    rank in the order of storing; None: the step was skipped."""

    depth: int
    times_us: tuple[int | None, ...]
    stored: tuple[int | None, ...]
    in_progress: bool


class JourneyMirror:
    """Every call has a storefront of its own, so calls do not see each other's events."""

    def __init__(self) -> None:
        nowhere = Path(":memory:")
        self._mirror = Mirror(nowhere, "no Postgres", memory_bytes=MEMORY_BYTES, cache_bytes=CACHE_BYTES)
        self._mirror.open()
        self._storefront_id = 0
        self._names: dict[str, int] = {}
        self._accounts: dict[str, int] = {}
        self._written_names: set[str] = set()
        self._shapes: dict[tuple[str, ...], int] = {}  # of this storefront, numbered on through all of them
        self._shape_count = 0

    def close(self) -> None:
        self._mirror.close()

    def matched(
        self,
        definition: FunnelDefinition,
        events: Sequence[JourneyEvent],
        *,
        identity: Callable[[JourneyEvent], Identity] | None = None,
        links: Sequence[Link] = (),
        as_of_us: int = 0,
    ) -> list[Matched]:
        """One result per actor who entered, sorted. Without `identity` every person is one visitor."""
        self._fill(events, identity or visitor_of(events), links, as_of_us)
        with open_scan(self._mirror, self._storefront_id) as scan:
            return results(match_funnel(definition, scan))

    def matched_each(
        self, definitions: Sequence[FunnelDefinition], events: Sequence[JourneyEvent]
    ) -> list[list[Matched]]:
        """As `matched`, for several funnels of the same events."""
        self._fill(events, visitor_of(events), ())
        with open_scan(self._mirror, self._storefront_id) as scan:
            return [results(match_funnel(definition, scan)) for definition in definitions]

    def report(self, definition: FunnelDefinition, events: Sequence[JourneyEvent], as_of_us: int) -> FunnelResult:
        self._fill(events, visitor_of(events), (), as_of_us)
        with open_scan(self._mirror, self._storefront_id) as scan:
            return shape_funnel(match_funnel(definition, scan), scan)

    @contextmanager
    def scan(
        self,
        events: Sequence[JourneyEvent],
        as_of_us: int,
        *,
        identity: Callable[[JourneyEvent], Identity] | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Scan]:
        """A look at these events, for a report to be asked with."""
        self._fill(events, identity or visitor_of(events), links, as_of_us)
        with open_scan(self._mirror, self._storefront_id) as scan:
            yield scan

    def _fill(
        self,
        events: Sequence[JourneyEvent],
        identity: Callable[[JourneyEvent], Identity],
        links: Sequence[Link],
        as_of_us: int = 0,
    ) -> None:
        self._storefront_id += 1
        self._shapes = {}
        rows = [self._row(number, event, identity(event)) for number, event in enumerate(events)]
        with self._mirror.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("UPDATE follower SET as_of_us = ?", [as_of_us])
            cursor.register("incoming", pa.Table.from_pylist(rows, EVENT_SCHEMA))
            cursor.execute(INSERT_EVENTS)
            for name in [name for name in self._names if name not in self._written_names]:
                cursor.execute("INSERT INTO event_name VALUES (?, ?)", [self._names[name], name])
                self._written_names.add(name)
            for names, shape_id in self._shapes.items():
                cursor.execute("INSERT INTO property_shape VALUES (?, ?, ?)", [shape_id, self._storefront_id, names])
            in_order = sorted(links, key=lambda link: (link.visitor_id, link.linked_at_us, link.customer_id))
            for place, link in enumerate(in_order):
                row = [link.visitor_id, link.customer_id, self._storefront_id, *[link.linked_at_us] * 2, place]
                cursor.execute("INSERT INTO visitor_link VALUES (?, ?, ?, ?, ?, ?)", row)
            cursor.execute("COMMIT")

    def _stored(self, event: JourneyEvent) -> dict[str, object]:
        """Every second event has a shape, as if its names had come together often."""
        properties = event.properties
        if event.stored % 2 or not properties:
            return {"properties": msgspec.json.encode(properties).decode(), "shape_id": None}
        names = tuple(properties)
        if names not in self._shapes:
            self._shape_count += 1
            self._shapes[names] = self._shape_count
        return {
            "properties": msgspec.json.encode(list(properties.values())).decode(),
            "shape_id": self._shapes[names],
        }

    def _row(self, row_number: int, event: JourneyEvent, identity: Identity) -> dict[str, object]:
        return {
            "storefront_id": self._storefront_id,
            "stored": event.stored,
            "visitor_id": identity.visitor_id,
            "customer_id": identity.customer_id,
            "account_id": event.account and self._accounts.setdefault(event.account, len(self._accounts) + 1),
            "url": event.dimensions.get("url"),
            "referrer": event.dimensions.get("referrer"),
            "name_id": self._names.setdefault(event.event_name, len(self._names)),
            "occurred_at_us": event.occurred_at_us,
            "received_at_us": event.occurred_at_us if event.received_at_us is None else event.received_at_us,
            "seq": event.seq,
            "trust": 1,
            "row_number": row_number,
            **self._stored(event),
        }


def visitor_of(events: Sequence[JourneyEvent]) -> Callable[[JourneyEvent], Identity]:
    numbers = {person: number for number, person in enumerate(sorted({e.person for e in events}), start=1)}
    return lambda event: Identity(visitor_id=numbers[event.person])


def results(attempts: Attempts) -> list[Matched]:
    """The columns as one object per result, in an order of their own."""
    found = []
    positions = np.stack([attempts.positions(index) for index in range(len(attempts.definition.steps))], axis=1)
    for chain, depth, is_open in zip(positions, attempts.depth, attempts.is_open, strict=True):
        rows = [None if position < 0 else attempts.sequences.row[position] for position in chain[:depth]]
        times_us = tuple(None if row is None else int(attempts.events.occurred_at_us[row]) for row in rows)
        stored = tuple(None if row is None else int(attempts.events.stored[row]) for row in rows)
        found.append(Matched(int(depth), times_us, stored, bool(is_open)))
    return sorted(found, key=repr)
