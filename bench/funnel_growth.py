"""`make growth`: how the time and memory of funnels grow with the events, up to more than Postgres holds in minutes.

The mirror's file is filled directly, and a process of its own asks the report of it: no HTTP, no Postgres. All events
are held in memory, unless that is given less.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import typer
from rich.table import Table

from app.config import Settings
from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import Storefront
from app.mirror.follow import Mirror
from app.mirror.scan import open_scan
from app.reports.funnel import FUNNEL
from app.reports.funnel.params import FunnelParams
from bench.funnel_questions import ALL_EVENTS, BREAKDOWN, FOUR_STEPS, SIXTEEN_STEPS, Question
from bench.generate import Columns, generate_columns
from bench.machine import wide_console

QUESTIONS = (FOUR_STEPS, SIXTEEN_STEPS, ALL_EVENTS, BREAKDOWN)
RUNS = 5
EVENTS_PER_VISITOR = 8
PIECE_ROWS = 1_000_000
SHOP = Storefront(1, "Measured shop", "UTC", "EUR", 1800, DEFAULT_STAGES)


T = TypeVar("T")


class Growth(NamedTuple):
    """first_seconds: of the first report, which compiles and reads columns into memory. seconds: medians, by question.

    idle_bytes, peak_bytes: memory of the process before the first report, and at most.
    """

    event_count: int
    file_bytes: int
    first_seconds: float
    seconds: dict[str, float]
    idle_bytes: int
    peak_bytes: int


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of events, separated by commas.")] = "8000000,25000000,50000000",
    cache_mib: Annotated[int, typer.Option(help="FOOTFALL_REPORT_CACHE_BYTES; 0: all is read from the file.")] = 4096,
) -> None:
    console = wide_console()
    measured = []
    for size in map(int, sizes.split(",")):
        with console.status(f"{size:,} events"), tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder:
            path = Path(folder) / "mirror.duckdb"
            _in_a_process(fill, path, size)
            measured.append(_in_a_process(partial(ask, cache_bytes=cache_mib * 2**20), path, size))
    console.print(_table(measured))
    console.print(f"Seconds, medians of {RUNS} runs in turns; the second line is for a million events.")


def _in_a_process(function: Callable[[Path, int], T], path: Path, size: int) -> T:
    """So that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, path, size).result()


def fill(path: Path, event_count: int) -> None:
    """A mirror as if the events had come from Postgres, in commits of 2,000."""
    columns = generate_columns(event_count, event_count // EVENTS_PER_VISITOR, seed=1)
    mirror = _mirror(path)
    with mirror.cursor() as cursor:
        cursor.execute("BEGIN")
        for start in range(0, event_count, PIECE_ROWS):
            cursor.register("incoming", _rows(columns, start, min(start + PIECE_ROWS, event_count)))
            cursor.execute("INSERT INTO event BY NAME FROM incoming")
            cursor.unregister("incoming")
        cursor.executemany("INSERT INTO event_name VALUES (?, ?)", list(enumerate(columns.event_names)))
        cursor.execute("INSERT INTO property_shape VALUES (1, ?, ['device_type'])", [SHOP.storefront_id])
        cursor.execute("UPDATE follower SET as_of_us = ?", [time.time_ns() // 1000])
        cursor.execute("COMMIT")
        cursor.execute("CHECKPOINT")
    mirror.close()


def _rows(columns: Columns, start: int, end: int) -> pa.Table:
    count, numbers = end - start, np.arange(start, end)
    return pa.table(
        {
            "storefront_id": np.full(count, SHOP.storefront_id, np.int32),
            "stored": (numbers // 2000 + 1000 << 20) + numbers % 2000,
            "visitor_id": columns.visitor_index[start:end].astype(np.int64) + 1,
            "name_id": columns.event_code[start:end].astype(np.int32),
            "occurred_at_us": columns.occurred_at_us[start:end],
            "received_at_us": columns.occurred_at_us[start:end],
            "seq": np.zeros(count, np.int32),
            "trust": np.ones(count, np.int8),
            "url": pa.repeat("https://shop.example/", count),
            "properties": pa.DictionaryArray.from_arrays(
                columns.device_code[start:end], [f'["{name}"]' for name in columns.device_names]
            ).cast(pa.string()),
            "shape_id": np.ones(count, np.int32),
            "row_number": numbers,
        }
    )


def ask(path: Path, event_count: int, *, cache_bytes: int) -> Growth:
    mirror = _mirror(path, cache_bytes)
    idle_bytes = _memory_bytes("VmRSS")
    first_seconds = _seconds(mirror, FOUR_STEPS)
    seconds: dict[str, list[float]] = {question.name: [] for question in QUESTIONS}
    for turn in range(RUNS + 1):
        for question in QUESTIONS:
            taken = _seconds(mirror, question)
            seconds[question.name] += [taken] if turn else []  # the first turn warms up
    mirror.close()
    return Growth(
        event_count,
        path.stat().st_size,
        first_seconds,
        {name: statistics.median(each) for name, each in seconds.items()},
        idle_bytes,
        _memory_bytes("VmHWM"),
    )


def _seconds(mirror: Mirror, question: Question) -> float:
    started = time.perf_counter()
    with open_scan(mirror, SHOP.storefront_id) as scan:
        FUNNEL.run(FunnelParams.model_validate(question.body()), scan, SHOP)
    return time.perf_counter() - started


def _mirror(path: Path, cache_bytes: int = 0) -> Mirror:
    """DuckDB has as much memory as when nothing else is set."""
    mirror = Mirror(
        path, "no Postgres", memory_bytes=Settings.model_validate({}).mirror_memory_bytes, cache_bytes=cache_bytes
    )
    mirror.open()
    return mirror


def _memory_bytes(name: str) -> int:
    """VmRSS or VmHWM, which is its highest; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _table(measured: list[Growth]) -> Table:
    table = Table("events", "file", "first report", *(question.name for question in QUESTIONS), "idle", "at most")
    for each in measured:
        sizes = [f"{size / 2**20:,.0f} MiB" for size in (each.file_bytes, each.idle_bytes, each.peak_bytes)]
        seconds = [each.seconds[question.name] for question in QUESTIONS]
        table.add_row(
            f"{each.event_count:,}",
            sizes[0],
            f"{each.first_seconds:.2f}",
            *(f"{taken:.3f}\n{taken / each.event_count * 1_000_000:.4f}" for taken in seconds),
            *sizes[1:],
        )
    return table


if __name__ == "__main__":
    typer.run(main)
