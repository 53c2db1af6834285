"""Walks through tables of any size in pieces, so that no statement and no transaction takes long.

Events have no index by person or time of their own, as every index would slow ingestion. A piece is a range of
blocks, which Postgres reads without looking at the rest of the table.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

# Per statement: 64 MiB of 8 KiB blocks, a fifth of a second's reading.
BLOCKS_PER_PIECE = 8192

# Purpose: the partitions of the event table, by name.
PARTITIONS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'event'::regclass ORDER BY 1"
# Purpose: how many blocks a table has. $1: its name.
BLOCKS = "SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::int"


class Piece(NamedTuple):
    """Rows of a table with start <= ctid < end."""

    table: str
    start: tuple[int, int]
    end: tuple[int, int]


async def partition_names(connection: asyncpg.Connection) -> list[str]:
    return [record["name"] for record in await connection.fetch(PARTITIONS)]


async def pieces(connection: asyncpg.Connection, tables: Sequence[str]) -> AsyncIterator[Piece]:
    """All of the tables as they are now; rows added meanwhile may be left out."""
    for table in tables:
        blocks = await connection.fetchval(BLOCKS, table)
        for start in range(0, blocks, BLOCKS_PER_PIECE):
            yield Piece(table, (start, 0), (start + BLOCKS_PER_PIECE, 0))
