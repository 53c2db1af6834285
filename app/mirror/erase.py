"""Follows erasures: what is to be forgotten in Postgres goes from the mirror, and then from the bytes of its file.

DuckDB leaves deleted rows in the file, so the file is written anew: a copy of what is left takes its place.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from app.mirror.schema import create_tables, remove_file

BATCH_ROWS = 100_000  # copied between two looks at whether to stop

# Purpose: what is to be forgotten, by the erasures that {new} limits to those not seen yet. An erasure changes again
# when it is finished, and is then followed a second time.
ERASED = {
    "visitors": "SELECT unnest(visitor_ids) AS visitor_id FROM erasure WHERE {new}",
    "customers": "SELECT unnest(customer_ids) AS customer_id FROM erasure WHERE {new}",
    "shared": """
        SELECT s.visitor_id, greatest(s.since, '1970-01-01Z') AS since, least(s.until, '9999-01-01Z') AS until
        FROM erasure, unnest(shared_visitor_ids, shared_since, shared_until) AS s (visitor_id, since, until)
        WHERE {new}
    """,
    "expired": """
        SELECT storefront_id, max(occurred_before) AS occurred_before FROM erasure
        WHERE occurred_before IS NOT NULL AND {new} GROUP BY storefront_id
    """,
}
ANY = "SELECT EXISTS (SELECT FROM erasure WHERE {new})"
# A mirror that begins copies what is left after finished erasures; those under way it still has to follow.
UNFINISHED = "finished_at IS NULL"

DELETE = {
    "visitors": (
        "DELETE FROM event USING incoming WHERE event.visitor_id = incoming.visitor_id",
        "DELETE FROM visitor_link USING incoming WHERE visitor_link.visitor_id = incoming.visitor_id",
        "DELETE FROM visitor_unlink USING incoming WHERE visitor_unlink.visitor_id = incoming.visitor_id",
    ),
    "customers": (
        "DELETE FROM event USING incoming WHERE event.customer_id = incoming.customer_id",
        "DELETE FROM visitor_link USING incoming WHERE visitor_link.customer_id = incoming.customer_id",
        "DELETE FROM visitor_unlink USING incoming WHERE visitor_unlink.customer_id = incoming.customer_id",
    ),
    "shared": (
        """
        DELETE FROM event USING incoming
        WHERE event.visitor_id = incoming.visitor_id AND event.customer_id IS NULL
          AND event.occurred_at_us >= epoch_us(since) AND event.occurred_at_us < epoch_us(until)
        """,
    ),
    "expired": (
        """
        DELETE FROM event USING incoming
        WHERE event.storefront_id = incoming.storefront_id AND event.occurred_at_us < epoch_us(occurred_before)
        """,
        """
        DELETE FROM visitor_link USING incoming
        WHERE visitor_link.storefront_id = incoming.storefront_id AND until_us < epoch_us(occurred_before)
        """,
        # Of a run that goes on only the later events are left. Whichever is the first of them: nothing before counts.
        """
        UPDATE visitor_link SET since_us = epoch_us(occurred_before) FROM incoming
        WHERE visitor_link.storefront_id = incoming.storefront_id AND since_us < epoch_us(occurred_before)
        """,
    ),
}


def follow_erasures(postgres: Any, mirror: duckdb.DuckDBPyConnection, new: str) -> int:
    """Delete what is to be forgotten; runs in the caller's transactions. Returns how many rows went.

    new: the condition on Postgres' rows that the mirror has not seen, `TRUE` when it begins.
    """
    new = UNFINISHED if new == "TRUE" else new
    postgres.execute(ANY.format(new=new))
    if not postgres.fetchone()[0]:
        return 0
    deleted = 0
    for what, query in ERASED.items():
        postgres.execute(query.format(new=new))
        incoming: pa.Table = postgres.fetch_arrow_table()
        if not incoming.num_rows:
            continue
        mirror.register("incoming", incoming)
        for statement in DELETE[what]:
            deleted += _row_count(mirror.execute(statement))
        mirror.unregister("incoming")
    if deleted:
        mirror.execute("UPDATE follower SET holds_erased = true")
    return deleted


def holds_erased(mirror: duckdb.DuckDBPyConnection) -> bool:
    """Whether the file's bytes may still contain what has been deleted."""
    return bool(_row_count(mirror.execute("SELECT count(*) FROM follower WHERE holds_erased")))


def write_anew(
    mirror: duckdb.DuckDBPyConnection, path: Path, *, memory_bytes: int, stopping: Callable[[], bool]
) -> bool:
    """Copy what the mirror holds at this moment into a new file. Returns False when it was told to stop."""
    remove_file(path)
    mirror.execute("BEGIN")
    try:
        with create_tables(path, memory_bytes=memory_bytes) as copy:
            for (table,) in copy.execute("SELECT table_name FROM information_schema.tables").fetchall():
                for batch in mirror.sql(f"FROM {table}").to_arrow_reader(BATCH_ROWS):
                    if stopping():
                        return False
                    copy.register("incoming", pa.Table.from_batches([batch]))
                    copy.execute(f"INSERT INTO {table} BY NAME FROM incoming")
                    copy.unregister("incoming")
            copy.execute("UPDATE follower SET holds_erased = false")
    finally:
        mirror.execute("ROLLBACK")
    return True


def _row_count(result: duckdb.DuckDBPyConnection) -> int:
    [(count,)] = result.fetchall()
    return int(count)
