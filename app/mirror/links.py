"""Who a visitor was, and when: follows the events that name both a visitor and a customer.

Each of them is a link point. A visitor's points in a row that name the same customer are a run, one row of
`visitor_link`. A visitor's last run grows with the points that come in; where one came late, between others, or was
taken back, all of that visitor's runs are made anew from the events.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

KeysOf = Callable[[Sequence[int]], dict[int, str]]  # from our ids of customers to the sender's

# So many points at once are sooner looked up among the events.
POINTS_MAX = 20_000

# Purpose: all points, as pieces of runs, but for those that were undone. {whose} limits them to some visitors.
MAKE_PIECES = """
    CREATE TEMP TABLE piece AS
    SELECT storefront_id, visitor_id, customer_id, occurred_at_us, seq
    FROM event WHERE visitor_id IS NOT NULL AND customer_id IS NOT NULL {whose}
"""
OF_REMADE = "AND visitor_id IN (SELECT visitor_id FROM remade)"
DELETE_UNDONE = """
    DELETE FROM piece USING visitor_unlink AS undone
    WHERE piece.visitor_id = undone.visitor_id AND piece.customer_id = undone.customer_id AND occurred_at_us <= until_us
"""
# Purpose: the runs of visitors who were one customer only: nearly all of them, and putting points in order takes long.
INSERT_LONE_RUNS = """
    INSERT INTO visitor_link
    SELECT visitor_id, min(customer_id), min(storefront_id), min(occurred_at_us), max(occurred_at_us), 0
    FROM event WHERE visitor_id IS NOT NULL AND customer_id IS NOT NULL
                 AND visitor_id NOT IN (SELECT visitor_id FROM visitor_unlink)
    GROUP BY visitor_id HAVING min(customer_id) = max(customer_id)
"""
OF_OTHERS = "AND visitor_id NOT IN (SELECT visitor_id FROM visitor_link)"
# Purpose: customers between whom neither time nor the sender's number decides.
TIED = """
    SELECT DISTINCT unnest(customer_ids) FROM (
        SELECT list(DISTINCT customer_id) AS customer_ids FROM piece
        GROUP BY visitor_id, occurred_at_us, seq HAVING min(customer_id) < max(customer_id)
    )
"""
INSERT_RUNS = """
    INSERT INTO visitor_link
    WITH placed AS (
        SELECT piece.*, row_number() OVER in_order AS number,
               customer_id IS DISTINCT FROM lag(customer_id) OVER in_order AS is_other
        FROM piece LEFT JOIN tied USING (customer_id)
        WINDOW in_order AS (PARTITION BY visitor_id ORDER BY occurred_at_us, seq, rank)
    ), numbered AS (
        SELECT *, sum(is_other::INTEGER) OVER (PARTITION BY visitor_id ORDER BY number) - 1 AS place FROM placed
    )
    SELECT visitor_id, customer_id, storefront_id, min(occurred_at_us), max(occurred_at_us), place
    FROM numbered GROUP BY storefront_id, visitor_id, customer_id, place
"""

# Purpose: the last run of each of some visitors ($1).
LAST_RUNS = """
    SELECT visitor_id, arg_max(customer_id, place), any_value(storefront_id), arg_max(since_us, place), max(until_us),
           max(place)
    FROM visitor_link WHERE visitor_id IN (SELECT unnest(?::BIGINT[])) GROUP BY visitor_id
"""
UNLINKED = "SELECT DISTINCT visitor_id FROM visitor_unlink WHERE visitor_id IN (SELECT unnest(?::BIGINT[]))"
DELETE_CHANGED = """
    DELETE FROM visitor_link USING changed
    WHERE visitor_link.visitor_id = changed.visitor_id AND visitor_link.place = changed.place
