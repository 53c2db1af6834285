"""Funnels over millions of synthetic events: our report through HTTP, and beside it the same questions to others."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from app.storage.embedded import bin_path
from bench.funnel_peers import Peer, open_peers
from bench.generate import Columns, generate_columns
from bench.service import Service

RANGE = {"start": "2025-06-01T00:00:00Z", "end": "2025-07-01T00:00:00Z"}
WINDOW_SECONDS = 7 * 86_400
RUNS = 7
PEER_RUNS = {"ClickHouse": RUNS, "DuckDB": 3, "Postgres": 3}  # the others take seconds

MAIN = ("product_viewed", "product_added", "checkout_started", "order_completed")
# Sixteen steps of all eleven events, on two visits. No event follows itself: ClickHouse would take one for both.
LONG = (
    "page_viewed", "product_list_viewed", "product_viewed", "product_added_to_wishlist",
    "page_viewed", "product_searched", "product_viewed", "product_added", "cart_viewed",
    "page_viewed", "product_viewed", "product_added", "checkout_started",
    "shipping_info_added", "payment_info_added", "order_completed",
)  # fmt: skip


class Question(NamedTuple):
    """members: further ones of the request. peers: who can be asked the same."""

    name: str
    steps: tuple[str, ...]
    members: Mapping[str, Any] = {}
    peers: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        return {
            "range": RANGE,
            "steps": [{"any_of": [{"event": name}]} for name in self.steps],
            "conversion_window_seconds": WINDOW_SECONDS,
            **self.members,
        }


FOUR_STEPS = Question("4 steps", MAIN, peers=("ClickHouse", "DuckDB", "Postgres"))
SIXTEEN_STEPS = Question("16 steps, the same 4 events", MAIN * 4, peers=("ClickHouse", "DuckDB"))
ALL_EVENTS = Question("16 steps, 11 events", LONG, peers=("ClickHouse", "DuckDB"))
BREAKDOWN = Question("4 steps by device_type", MAIN, {"breakdown": {"property": "device_type"}})
QUESTIONS = (
    FOUR_STEPS,
    SIXTEEN_STEPS,
    ALL_EVENTS,
    BREAKDOWN,
    Question("4 steps, strict", MAIN, {"order": "strict"}),
    Question("4 steps, any order", MAIN, {"order": "any_order"}),
    Question("4 steps, sessions", MAIN, {"actor": "session"}),
)

# Purpose: rows as ingestion would have stored them, in commits of 2,000.
STORE = """
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq, trust,
                       event_name, url, properties)
    SELECT 1, gen_random_uuid(), occurred_at, occurred_at, occurred_at, visitor, place % 1000000, 0, 1, event_name,
           'https://shop.example/', ('{"device_type":"' || device || '"}')::json
    FROM generated ORDER BY place
"""


class Figures(NamedTuple):
    """Of one question. seconds, reached: by who was asked, "Footfall" among them; medians of RUNS and PEER_RUNS."""

    question: Question
    seconds: dict[str, float]
    slowest_seconds: float  # of ours
    reached: dict[str, list[int]]


class FunnelFigures(NamedTuple):
    """versions: of the peers. mirror_build_seconds: of the first report."""

    event_count: int
    mirror_build_seconds: float
    catch_up_seconds: float
    versions: dict[str, str]
    figures: list[Figures]


def measure_funnel(
    service: Service, *, event_count: int, visitor_count: int, progress: Callable[[str], None]
) -> FunnelFigures:
    columns = generate_columns(event_count, visitor_count, seed=1)
    progress("Storing the events in Postgres (takes minutes)")
    _store(service, columns)
    progress("First report")
    started = time.perf_counter()
    _ask(service, FOUR_STEPS)
    build_seconds = time.perf_counter() - started
    progress("Storing the events in ClickHouse and DuckDB")
    with (
        tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder,
        open_peers(_events(columns), service.database_url, Path(folder)) as peers,
    ):
        figures = _measure(service, peers, progress)
        versions = {peer.name: peer.version for peer in peers}
    return FunnelFigures(event_count, build_seconds, _catch_up(service), versions, figures)


def _measure(service: Service, peers: Sequence[Peer], progress: Callable[[str], None]) -> list[Figures]:
    """In turns, as the machine is faster at some times than at others; the first turn warms up, and is left out."""
    seconds: dict[tuple[str, str], list[float]] = {}
    reached: dict[tuple[str, str], list[int]] = {}

    def timed(name: str, question: Question, ask: Callable[[], list[int]]) -> None:
        started = time.perf_counter()
        reached[question.name, name] = ask()
        seconds.setdefault((question.name, name), []).append(time.perf_counter() - started)

    for run in range(RUNS + 1):
        progress(f"Turn {run} of {RUNS}")
        for question in QUESTIONS:
            timed("Footfall", question, lambda question=question: _ask(service, question))
            for peer in peers:
                if peer.name in question.peers and run <= PEER_RUNS[peer.name]:
                    timed(peer.name, question, lambda q=question, p=peer: p.reached(q.steps, WINDOW_SECONDS))
    return [_figures(question, seconds, reached) for question in QUESTIONS]


def _figures(
    question: Question, seconds: dict[tuple[str, str], list[float]], reached: dict[tuple[str, str], list[int]]
) -> Figures:
    asked = ("Footfall", *question.peers)
    return Figures(
        question,
        seconds={name: statistics.median(seconds[question.name, name][1:]) for name in asked},
        slowest_seconds=max(seconds[question.name, "Footfall"][1:]),
        reached={name: reached[question.name, name] for name in asked},
    )


def _ask(service: Service, question: Question) -> list[int]:
    with service.client("read") as client:
        answer = client.post("/v1/reports/funnel", json=question.body()).raise_for_status().json()
    return [step["reached_count"] for step in answer["steps"]]


def _events(columns: Columns) -> pa.Table:
    """What the peers need to know."""
    names = pa.DictionaryArray.from_arrays(columns.event_code, list(columns.event_names)).cast(pa.string())
    return pa.table(
        {"visitor_id": pa.array(columns.visitor_index + 1), "at_us": columns.occurred_at_us, "event_name": names}
    )


def _store(service: Service, columns: Columns) -> None:
    count = len(columns.event_code)
    events = _events(columns)
    table = pa.table(
        {
            "place": pa.array(range(count), pa.int32()),
            "visitor": events["visitor_id"].cast(pa.int64()),
            "occurred_at": pa.array(columns.occurred_at_us, pa.timestamp("us", "UTC")),
            "event_name": events["event_name"],
            "device": pa.DictionaryArray.from_arrays(columns.device_code, list(columns.device_names)).cast(pa.string()),
        }
    )
    with adbc.connect(service.database_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("generated", table, mode="create")
    for statement in (STORE, "DROP TABLE generated", "VACUUM ANALYZE event"):
        command = [str(bin_path(18) / "psql"), "-q", "-v", "ON_ERROR_STOP=1", service.database_url, "-c", statement]
        subprocess.check_call(command)  # our own database


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
