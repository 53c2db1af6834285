"""Filters and projects the mirror: which columns of which events, as numpy arrays."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.domain.order import ORDER_COMPLETED
from app.mirror.columns import Column, ColumnCache, H, Subject
from app.mirror.conditions import Shapes, text_sql
from app.mirror.follow import Mirror
from app.mirror.orders import OrderIds, no_order_ids, order_rows
from app.mirror.resident import BYTES_PER_EVENT, Rows
from app.mirror.schema import first_row
from app.mirror.seen import EVENTS_OF_ROWS, Seen, seen_events
from app.mirror.texts import Coded, texts_of_rows
from app.mirror.wanted import BITS_MAX, TIME_MAX_US, Wanted, masks, relevant_sql, spans

# All that a report asks a scan with, or gets from it.
__all__ = [
    "BITS_MAX",
    "TIME_MAX_US",
    "ByName",
    "Coded",
    "Column",
    "Links",
    "Matches",
    "Rows",
    "Scan",
    "Seen",
    "Subject",
    "Together",
    "Wanted",
    "Whose",
    "open_scan",
]

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]

# The parameters are those of a Whose.
OF_WHOM = "AND (list_contains(?::BIGINT[], visitor_id) OR list_contains(?::BIGINT[], customer_id))"
# Purpose: whom a customer, or a visitor, ({whose}: $2, of storefront $1) was seen with: since and until when, and the
# times at which that was undone.
SEEN_TOGETHER = """
    SELECT visitor_id, customer_id, min(occurred_at_us), max(occurred_at_us), any_value(undone_at_us), count(*)
    FROM event LEFT JOIN (
        SELECT visitor_id, customer_id, list(until_us ORDER BY until_us) AS undone_at_us
        FROM visitor_unlink GROUP BY visitor_id, customer_id
    ) USING (visitor_id, customer_id)
    WHERE storefront_id = ? AND {whose} = ? AND visitor_id IS NOT NULL AND customer_id IS NOT NULL
    GROUP BY visitor_id, customer_id ORDER BY max(occurred_at_us) DESC, visitor_id, customer_id
"""
# Purpose: the rows [$2, $3) of a storefront ($1) as `Resident.extended` takes them.
RESIDENT_ROWS = """
    SELECT row_number, name_id, occurred_at_us, coalesce(visitor_id, 0) AS visitor_id,
           coalesce(customer_id, 0) AS customer_id, seq, stored, is_bot IS NOT NULL AS is_bot
    FROM event WHERE storefront_id = ? AND row_number >= ? AND row_number < ?
