"""A 4-step funnel over millions of synthetic events: our report through HTTP beside plain SQL in Postgres."""

import statistics
import subprocess
import time
from typing import Any, NamedTuple

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from app.storage.embedded import bin_path
from bench.generate import generate_columns
from bench.service import Service

STEPS = ("product_viewed", "product_added", "checkout_started", "order_completed")
RANGE = {"start": "2025-06-01T00:00:00Z", "end": "2025-07-01T00:00:00Z"}
WINDOW_SECONDS = 7 * 86_400
RUNS = 7

# Purpose: rows as ingestion would have stored them, in commits of 2,000.
STORE = """
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq, trust,
                       event_name, url, properties)
    SELECT 1, gen_random_uuid(), occurred_at, occurred_at, occurred_at, visitor, place, 0, 1, event_name,
           'https://shop.example/', ('{"device_type":"' || device || '"}')::json
    FROM generated ORDER BY place
"""
# Purpose: the peer. The same question in SQL, each step's earliest time after the earliest of the step before: simpler
# than our definition (only the first entry counts), and the best plan that plain Postgres has for it.
SQL_FUNNEL = """
    WITH s1 AS (SELECT visitor_id, min(occurred_at) AS t FROM event
                WHERE storefront_id = 1 AND event_name = 'product_viewed' GROUP BY 1),
         s2 AS (SELECT s1.visitor_id, s1.t AS t1, min(e.occurred_at) AS t FROM s1 JOIN event e USING (visitor_id)
                WHERE e.event_name = 'product_added' AND e.occurred_at BETWEEN s1.t AND s1.t + interval '7 days'
                GROUP BY 1, 2),
         s3 AS (SELECT s2.visitor_id, t1, min(e.occurred_at) AS t FROM s2 JOIN event e USING (visitor_id)
                WHERE e.event_name = 'checkout_started' AND e.occurred_at BETWEEN s2.t AND t1 + interval '7 days'
                GROUP BY 1, 2),
         s4 AS (SELECT s3.visitor_id, min(e.occurred_at) AS t FROM s3 JOIN event e USING (visitor_id)
                WHERE e.event_name = 'order_completed' AND e.occurred_at BETWEEN s3.t AND t1 + interval '7 days'
                GROUP BY 1)
    SELECT (SELECT count(*) FROM s1), (SELECT count(*) FROM s2), (SELECT count(*) FROM s3), (SELECT count(*) FROM s4)
"""


class FunnelFigures(NamedTuple):
    """Seconds; report_seconds and sql_seconds are medians of RUNS and of three runs."""

    event_count: int
    mirror_build_seconds: float
    report_seconds: float
    report_seconds_worst: float
    catch_up_seconds: float
    sql_seconds: float
    reached: list[int]


def measure_funnel(service: Service, *, event_count: int, visitor_count: int) -> FunnelFigures:
    _store(service, event_count, visitor_count)
    started = time.perf_counter()
    first = _report(service)
    build_seconds = time.perf_counter() - started
    _report(service)
    seconds = [_timed(service) for _ in range(RUNS)]
    return FunnelFigures(
        event_count=event_count,
        mirror_build_seconds=build_seconds,
        report_seconds=statistics.median(seconds),
        report_seconds_worst=max(seconds),
        catch_up_seconds=_catch_up(service),
        sql_seconds=statistics.median(_sql(service) for _ in range(3)),
        reached=[step["reached_count"] for step in first["steps"]],
    )


def _store(service: Service, event_count: int, visitor_count: int) -> None:
    columns = generate_columns(event_count, visitor_count, seed=1)
    table = pa.table(
        {
            "place": pa.array(range(event_count), pa.int32()),
            "visitor": pa.array(columns.visitor_index + 1, pa.int64()),
            "occurred_at": pa.array(columns.occurred_at_us, pa.timestamp("us", "UTC")),
            "event_name": pa.DictionaryArray.from_arrays(columns.event_code, list(columns.event_names)).cast(
                pa.string()
            ),
            "device": pa.DictionaryArray.from_arrays(columns.device_code, list(columns.device_names)).cast(pa.string()),
        }
    )
    with adbc.connect(service.database_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("generated", table, mode="create")
    for statement in (
        STORE.replace("place, 0", "place % 1000000, 0"),
        "DROP TABLE generated",
        "VACUUM ANALYZE event",
    ):
        _psql(service, statement)


def _report(service: Service) -> dict[str, Any]:
    body = {
        "range": RANGE,
        "steps": [{"any_of": [{"event": name}]} for name in STEPS],
        "conversion_window_seconds": WINDOW_SECONDS,
    }
    with service.client("read") as client:
        answer: dict[str, Any] = client.post("/v1/reports/funnel", json=body).raise_for_status().json()
    return answer


def _timed(service: Service) -> float:
    started = time.perf_counter()
    _report(service)
    return time.perf_counter() - started


def _catch_up(service: Service) -> float:
    """A report that matches nothing but has 1,000 events to catch up with, stored just before; median."""
    event = {"event": "page_viewed", "visitor_id": "late"}
    seconds = []
    with service.client("write") as writer, service.client("read") as reader:
        for _ in range(RUNS):
            writer.post("/v1/events", json=[event] * 1000).raise_for_status()
            started = time.perf_counter()
            body = {"range": RANGE, "steps": [{"any_of": [{"event": "nothing"}]}]}
            reader.post("/v1/reports/funnel", json=body).raise_for_status()
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _sql(service: Service) -> float:
    started = time.perf_counter()
    _psql(service, SQL_FUNNEL)
    return time.perf_counter() - started


def _psql(service: Service, sql: str) -> str:
    command = [str(bin_path(18) / "psql"), "-qAt", "-v", "ON_ERROR_STOP=1", service.database_url, "-c", sql]
    return subprocess.check_output(command, text=True)  # our own database