"""
INSERT_CHANGED = "INSERT INTO visitor_link BY NAME FROM changed"


class Point(NamedTuple):
    visitor_id: int
    at_us: int
    customer_id: int
    storefront_id: int


class Run(NamedTuple):
    """As in the table."""

    visitor_id: int
    customer_id: int
    storefront_id: int
    since_us: int
    until_us: int
    place: int


def points_of(events: pa.RecordBatch) -> pa.Table:
    """The link points among incoming events."""
    both = pc.and_(events.column("visitor_id").is_valid(), events.column("customer_id").is_valid())
    found = pa.Table.from_batches([events.select(["visitor_id", "occurred_at", "customer_id", "storefront_id"])])
    return found.filter(both)


def make_links(mirror: duckdb.DuckDBPyConnection, keys_of: KeysOf) -> None:
    """Of all visitors."""
    mirror.execute("DELETE FROM visitor_link")
    mirror.execute(INSERT_LONE_RUNS)
    _make_runs(mirror, OF_OTHERS, keys_of)


def update_links(
    mirror: duckdb.DuckDBPyConnection, points: Iterable[pa.Table], unlinked: Iterable[int], keys_of: KeysOf
) -> None:
    """After these points came in, which are among the events already, and after links of these visitors were undone."""
    tables = [table for table in points if table.num_rows]
    came: set[int] = set().union(*(table.column("visitor_id").unique().to_pylist() for table in tables))
    remade = set(unlinked)
    if sum(table.num_rows for table in tables) > POINTS_MAX:
        remade |= came
    elif came:
        remade |= _grow(mirror, [point for table in tables for point in _points(table)], list(came))
    if remade:
        mirror.register("remade", pa.table({"visitor_id": pa.array(remade, pa.int64())}))
        mirror.execute("DELETE FROM visitor_link WHERE visitor_id IN (SELECT visitor_id FROM remade)")
        _make_runs(mirror, OF_REMADE, keys_of)
        mirror.unregister("remade")


def _points(table: pa.Table) -> Iterable[Point]:
    at_us = table.column("occurred_at").cast(pa.int64())
    columns = (table.column("visitor_id"), at_us, table.column("customer_id"), table.column("storefront_id"))
    return map(Point._make, zip(*(column.to_pylist() for column in columns), strict=True))


def _grow(mirror: duckdb.DuckDBPyConnection, points: list[Point], visitor_ids: list[int]) -> set[int]:
    """Lets the visitors' last runs grow. Returns the visitors of whom that is not all there is to do."""
    lasts = {run.visitor_id: run for run in map(Run._make, mirror.execute(LAST_RUNS, [visitor_ids]).fetchall())}
    late = {visitor_id for (visitor_id,) in mirror.execute(UNLINKED, [visitor_ids]).fetchall()}
    changed: list[Run] = []
    for visitor_id, own in groupby(sorted(points), key=lambda point: point.visitor_id):
        grown = None if visitor_id in late else _grown(lasts.get(visitor_id), list(own))
        if grown is None:
            late.add(visitor_id)
        elif grown != [lasts.get(visitor_id)]:
            changed += grown
    if changed:
        columns = zip(*changed, strict=True)
        mirror.register("changed", pa.table(dict(zip(Run._fields, map(pa.array, columns), strict=True))))
        mirror.execute(DELETE_CHANGED)
        mirror.execute(INSERT_CHANGED)
        mirror.unregister("changed")
    return late


def _grown(last: Run | None, points: Sequence[Point]) -> list[Run] | None:
    """The last run and those after it, once one visitor's points came in; None when they reach further back.

    points: by time.
    """
    runs = [] if last is None else [last]
    for point in points:
        latest = runs[-1] if runs else None
        if latest is None:
            runs.append(_begun(point, place=0))
        elif latest.customer_id == point.customer_id and (latest.place == 0 or point.at_us > latest.since_us):
            since_us, until_us = min(latest.since_us, point.at_us), max(latest.until_us, point.at_us)
            runs[-1] = latest._replace(since_us=since_us, until_us=until_us)
        elif point.at_us > latest.until_us:
            runs.append(_begun(point, latest.place + 1))
        else:
            return None
    return runs


def _begun(point: Point, place: int) -> Run:
    return Run(point.visitor_id, point.customer_id, point.storefront_id, point.at_us, point.at_us, place)


def _make_runs(mirror: duckdb.DuckDBPyConnection, whose: str, keys_of: KeysOf) -> None:
    mirror.execute(MAKE_PIECES.format(whose=whose))
    mirror.execute(DELETE_UNDONE)
    tied = [customer_id for (customer_id,) in mirror.execute(TIED).fetchall()]
    keys = keys_of(tied) if tied else {}
    tied.sort(key=lambda customer_id: keys.get(customer_id, ""))
    ranks = {"customer_id": pa.array(tied, pa.int64()), "rank": pa.array(range(len(tied)), pa.int64())}
    mirror.register("tied", pa.table(ranks))
    mirror.execute(INSERT_RUNS)
    mirror.unregister("tied")
    mirror.execute("DROP TABLE piece")
