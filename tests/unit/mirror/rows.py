"""A mirror in memory that is filled row by row, as the follower would."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa

from app.mirror.follow import Mirror
from app.mirror.incoming import INSERT_EVENTS, Numbering
from app.mirror.scan import Scan, open_scan

MEMORY_BYTES = 256 * 1024**2
SCHEMA = pa.schema(
    [
        *(
            (name, pa.int32())
            for name in ("storefront_id", "seq", "shape_id", "trust", "device_context_id", "campaign_context_id")
        ),
        *((name, pa.int64()) for name in ("stored", "visitor_id", "customer_id", "account_id")),
        *((name, pa.string()) for name in ("event_name", "url", "referrer", "properties")),
        *((name, pa.timestamp("us")) for name in ("occurred_at", "received_at")),
        ("is_bot", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Row:
    """One event. shaped: its properties are stored as the array of their values. Times are microseconds."""

    event_name: str = "product_viewed"
    properties: Mapping[str, object] = field(default_factory=dict)
    shaped: bool = False
    url: str | None = None
    referrer: str | None = None
    occurred_at: int = 0
    received_at: int = 0
    visitor_id: int | None = 1
    customer_id: int | None = None
    account_id: int | None = None
    storefront_id: int = 1
    trust: int = 1
    seq: int = 0
    is_bot: bool | None = None
    device_context_id: int | None = None
    campaign_context_id: int | None = None


class FilledMirror:
    def __init__(self, cache_bytes: int) -> None:
        self.mirror = Mirror(
            Path(":memory:"), "no Postgres behind it", memory_bytes=MEMORY_BYTES, cache_bytes=cache_bytes
        )
        self.mirror.open()
        self._numbering = Numbering()
        self._shapes: dict[tuple[int, tuple[str, ...]], int] = {}
        self._stored = 0
        self.execute("UPDATE follower SET as_of_us = 0")

    def add(self, *rows: Row) -> None:
        with self.mirror.cursor() as cursor:
            cursor.execute("BEGIN")
            stored = [self._as_stored(row) for row in rows]
            cursor.execute("DELETE FROM property_shape")
            for (storefront_id, names), shape_id in self._shapes.items():
                cursor.execute("INSERT INTO property_shape VALUES (?, ?, ?)", [shape_id, storefront_id, names])
            [batch] = pa.Table.from_pylist(stored, SCHEMA).to_batches()
            cursor.register("incoming", pa.Table.from_batches([self._numbering.number(cursor, batch)]))
            cursor.execute(INSERT_EVENTS)
            cursor.execute("COMMIT")

    def execute(self, statement: str) -> None:
        with self.mirror.cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def scan(self, storefront_id: int = 1) -> Iterator[Scan]:
        with open_scan(self.mirror, storefront_id) as scan:
            yield scan

    def _as_stored(self, row: Row) -> dict[str, object]:
        self._stored += 1
        names = tuple(row.properties)
        shape_id = self._shapes.setdefault((row.storefront_id, names), len(self._shapes) + 1) if row.shaped else None
        properties = list(row.properties.values()) if row.shaped else dict(row.properties)
        return {
            **asdict(row),
            "stored": self._stored,
            "shape_id": shape_id,
            "properties": msgspec.json.encode(properties).decode(),
        }
