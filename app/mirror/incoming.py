"""Rows on their way from Postgres into the mirror: which are asked for, and how they become the mirror's."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.domain.context import Campaign, Device
from app.mirror.links import make_links, points_of, update_links

# Bits of `stored` for the place in a commit: room for a million events in one commit, and 2^43 transactions.
POSITION_BITS = 20

# Purpose: rows visible in this transaction's snapshot. {new} limits them to those that were not seen yet.
EVENTS = f"""
    SELECT storefront_id, (xid::text::bigint << {POSITION_BITS}) + position AS stored, visitor_id, customer_id,
           account_id, event_name, occurred_at, received_at, seq, trust, url, referrer, properties::text AS properties,
           shape_id, is_bot, device_context_id, campaign_context_id
    FROM event WHERE {{new}}
"""  # noqa: S608  # {{new}} is follow.NEW or TRUE
SHAPES = "SELECT shape_id, storefront_id, names FROM property_shape WHERE {new}"
CONTEXTS = {
    f"{table}_context": f"SELECT {table}_context_id, storefront_id, {', '.join(columns)} FROM {table}_context"  # noqa: S608  # our own words
    for table, columns in (("device", Device._fields), ("campaign", Campaign._fields))
}
UNLINKS = "SELECT visitor_id, customer_id, storefront_id, unlinked_at FROM visitor_unlink WHERE {new}"
# Purpose: what the sender calls some customers; numbers of ours, which this driver can't bind as an array.
CUSTOMER_KEYS = "SELECT customer_id, customer_key FROM customer WHERE customer_id IN ({customer_ids})"

INSERT_EVENTS = """
    INSERT INTO event BY NAME
    SELECT * EXCLUDE (event_name, occurred_at, received_at), epoch_us(occurred_at) AS occurred_at_us,
           epoch_us(received_at) AS received_at_us
    FROM incoming
"""
INSERT_SHAPES = "INSERT INTO property_shape SELECT shape_id, storefront_id, names FROM incoming"
# What a context does not say is an empty text in Postgres: its index would not find a NULL.
INSERT_CONTEXTS = """
    INSERT INTO {table} BY NAME
    SELECT {table}_id, storefront_id, nullif(COLUMNS(* EXCLUDE ({table}_id, storefront_id)), '') FROM incoming
"""
INSERT_UNLINKS = """
    INSERT INTO visitor_unlink SELECT visitor_id, customer_id, storefront_id, epoch_us(unlinked_at) FROM incoming
"""


class Numbering:
    """The numbers that the mirror gives: to the names of events, and to the rows of each storefront.

    They go on from those in the file, which are read when they are first needed. After a transaction that was rolled
    back, or when the file is another one, `forget` them.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._name_ids: dict[str, int] = {}
        self._next_rows: dict[int, int] | None = None  # per storefront_id; None: not read yet

    def number(self, mirror: duckdb.DuckDBPyConnection, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of events with the columns name_id and row_number."""
        if self._next_rows is None:
            self._name_ids = {name: name_id for name_id, name in mirror.execute("FROM event_name").fetchall()}
            query = "SELECT storefront_id, max(row_number) + 1 FROM event GROUP BY storefront_id"
            self._next_rows = dict(mirror.execute(query).fetchall())
        row_numbers = _row_numbers(batch.column("storefront_id").to_numpy(), self._next_rows)
        batch = batch.append_column("name_id", pa.array(self._names(mirror, batch)))
        return batch.append_column("row_number", pa.array(row_numbers))

    def _names(self, mirror: duckdb.DuckDBPyConnection, batch: pa.RecordBatch) -> npt.NDArray[np.int32]:
        names = batch.column("event_name").dictionary_encode()
        ids = np.empty(len(names.dictionary), np.int32)
        for place, name in enumerate(names.dictionary.to_pylist()):
            if name not in self._name_ids:
                self._name_ids[name] = len(self._name_ids)
                mirror.execute("INSERT INTO event_name VALUES (?, ?)", [self._name_ids[name], name])
            ids[place] = self._name_ids[name]
        found: npt.NDArray[np.int32] = ids[names.indices.to_numpy()]
        return found


def copy_rows(postgres: Any, mirror: duckdb.DuckDBPyConnection, new: str, numbering: Numbering) -> tuple[int, set[int]]:
    """Copy events, shapes, contexts and what was unlinked, for which `new` holds, and follow the links; runs in the
    caller's transactions.

    Returns how many events there were, and the storefronts that got anything.
    """
    touched: set[int] = set()

    def note(batch: pa.RecordBatch) -> pa.RecordBatch:
        touched.update(batch.column("storefront_id").unique().to_pylist())
        return batch

    postgres.execute(SHAPES.format(new=new))
    _each_batch(postgres, mirror, INSERT_SHAPES, note)
    for table, query in CONTEXTS.items():
        postgres.execute(f"{query} WHERE {new}")
        _each_batch(postgres, mirror, INSERT_CONTEXTS.format(table=table), note)
    unlinked: set[int] = set()
    points: list[pa.Table] = []

    def note_unlinked(batch: pa.RecordBatch) -> pa.RecordBatch:
        unlinked.update(batch.column("visitor_id").to_pylist())
        return note(batch)

    def note_event(batch: pa.RecordBatch) -> pa.RecordBatch:
        if new != "TRUE":
            points.append(points_of(batch))
        return numbering.number(mirror, note(batch))

    postgres.execute(UNLINKS.format(new=new))
    _each_batch(postgres, mirror, INSERT_UNLINKS, note_unlinked)
    postgres.execute(EVENTS.format(new=new))
    copied = _each_batch(postgres, mirror, INSERT_EVENTS, note_event)
    keys_of = partial(_customer_keys, postgres)
    if new == "TRUE":
        make_links(mirror, keys_of)
    else:
        update_links(mirror, points, unlinked, keys_of)
    return copied, touched


def _customer_keys(postgres: Any, customer_ids: Sequence[int]) -> dict[int, str]:
    postgres.execute(CUSTOMER_KEYS.format(customer_ids=", ".join(map(str, customer_ids))))
    return dict(postgres.fetchall())


def _each_batch(
    postgres: Any,
    mirror: duckdb.DuckDBPyConnection,
    insert: str,
    prepare: Callable[[pa.RecordBatch], pa.RecordBatch],
) -> int:
    """Stream the rows of the last query into the mirror; returns how many there were."""
    count = 0
    for batch in postgres.fetch_record_batch():
        if batch.num_rows:
            mirror.register("incoming", pa.Table.from_batches([prepare(batch)]))
            mirror.execute(insert)
            mirror.unregister("incoming")
            count += batch.num_rows
    return count


def _row_numbers(storefront_ids: npt.NDArray[np.int32], next_rows: dict[int, int]) -> npt.NDArray[np.int64]:
    """Each row's number within its storefront, in the order given; next_rows moves on."""
    storefronts, places, counts = np.unique(storefront_ids, return_inverse=True, return_counts=True)
    firsts = np.array([next_rows.get(storefront_id, 0) for storefront_id in storefronts.tolist()], np.int64)
    by_storefront = np.argsort(places, kind="stable")
    row_numbers = np.empty(len(places), np.int64)
    # Sorted by storefront, each one's rows are a run: its first number, less the place where the run begins, plus one
    # more for every row.
    row_numbers[by_storefront] = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(len(places))
    next_rows.update(zip(storefronts.tolist(), (firsts + counts).tolist(), strict=True))
    return row_numbers
