"""A mirror in memory that is filled by hand: journeys in, what the compiled matcher makes of them out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from app.domain.funnel import FunnelDefinition
from app.match.sequence import MatchResult
from app.mirror.follow import Mirror
from app.mirror.scan import open_scan
from app.reports.funnel.matching import match_funnel
from app.reports.funnel.result import FunnelResult, shape_funnel
from tests.journeys import JourneyEvent

MEMORY_BYTES = 256 * 1024**2

EVENT_SCHEMA = pa.schema(
    [
        ("storefront_id", pa.int32()),
        ("stored", pa.int64()),
        ("visitor_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("name_id", pa.int32()),
        ("occurred_at_us", pa.int64()),
        ("seq", pa.int32()),
        ("properties", pa.string()),
        ("shape_id", pa.int32()),
    ]
)
INSERT_EVENTS = """
    INSERT INTO event
    SELECT storefront_id, stored, visitor_id, customer_id, NULL, name_id, occurred_at_us, seq, 1, NULL, NULL,
           properties, shape_id, NULL
    FROM incoming
"""


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
    """One person's result. It does not say whose: the matcher does not either."""

    depth: int
    times_us: tuple[int, ...]
    last_entry_us: int


class JourneyMirror:
    """Every call has a storefront of its own, so calls do not see each other's events."""

    def __init__(self) -> None:
        self._mirror = Mirror(Path(":memory:"), "no Postgres behind it", memory_bytes=MEMORY_BYTES)
        self._mirror.open()
        self._storefront_id = 0
        self._names: dict[str, int] = {}
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
    ) -> list[Matched]:
        """One result per person who entered, sorted. Without `identity` every person is one visitor."""
        self._fill(events, identity or visitor_of(events), links)
        with open_scan(self._mirror, self._storefront_id) as scan:
            return persons(match_funnel(definition, scan))

    def matched_each(
        self, definitions: Sequence[FunnelDefinition], events: Sequence[JourneyEvent]
    ) -> list[list[Matched]]:
        """As `matched`, for several funnels of the same events."""
        self._fill(events, visitor_of(events), ())
        with open_scan(self._mirror, self._storefront_id) as scan:
            return [persons(match_funnel(definition, scan)) for definition in definitions]

    def report(self, definition: FunnelDefinition, events: Sequence[JourneyEvent], as_of_us: int) -> FunnelResult:
        self._fill(events, visitor_of(events), (), as_of_us)
        with open_scan(self._mirror, self._storefront_id) as scan:
            return shape_funnel(definition, match_funnel(definition, scan), scan)

    def _fill(
        self,
        events: Sequence[JourneyEvent],
        identity: Callable[[JourneyEvent], Identity],
        links: Sequence[Link],
        as_of_us: int = 0,
    ) -> None:
        self._storefront_id += 1
        self._shapes = {}
        rows = [self._row(event, identity(event)) for event in events]
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
            for link in links:
                row = [link.visitor_id, link.customer_id, self._storefront_id, link.linked_at_us]
                cursor.execute("INSERT OR REPLACE INTO visitor_link VALUES (?, ?, ?, ?)", row)
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

    def _row(self, event: JourneyEvent, identity: Identity) -> dict[str, object]:
        return {
            "storefront_id": self._storefront_id,
            "stored": event.stored,
            "visitor_id": identity.visitor_id,
            "customer_id": identity.customer_id,
            "name_id": self._names.setdefault(event.event_name, len(self._names)),
            "occurred_at_us": event.occurred_at_us,
            "seq": event.seq,
            **self._stored(event),
        }


def visitor_of(events: Sequence[JourneyEvent]) -> Callable[[JourneyEvent], Identity]:
    numbers = {person: number for number, person in enumerate(sorted({e.person for e in events}), start=1)}
    return lambda event: Identity(visitor_id=numbers[event.person])


def persons(found: MatchResult) -> list[Matched]:
    """The matcher's columns as one object per person, in an order of their own."""
    columns = zip(found.depth, found.chain_start, found.last_entry_us, strict=True)
    results = (
        Matched(int(depth), tuple(found.chain_us[start : start + depth].tolist()), int(last_entry_us))
        for depth, start, last_entry_us in columns
    )
    return sorted(results, key=lambda each: (each.depth, each.times_us, each.last_entry_us))