"""
NO_NAME = -1  # name_id of a name that nobody ever sent
PIECE_ROWS = 1_000_000  # read at once into a column: bounds what is held besides the column itself


class Together(NamedTuple):
    """A visitor and a customer that events name both. undone_at_us: ascending."""

    visitor_id: int
    customer_id: int
    first_us: int
    last_us: int
    undone_at_us: list[int] | None
    event_count: int


class Whose(NamedTuple):
    """Visitors and customers, by our ids."""

    visitor_ids: Sequence[int]
    customer_ids: Sequence[int]


@dataclass(frozen=True)
class Matches:
    """Events that match at least one wanted bit; one element per event in every column.

    row_number: the event's place in a `Column` of the same storefront. mask: bit b set = matches wanted[b].
    visitor_id, customer_id and account_id: 0 when the event has none; account_id is empty unless it was asked for.
    These and seq and stored are made when somebody asks for them. find: makes a column.
    """

    row_number: Int64s
    occurred_at_us: Int64s
    mask: UInt64s
    find: Callable[[str], npt.NDArray[Any]]

    @cached_property
    def visitor_id(self) -> Int64s:
        return self.find("visitor_id")

    @cached_property
    def customer_id(self) -> Int64s:
        return self.find("customer_id")

    @cached_property
    def account_id(self) -> Int64s:
        return self.find("account_id")

    @cached_property
    def seq(self) -> Int32s:
        return self.find("seq")

    @cached_property
    def stored(self) -> Int64s:
        return self.find("stored")

    @staticmethod
    def of(columns: dict[str, npt.NDArray[Any]], mask: UInt64s) -> "Matches":
        columns.setdefault("account_id", np.empty(0, np.int64))
        return Matches(columns["row_number"], columns["occurred_at_us"], mask, columns.__getitem__)


class ByName(NamedTuple):
    """Wanted events that their name and time tell. By name_id: the mask, and the times [from_us, to_us) at which it is
    wanted."""

    mask_of_name: UInt64s
    from_us: Int64s
    to_us: Int64s


@dataclass(frozen=True, slots=True)
class Links:
    """Which visitor is which customer since when; sorted by visitor, then in the order in which they took effect."""

    visitor_id: Int64s
    customer_id: Int64s
    linked_at_us: Int64s


@dataclass(slots=True)
class Scan:
    """One consistent look at one storefront's events. events_read counts what the report's scans returned."""

    storefront_id: int
    as_of_us: int
    _cursor: duckdb.DuckDBPyConnection
    _cache: ColumnCache
    _generation: int  # of the cache, when the look began
    events_read: int = field(default=0)
    # Compiled passes look at it now and then, and end when it is set.
    stop: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1, np.uint8))
    _columns: dict[Subject, Column] = field(default_factory=dict)
    # Asked for once; a look always sees the same.
    _rows: Rows | None = None
    _row_count_found: int | None = None
    _names_found: dict[str, int] | None = None
    _shapes_found: Shapes | None = None

    def matches(
        self,
        wanted: Sequence[Wanted],
        end_us: int,
        *,
        include_bots: bool = False,
        every_event_from_us: int | None = None,
        with_account: bool = False,
        as_of_us: int | None = None,
        whose: Whose | None = None,
    ) -> Matches:
        """Events before end_us that match any of the wanted bits (at most BITS_MAX of them).

        every_event_from_us: from then on events that match none are returned too, with mask 0.
        as_of_us: only events received before it. whose: only events that name one of these.
        """
        names = self._names()
        mask_of_name, conditional_sql, parameters = masks(wanted, names, self._shapes())
        every_from_us = TIME_MAX_US if every_event_from_us is None else every_event_from_us
        found = self._fetch(
            f"""
            SELECT coalesce(visitor_id, 0) AS visitor_id, coalesce(customer_id, 0) AS customer_id, occurred_at_us, seq,
                   stored, row_number, name_id
                   {", coalesce(account_id, 0) AS account_id" if with_account else ""} {conditional_sql}
            FROM event
            WHERE storefront_id = ? AND occurred_at_us < ? AND ({relevant_sql(wanted, names, every_from_us)})
                  {"" if include_bots else "AND is_bot IS NULL"}
                  {"" if as_of_us is None else f"AND received_at_us < {as_of_us}"}
                  {"" if whose is None else OF_WHOM}
            """,  # noqa: S608  # made from our own words and numbers; names and values are bound
            [*parameters, self.storefront_id, min(end_us, TIME_MAX_US), *(whose or ())],
        )
        mask = mask_of_name[found.pop("name_id")]
        self.events_read += len(mask)
        if conditional_sql:
            mask |= found.pop("conditional").view(np.uint64)
            kept = (mask != 0) | (found["occurred_at_us"] >= every_from_us)
            mask = mask[kept]
            found = {name: column[kept] if len(column) else column for name, column in found.items()}
        return Matches.of(found, mask)

    def by_name(self, wanted: Sequence[Wanted]) -> ByName | None:
        """The same as numbers, for a pass over `rows`; None when there is more to it than names and times."""
        names = self._names()
        mask_of_name, conditional_sql, _ = masks(wanted, names, self._shapes())
        times = None if conditional_sql else spans(wanted, names)
        return None if times is None else ByName(mask_of_name, *times)

    def every_event(
        self, end_us: int, *, start_us: int = -TIME_MAX_US, include_bots: bool = False, as_of_us: int | None = None
    ) -> Iterator[Matches]:
        """All events in [start_us, end_us), some at a time and with mask 0; as_of_us: only those received before it."""
        for start in range(0, self._row_count(), PIECE_ROWS):
            found = self._fetch(
                f"""
                SELECT coalesce(visitor_id, 0) AS visitor_id, coalesce(customer_id, 0) AS customer_id, occurred_at_us,
                       seq, stored, row_number
                FROM event
                WHERE storefront_id = ? AND row_number >= ? AND row_number < ?
                      AND occurred_at_us >= ? AND occurred_at_us < ?
                      {"" if include_bots else "AND is_bot IS NULL"}
                      {"" if as_of_us is None else f"AND received_at_us < {as_of_us}"}
                """,  # noqa: S608  # made from our own words and numbers
                [self.storefront_id, start, start + PIECE_ROWS, max(start_us, -TIME_MAX_US), min(end_us, TIME_MAX_US)],
            )
            count = len(found["row_number"])
            self.events_read += count
            yield Matches.of(found, np.zeros(count, np.uint64))

    def column(self, subject: Subject) -> Column:
        """What the subject is of every event of the storefront, by row_number. Raises Invalid for no such dimension."""
        if subject not in self._columns:
            sql, parameters = text_sql(subject, self._shapes())

            def pieces(first_row_number: int) -> Iterator[pa.Table]:
                for start in range(first_row_number, self._row_count(), PIECE_ROWS):
                    yield self._cursor.sql(
                        f"""
                        SELECT row_number::INTEGER AS row_number, {sql} AS text FROM event
                        WHERE storefront_id = ? AND row_number >= ? AND row_number < ?
                        """,  # noqa: S608  # made from our own words; names are bound
                        params=[*parameters, self.storefront_id, start, start + PIECE_ROWS],
                    ).to_arrow_table()

            self._columns[subject] = self._cache.column(self.storefront_id, subject, self._generation, pieces)
        return self._columns[subject]

    def texts(self, row_numbers: Int64s, subjects: Sequence[Subject]) -> Iterator[Coded]:
        """What each subject is of some events, see `texts_of_rows`."""
        return texts_of_rows(self._cursor, self.storefront_id, row_numbers, subjects, self._shapes())

    def held(self, word: str, empty: H, update: Callable[[H], H]) -> H:
        """What is kept in memory of the storefront's events from report to report, see `ColumnCache.held`."""
        return self._cache.held((self.storefront_id, word), self._generation, empty, update)

    def order_ids(self) -> OrderIds:
        """Which orders the events report."""

        def up_to_date(held: OrderIds) -> OrderIds:
            row_count, name_id = self._row_count(), self._names().get(ORDER_COMPLETED, NO_NAME)
            for first in range(held.row_count, row_count, PIECE_ROWS):
                end = min(first + PIECE_ROWS, row_count)
                found = order_rows(self._cursor, self.storefront_id, name_id, first, end, self._shapes())
                held = held.extended(found, end)
            return held

        return self.held("order ids", no_order_ids(), up_to_date)

    def rows(self, beside_bytes: int = 0) -> Rows | None:
        """The events that this look sees, by row_number, from memory; None when so many are not held there.

        beside_bytes: what the caller will keep of each event.
        """
        if self._rows is None:
            row_count = self._row_count()
            if row_count * (BYTES_PER_EVENT + beside_bytes) > self._cache.budget_bytes:
                return None

            def pieces(first_row_number: int) -> Iterator[pa.Table]:
                for start in range(first_row_number, row_count, PIECE_ROWS):
                    end = min(start + PIECE_ROWS, row_count)
                    yield self._cursor.sql(RESIDENT_ROWS, params=[self.storefront_id, start, end]).to_arrow_table()

            self._rows = self._cache.resident(self.storefront_id, self._generation, pieces).rows(row_count)
        return self._rows

    def _row_count(self) -> int:
        """One more than the highest row_number. Looks for it among the newest first."""
        if self._row_count_found is None:
            query = "SELECT max(row_number) + 1 FROM event WHERE storefront_id = ? AND row_number >= ?"
            newest = self._cache.resident_count(self.storefront_id) - 1
            rows = (first_row(self._cursor.execute(query, [self.storefront_id, least])) for least in (newest, 0))
            self._row_count_found = next((int(row[0]) for row in rows if row and row[0] is not None), 0)
        return self._row_count_found

    def events(self, row_numbers: Int64s) -> list[Seen]:
        """Events in full, in the order given; for a page of some thousands at most."""
        found = self._cursor.sql(EVENTS_OF_ROWS, params=[self.storefront_id, row_numbers.tolist()]).fetchall()
        return seen_events(row_numbers, found, self._shapes())

    def links(self) -> Links:
        found = self._fetch(
            """
            SELECT visitor_id, customer_id, since_us AS linked_at_us FROM visitor_link WHERE storefront_id = ?
            ORDER BY visitor_id, place
            """,
            [self.storefront_id],
        )
        return Links(found["visitor_id"], found["customer_id"], found["linked_at_us"])

    def seen_together(self, whose: Literal["visitor_id", "customer_id"], number: int) -> list[Together]:
        """Whom a visitor or a customer was ever seen with, the latest first."""
        found = self._cursor.execute(SEEN_TOGETHER.format(whose=whose), [self.storefront_id, number])
        together = [Together(*row) for row in found.fetchall()]
        self.events_read += sum(each.event_count for each in together)
        return together

    def _names(self) -> dict[str, int]:
        if self._names_found is None:
            self._names_found = {name: name_id for name_id, name in self._cursor.execute("FROM event_name").fetchall()}
        return self._names_found

    def _shapes(self) -> Shapes:
        if self._shapes_found is None:
            query = "SELECT shape_id, names FROM property_shape WHERE storefront_id = ?"
            self._shapes_found = Shapes(self._cursor.execute(query, [self.storefront_id]).fetchall())
        return self._shapes_found

    def interrupt(self) -> None:
        """End what another thread is running on this scan: a query raises duckdb.InterruptException there."""
        self.stop[0] = 1
        self._cursor.interrupt()

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
        # By way of Arrow, which is twice as fast as DuckDB's own conversion to numpy.
        table = self._cursor.sql(sql, params=list(parameters)).to_arrow_table()
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        # Compiled code for arrays that can't be written to would be other code, and compiled in the first report.
        return {name: column if column.flags.writeable else column.copy() for name, column in columns.items()}


@contextmanager
def open_scan(mirror: Mirror, storefront_id: int) -> Iterator[Scan]:
    """A consistent look at what the mirror holds now; nothing a follower adds meanwhile shows in it."""
    with mirror.cursor() as cursor:
        generation = mirror.columns.generation  # first: what was erased before it changed, the look does not see
        cursor.execute("BEGIN")
        try:
            yield Scan(storefront_id, _as_of_us(mirror, cursor), cursor, mirror.columns, generation)
        finally:
            cursor.execute("ROLLBACK")


def _as_of_us(mirror: Mirror, cursor: duckdb.DuckDBPyConnection) -> int:
    """The file's time is that of the look that wrote it; the follower knows if nothing has happened since."""
    row = first_row(cursor.execute("SELECT instance_id, snapshot, as_of_us FROM follower"))
    assert row is not None
    assert row[2] is not None, "catch_up() comes first"
    seen = mirror.seen
    return seen.as_of_us if seen is not None and seen[:2] == row[:2] else int(row[2])
