"""The same funnel asked of others: ClickHouse's `windowFunnel`, and SQL in DuckDB and in Postgres.

All three find any chain of steps in order within the window, as ours does. Their questions are simpler, which favours
them: no range (the data has no events outside), one name per step, and counts without times or people.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from chdb.session import Session

from app.storage.embedded import bin_path

THREADS = 2  # of ClickHouse and DuckDB: as many as the cores that the marks are for
# All windows have the same, so Postgres sorts once.
CHAIN = "PARTITION BY visitor_id ORDER BY occurred_at, step ROWS UNBOUNDED PRECEDING"


class Peer(Protocol):
    """reached: how many visitors reached each step; steps are event names, none beside itself."""

    name: str
    version: str

    def reached(self, steps: Sequence[str], window_seconds: int) -> list[int]: ...


class ClickHouse:
    """In this process; a MergeTree in the order that suits the question best."""

    name = "ClickHouse"

    def __init__(self, session: Session, events: pa.Table, folder: Path) -> None:
        self._session = session
        file = folder / "events.parquet"
        pq.write_table(events, file)
        session.query("CREATE DATABASE bench ENGINE = Atomic")
        session.query(
            """
            CREATE TABLE bench.event (visitor_id UInt32, at_us UInt64, event_name LowCardinality(String))
            ENGINE = MergeTree ORDER BY (visitor_id, at_us)
            """
        )
        session.query(f"INSERT INTO bench.event SELECT visitor_id, at_us, event_name FROM file('{file}')")
        session.query("OPTIMIZE TABLE bench.event FINAL")
        file.unlink()
        self.version = session.query("SELECT version()").bytes().decode().strip().strip('"')

    def reached(self, steps: Sequence[str], window_seconds: int) -> list[int]:
        conditions = ", ".join(f"event_name = '{name}'" for name in steps)
        rows = self._session.query(
            f"""
            SELECT level, count() FROM (
                SELECT windowFunnel({window_seconds * 1_000_000})(at_us, {conditions}) AS level
                FROM bench.event WHERE event_name IN ({_quoted(steps)}) GROUP BY visitor_id
            ) GROUP BY level SETTINGS max_threads = {THREADS}
            """
        )
        counts = [tuple(map(int, line.split(","))) for line in rows.bytes().decode().split()]
        return [sum(count for level, count in counts if level >= number) for number in range(1, len(steps) + 1)]


class DuckDb:
    """Each event of a step joined with the latest of the step before: the fastest exact plan of those tried."""

    name = "DuckDB"
    version = version("duckdb")

    def __init__(self, connection: duckdb.DuckDBPyConnection, events: pa.Table) -> None:
        self._connection = connection
        self._connection.execute(f"SET threads = {THREADS}")
        self._connection.register("events", events)
        self._connection.execute("CREATE TABLE event AS SELECT * FROM events ORDER BY visitor_id, at_us")
        self._connection.unregister("events")

    def reached(self, steps: Sequence[str], window_seconds: int) -> list[int]:
        parts = [f"s1 AS (SELECT visitor_id, at_us, at_us AS entry_us FROM event WHERE event_name = '{steps[0]}')"]
        parts += [
            f"""
            s{number} AS MATERIALIZED (
                SELECT e.visitor_id, e.at_us, p.entry_us
                FROM event e ASOF JOIN s{number - 1} p ON e.visitor_id = p.visitor_id AND e.at_us >= p.at_us
                WHERE e.event_name = '{name}' AND e.at_us <= p.entry_us + {window_seconds * 1_000_000})
            """
            for number, name in enumerate(steps[1:], start=2)
        ]
        counts = [f"(SELECT count(DISTINCT visitor_id) FROM s{number})" for number in range(1, len(steps) + 1)]
        query = f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"
        return list(self._connection.execute(query).fetchall()[0])


class Postgres:
    """The stored events themselves, read by several processes and sorted once; then a window per step finds the latest
    entry that a chain up to there can have.

    Joins of each step's earliest events are no faster, and lose the chains of later entries; an index in the order of
    the sort, more memory for it, or no compilation change nothing.
    """

    name = "Postgres"

    def __init__(self, url: str) -> None:
        self._psql = [str(bin_path(18) / "psql"), "-qAt", "-v", "ON_ERROR_STOP=1", url]
        self.version = self._run("SHOW server_version")

    def reached(self, steps: Sequence[str], window_seconds: int) -> list[int]:
        """steps: no name twice."""
        cases = " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(steps, start=1))
        query = f"""
            SELECT visitor_id, occurred_at, CASE event_name {cases} END AS step
            FROM event WHERE storefront_id = 1 AND event_name IN ({_quoted(steps)})
        """
        entry = "CASE WHEN step = 1 THEN occurred_at END"
        for number in range(1, len(steps) + 1):
            query = f"SELECT *, max({entry}) OVER chain AS entry{number} FROM ({query}) WINDOW chain AS ({CHAIN})"
            in_time = f"occurred_at <= entry{number} + interval '{window_seconds} seconds'"
            entry = f"CASE WHEN step = {number + 1} AND {in_time} THEN entry{number} END"
        numbers = range(1, len(steps) + 1)
        latest = ", ".join(f"max(entry{number}) AS entry{number}" for number in numbers)
        counts = ", ".join(f"count(entry{number})" for number in numbers)
        query = f"SELECT {counts} FROM (SELECT {latest} FROM ({query}) GROUP BY visitor_id)"
        return [int(count) for count in self._run(query).split("|")]

    def _run(self, query: str) -> str:
        return subprocess.check_output([*self._psql, "-c", query], text=True).strip()


@contextmanager
def open_peers(events: pa.Table, database_url: str, folder: Path) -> Iterator[list[Peer]]:
    """events: visitor_id, at_us and event_name. folder: for what they store."""
    with Session(str(folder / "clickhouse")) as session, duckdb.connect(str(folder / "peer.duckdb")) as connection:
        yield [ClickHouse(session, events, folder), DuckDb(connection, events), Postgres(database_url)]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in dict.fromkeys(names))
