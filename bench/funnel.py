"""Funnels over millions of synthetic events: our report through HTTP, and beside it the same questions to others."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import adbc_driver_postgresql.dbapi as adbc
import httpx
import pyarrow as pa

from app.storage.embedded import bin_path
from bench.funnel_peers import Peer, open_peers
from bench.funnel_questions import FOUR_STEPS, QUESTIONS, RANGE, WINDOW_SECONDS, Question
from bench.generate import Columns, generate_columns
from bench.service import Service

OURS = "Footfall"
RUNS = 7
PEER_RUNS = {"ClickHouse": RUNS, "DuckDB": 3, "Postgres": 3}  # the others take seconds

# Purpose: rows as ingestion would have stored them, in commits of 2,000.
STORE = """
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq, trust,
                       event_name, url, properties)
    SELECT 1, gen_random_uuid(), occurred_at, occurred_at, occurred_at, visitor, place % 1000000, 0, 1, event_name,
           'https://shop.example/', ('{"device_type":"' || device || '"}')::json
    FROM generated ORDER BY place
"""


class Figures(NamedTuple):
    """Of one question. seconds, reached: by who was asked, OURS among them; medians of RUNS and PEER_RUNS."""

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
    progress("Storing the events in ClickHouse and DuckDB")
    with (
        service.client("read") as reader,
        tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder,
        open_peers(_events(columns), service.database_url, Path(folder)) as peers,
    ):
        progress("First report")
        started = time.perf_counter()
        _ask(reader, FOUR_STEPS)
        build_seconds = time.perf_counter() - started
        figures = _measure(reader, peers, progress)
        versions = {peer.name: peer.version for peer in peers}
    return FunnelFigures(event_count, build_seconds, _catch_up(service), versions, figures)


def _measure(reader: httpx.Client, peers: Sequence[Peer], progress: Callable[[str], None]) -> list[Figures]:
    """In turns, as the machine is faster at some times than at others; the first turn warms up, and is left out."""
    seconds: dict[tuple[str, str], list[float]] = {}
    reached: dict[tuple[str, str], list[int]] = {}
    for turn in range(RUNS + 1):
        progress(f"Turn {turn} of {RUNS}")
        for question, name, ask in _asked(reader, peers, turn):
            started = time.perf_counter()
            reached[question.name, name] = ask()
            seconds.setdefault((question.name, name), []).append(time.perf_counter() - started)
    return [_figures(question, seconds, reached) for question in QUESTIONS]


def _asked(
    reader: httpx.Client, peers: Sequence[Peer], turn: int
) -> Iterator[tuple[Question, str, Callable[[], list[int]]]]:
    """Who is asked what in a turn: ours, theirs, ours, theirs ..."""
    for question in QUESTIONS:
        yield question, OURS, partial(_ask, reader, question)
        for peer in peers:
            if peer.name in question.peers and turn <= PEER_RUNS[peer.name]:
                yield question, peer.name, partial(peer.reached, question.steps, WINDOW_SECONDS)


def _figures(
    question: Question, seconds: dict[tuple[str, str], list[float]], reached: dict[tuple[str, str], list[int]]
) -> Figures:
    asked = (OURS, *question.peers)
    return Figures(
        question,
        seconds={name: statistics.median(seconds[question.name, name][1:]) for name in asked},
        slowest_seconds=max(seconds[question.name, OURS][1:]),
        reached={name: reached[question.name, name] for name in asked},
    )


def _ask(reader: httpx.Client, question: Question) -> list[int]:
    answer = reader.post("/v1/reports/funnel", json=question.body()).raise_for_status().json()
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
