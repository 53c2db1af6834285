"""Shapes: lists of property names that come together again and again.

An event of a known shape stores the shape's number and the array of its values. That saves a quarter of what an event
takes on disk and to copy around, because a shop's events have few shapes and long names.
"""

from collections import Counter
from collections.abc import Sequence

import asyncpg
import msgspec

from app.domain.event import Event
from app.storage.copy_rows import Properties

# Names that made up anew for every event are never learned, so nobody can fill the table with them.
LEARN_AFTER_EVENTS = 8
CANDIDATES_MAX = 10_000
KNOWN_MAX = 20_000
UNKNOWN = -1
SHAPES_PER_STOREFRONT_MAX = 1_000
# Of the names together, with what an array adds: an index entry has to fit into a third of a page.
NAMES_MAX_BYTES = 2_000
NAME_OVERHEAD_BYTES = 8

# Purpose: the number of a shape ($1 storefront, $2 names), adding it if there is room ($3 shapes a storefront).
LEARN = """
    WITH added AS (
        INSERT INTO property_shape (storefront_id, names)
        SELECT $1, $2 WHERE (SELECT count(*) FROM property_shape WHERE storefront_id = $1) < $3
        ON CONFLICT DO NOTHING RETURNING shape_id
    )
    SELECT shape_id FROM added
    UNION ALL SELECT shape_id FROM property_shape WHERE storefront_id = $1 AND names = $2
"""

Shape = tuple[int, tuple[str, ...]]  # (storefront_id, names)

_encode = msgspec.json.Encoder().encode
_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Shapes:
    """The shapes this process knows; None for one that there is no room for."""

    def __init__(self) -> None:
        self._known: dict[Shape, int | None] = {}
        self._candidates: Counter[Shape] = Counter()

    async def properties(self, connection: asyncpg.Connection, events: Sequence[Event]) -> list[Properties]:
        """Every event's properties as they are stored. What is learned is committed at once: outside a transaction."""
        known = self._known
        shapes = [(event.storefront_id, tuple(event.properties)) for event in events]
        shape_ids = [known.get(shape, UNKNOWN) for shape in shapes]
        if UNKNOWN in shape_ids:
            new = [shape for shape, found in zip(shapes, shape_ids, strict=True) if found == UNKNOWN]
            await self._learn(connection, new)
            shape_ids = [known.get(shape) for shape in shapes]
        return [
            (shape_id, _encode(event.properties if shape_id is None else list(event.properties.values())))
            for shape_id, event in zip(shape_ids, events, strict=True)
        ]

    async def _learn(self, connection: asyncpg.Connection, shapes: Sequence[Shape]) -> None:
        # What can't be learned is not even counted: its names may take up any room.
        new = Counter(filter(_fits, shapes))
        self._candidates.update(new)
        for shape in new:
            if self._candidates[shape] >= LEARN_AFTER_EVENTS:
                del self._candidates[shape]
                self._known[shape] = await _learned(connection, *shape)
        if len(self._candidates) > CANDIDATES_MAX:
            self._candidates.clear()
        if len(self._known) > KNOWN_MAX:
            self._known.clear()


def _fits(shape: Shape) -> bool:
    names = shape[1]
    return 0 < sum(len(name.encode()) + NAME_OVERHEAD_BYTES for name in names) <= NAMES_MAX_BYTES


async def _learned(connection: asyncpg.Connection, storefront_id: int, names: tuple[str, ...]) -> int | None:
    arguments = (storefront_id, list(names), SHAPES_PER_STOREFRONT_MAX)
    shape_id: int | None = await connection.fetchval(LEARN, *arguments)
    if shape_id is None:  # no room; or another process added it just now, which the next statement sees
        shape_id = await connection.fetchval(LEARN, *arguments)
    return shape_id


def properties_object(stored: str, names: Sequence[str] | None) -> str:
    """The JSON object, as text, with every value just as it is stored.

    stored: `event.properties`, an object, or, when the event has a shape, an array of values. names: of its shape.
    """
    if names is None:
        return stored
    return _encode(dict(zip(names, _decode_values(stored.encode()), strict=True))).decode()
