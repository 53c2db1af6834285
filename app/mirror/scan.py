"""Filters and projects the mirror: which columns of which events, as numpy arrays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from app.domain.funnel import Alternative
from app.mirror.conditions import Shapes, all_sql
from app.mirror.follow import Mirror
from app.mirror.schema import first_row

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]

TIME_MAX_US = 2**62  # beyond every time we store
BITS_MAX = 63  # of a mask; DuckDB makes it as a signed number


@dataclass(frozen=True, slots=True)
class Wanted:
    """One bit of the mask: the events that match any of the alternatives (their `after` aside), from start_us on."""

    any_of: tuple[Alternative, ...]
    start_us: int


@dataclass(frozen=True, slots=True)
class Matches:
    """Events that match at least one wanted bit, in no particular order; one element per event in every column.

    visitor_id and customer_id: 0 when the event has none. mask: bit b set = matches wanted[b].
    """

    visitor_id: Int64s
    customer_id: Int64s
    occurred_at_us: Int64s
    seq: Int32s
    stored: Int64s
    mask: UInt64s


@dataclass(frozen=True, slots=True)
class Links:
    """Which visitor is which customer since when; sorted by visitor, then time."""

    visitor_id: Int64s
    customer_id: Int64s
    linked_at_us: Int64s


@dataclass(slots=True)
class Scan:
    """One consistent look at one storefront's events. events_read counts what the report's scans returned."""

    storefront_id: int
    as_of_us: int
    _cursor: duckdb.DuckDBPyConnection
    events_read: int = field(default=0)

    def matches(self, wanted: Sequence[Wanted], end_us: int, *, include_bots: bool = False) -> Matches:
        """Events before end_us that match any of the wanted bits (at most BITS_MAX of them)."""
        names = {name: name_id for name_id, name in self._cursor.execute("FROM event_name").fetchall()}
        mask_of_name, conditional_sql, parameters = _masks(wanted, names, self._shapes())
        found = self._fetch(
            f"""
            SELECT coalesce(visitor_id, 0) AS visitor_id, coalesce(customer_id, 0) AS customer_id, occurred_at_us, seq,
                   stored, name_id {conditional_sql}
            FROM event
            WHERE storefront_id = ? AND occurred_at_us < ? AND ({_relevant_sql(wanted, names)})
                  {"" if include_bots else "AND is_bot IS NULL"}
            """,  # noqa: S608  # made from our own words and numbers; names and values are bound
            [*parameters, self.storefront_id, min(end_us, TIME_MAX_US)],
        )
        mask = mask_of_name[found.pop("name_id")]
        self.events_read += len(mask)
        if conditional_sql:
            mask |= found.pop("conditional").view(np.uint64)
            kept = mask != 0
            return Matches(**{name: column[kept] for name, column in found.items()}, mask=mask[kept])
        return Matches(**found, mask=mask)

    def links(self) -> Links:
        found = self._fetch(
            """
            SELECT visitor_id, customer_id, linked_at_us FROM visitor_link WHERE storefront_id = ?
            ORDER BY visitor_id, linked_at_us, customer_id
            """,
            [self.storefront_id],
        )
        return Links(found["visitor_id"], found["customer_id"], found["linked_at_us"])

    def _shapes(self) -> Shapes:
        query = "SELECT shape_id, names FROM property_shape WHERE storefront_id = ?"
        return Shapes(self._cursor.execute(query, [self.storefront_id]).fetchall())

    def interrupt(self) -> None:
        """End a query that another thread is running on this scan; it raises duckdb.InterruptException there."""
        self._cursor.interrupt()

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
        # By way of Arrow, which is twice as fast as DuckDB's own conversion to numpy.
        table = self._cursor.sql(sql, params=list(parameters)).to_arrow_table()
        return {name: table.column(name).to_numpy() for name in table.column_names}


def _masks(wanted: Sequence[Wanted], names: dict[str, int], shapes: Shapes) -> tuple[UInt64s, str, list[Any]]:
    """Per name the bits that need no condition, and one more column in SQL, with its parameters, for those that do."""
    mask_of_name = np.zeros(max(names.values(), default=-1) + 1, np.uint64)
    terms: list[str] = []
    parameters: list[Any] = []
    for bit, want in enumerate(wanted):
        conditional: list[str] = []
        for alternative in want.any_of:
            name_id = names.get(alternative.event_name)
            if name_id is None:
                continue
            if not alternative.where:
                mask_of_name[name_id] |= np.uint64(1 << bit)
                continue
            sql, values = all_sql(alternative.where, shapes)
            conditional.append(f"(name_id = {name_id} AND {sql})")
            parameters += values
        if conditional:
            terms.append(f"CASE WHEN {' OR '.join(conditional)} THEN {1 << bit} ELSE 0 END")
    column = f", ({' | '.join(terms)})::BIGINT AS conditional" if terms else ""
    return mask_of_name, column, parameters


def _relevant_sql(wanted: Sequence[Wanted], names: dict[str, int]) -> str:
    """Rows worth reading: per name, from the earliest time that any bit wants it."""
    starts: dict[int, int] = {}
    for want in wanted:
        for alternative in want.any_of:
            name_id = names.get(alternative.event_name)
            if name_id is not None:
                starts[name_id] = min(starts.get(name_id, TIME_MAX_US), want.start_us)
    groups = {start: [name_id for name_id in starts if starts[name_id] == start] for start in set(starts.values())}
    parts = [
        f"(occurred_at_us >= {start} AND name_id IN ({', '.join(map(str, name_ids))}))"
        for start, name_ids in groups.items()
    ]
    return " OR ".join(parts) or "false"


@contextmanager
def open_scan(mirror: Mirror, storefront_id: int) -> Iterator[Scan]:
    """A consistent look at what the mirror holds now; nothing a follower adds meanwhile shows in it."""
    with mirror.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            row = first_row(cursor.execute("SELECT as_of_us FROM follower"))
            as_of_us = row[0] if row else None
            assert as_of_us is not None, "catch_up() comes first"
            yield Scan(storefront_id, as_of_us, cursor)
        finally:
            cursor.execute("ROLLBACK")
