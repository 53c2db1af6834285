"""Rows in and out for tests of the mirror: transactions on Postgres held by hand, and what the mirror holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi as adbc

from app.mirror.follow import Mirror
from app.storage.database import DatabaseUrl

MEMORY_BYTES = 256 * 1024**2
CACHE_BYTES = 64 * 1024**2
INSERT_EVENT = """
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq,
                       trust, event_name, properties)
    VALUES (1, gen_random_uuid(), '2025-03-01Z', '2025-03-01Z', now(), {visitor_id}, 0, 0, 1, '{event_name}', '{{}}')
"""
INSERT_LOGIN = """
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, customer_id,
                       position, seq, trust, event_name, properties)
    VALUES (1, gen_random_uuid(), '2025-03-01Z', '{at}', now(), {visitor_id}, {customer_id}, 0, 0, 1,
            'customer_identified', '{{}}')
"""


@contextmanager
def transaction(database: DatabaseUrl) -> Iterator[Any]:
    """A connection with a transaction of its own; commit or roll it back by hand."""
    with adbc.connect(database.libpq) as connection:
        yield connection


def add(connection: Any, *visitor_ids: int, event_name: str = "product_viewed") -> None:
    """One event per visitor, not committed yet."""
    for visitor_id in visitor_ids:
        execute(connection, INSERT_EVENT.format(visitor_id=visitor_id, event_name=event_name))


def store(database: DatabaseUrl, *visitor_ids: int, event_name: str = "product_viewed") -> None:
    """One event per visitor, in one commit."""
    with transaction(database) as connection:
        add(connection, *visitor_ids, event_name=event_name)
        connection.commit()


def log_in(database: DatabaseUrl, visitor_id: int, customer_id: int, at: str = "2025-03-01Z") -> None:
    """An event that names both, in a commit of its own."""
    with transaction(database) as connection:
        execute(connection, INSERT_LOGIN.format(visitor_id=visitor_id, customer_id=customer_id, at=at))
        connection.commit()


def execute(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@contextmanager
def mirror_at(path: Path, database: DatabaseUrl) -> Iterator[Mirror]:
    mirror = Mirror(path, database.libpq, memory_bytes=MEMORY_BYTES, cache_bytes=CACHE_BYTES)
    mirror.open()
    try:
        yield mirror
    finally:
        mirror.close()


def read(mirror: Mirror, query: str) -> list[tuple[Any, ...]]:
    with mirror.cursor() as cursor:
        return list(cursor.execute(query).fetchall())


def visitors(mirror: Mirror) -> list[int]:
    """Whose events the mirror holds, each as often as there are events."""
    return [visitor_id for (visitor_id,) in read(mirror, "SELECT visitor_id FROM event ORDER BY ALL")]
