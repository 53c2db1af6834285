"""Tables of the mirror file, and opening it."""

import contextlib
import logging
from pathlib import Path
from typing import Any

import duckdb

from app.errors import FootfallError

logger = logging.getLogger(__name__)

# Raised with every change of the tables below: a file of another version is thrown away and built anew.
VERSION = 5

TABLES = """
CREATE TABLE event (
    storefront_id INTEGER NOT NULL,
    stored BIGINT NOT NULL,          -- order in which events were stored: transaction id, then place in the commit
    visitor_id BIGINT,
    customer_id BIGINT,
    account_id BIGINT,
    name_id INTEGER NOT NULL,
    occurred_at_us BIGINT NOT NULL,
    received_at_us BIGINT NOT NULL,
    seq INTEGER NOT NULL,
    trust UTINYINT NOT NULL,
    url VARCHAR,
    referrer VARCHAR,
    properties VARCHAR NOT NULL,     -- JSON: an object, or the array of its values when there is a shape_id
    shape_id INTEGER,
    is_bot BOOLEAN,                  -- NULL for people
    device_context_id INTEGER,
    campaign_context_id INTEGER,
    row_number BIGINT NOT NULL       -- within the storefront, from 0, in the order taken in; erasures leave holes
);
CREATE TABLE property_shape (shape_id INTEGER PRIMARY KEY, storefront_id INTEGER NOT NULL, names VARCHAR[] NOT NULL);
CREATE TABLE device_context (
    device_context_id INTEGER PRIMARY KEY, storefront_id INTEGER NOT NULL, device_type VARCHAR, browser VARCHAR,
    os VARCHAR, language VARCHAR, country VARCHAR
);
CREATE TABLE campaign_context (
    campaign_context_id INTEGER PRIMARY KEY, storefront_id INTEGER NOT NULL, channel VARCHAR, utm_source VARCHAR,
    utm_medium VARCHAR, utm_campaign VARCHAR, utm_term VARCHAR, utm_content VARCHAR, click_id VARCHAR
);
CREATE TABLE event_name (name_id INTEGER PRIMARY KEY, name VARCHAR NOT NULL);
-- A run of a visitor's events that name one customer, from the first to the last of them. place: from 0, in order.
CREATE TABLE visitor_link (
    visitor_id BIGINT NOT NULL, customer_id BIGINT NOT NULL, storefront_id INTEGER NOT NULL, since_us BIGINT NOT NULL,
    until_us BIGINT NOT NULL, place INTEGER NOT NULL
);
-- Until when events that name both do not link them.
CREATE TABLE visitor_unlink (
    visitor_id BIGINT NOT NULL, customer_id BIGINT NOT NULL, storefront_id INTEGER NOT NULL, until_us BIGINT NOT NULL
);
-- One row: which database this is a copy of, and which of its transactions are in. holds_erased: rows were deleted,
-- and their bytes may still be in the file.
CREATE TABLE follower (
    version INTEGER, instance_id VARCHAR, snapshot VARCHAR, as_of_us BIGINT, holds_erased BOOLEAN DEFAULT false
);
"""


class MirrorInUse(FootfallError):
    """Another process holds the mirror file"""


def open_mirror(path: Path, *, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """Open the file, or begin a new one when there is none or it can't be used. Raises MirrorInUse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _connect(path, memory_bytes)
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if _version(connection) == VERSION:
                stack.pop_all()
                return connection
    except duckdb.Error as error:
        if "could not set lock" in str(error).lower():
            raise MirrorInUse(
                f"{path} is held by another process: is a second `footfall serve` running on this data directory?"
            ) from error
        logger.warning(
            "mirror file can't be used and is built anew",
            extra={"action": "mirror_reset", "error": str(error)},
        )
    return start_anew(path, memory_bytes=memory_bytes)


def is_damage(error: duckdb.Error) -> bool:
    """Whether DuckDB says that the file is not as it wrote it; it may then refuse every further statement."""
    if isinstance(error, duckdb.FatalException | duckdb.InternalException | duckdb.SerializationException):
        return True
    words = str(error).lower()
    return "corrupt" in words or (isinstance(error, duckdb.IOException) and "could not read" in words)


def start_anew(path: Path, *, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """An empty mirror, whatever was in the file."""
    remove_file(path)
    connection = create_tables(path, memory_bytes=memory_bytes)
    connection.execute("INSERT INTO follower (version) VALUES (?)", [VERSION])
    return connection


def create_tables(path: Path, *, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A new file with empty tables."""
    connection = _connect(path, memory_bytes)
    connection.execute(TABLES)
    return connection


def remove_file(path: Path) -> None:
    for leftover in (path, path.with_name(path.name + ".wal")):
        leftover.unlink(missing_ok=True)


def put_in_place(written: Path, path: Path) -> None:
    """A closed file takes the place of another one, which nobody may have open."""
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    written.replace(path)


def first_row(result: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    """Of a query that returns one row at most. Fetches to the end: an unfinished result blocks its connection."""
    rows = result.fetchall()
    return rows[0] if rows else None


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget everything; runs in the caller's transaction."""
    for table in (
        "event",
        "event_name",
        "property_shape",
        "device_context",
        "campaign_context",
        "visitor_link",
        "visitor_unlink",
    ):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # names from the line above


def _connect(path: Path, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(path),
        config={
            "memory_limit": f"{memory_bytes}B",
            # The service reads nothing but its own file, and a query never may: not files, not the network.
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
        },
    )


def _version(connection: duckdb.DuckDBPyConnection) -> int | None:
    row = first_row(connection.execute("SELECT count(*) FROM information_schema.tables WHERE table_name = 'follower'"))
    if not row or not row[0]:
        return None
    found = first_row(connection.execute("SELECT version FROM follower"))
    return int(found[0]) if found else None
