"""`make bench`: ingestion and funnels, measured through HTTP on this machine, with peers beside each."""

import subprocess
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.storage.embedded import bin_path
from bench.funnel import measure_funnel
from bench.funnel_table import print_funnel
from bench.ingest import MARKS, P99_MARK_SECONDS, IngestFigures, bytes_per_event, copy_by_psql, measure_ingest
from bench.machine import describe_machine, wide_console
from bench.service import Service, running_service

BYTES_MARK = 400
COPY_SHARE_MARK = 0.5
WORKERS = 2  # as many as the machine of the marks has cores
REPORT_TIMEOUT_SECONDS = 600  # building the mirror of millions of events is part of the first report


class Part(StrEnum):
    INGEST = "ingest"
    FUNNEL = "funnel"


def main(
    events: Annotated[int, typer.Option(help="Events of the funnels.")] = 8_000_000,
    visitors: Annotated[int, typer.Option(help="Visitors of the funnels.")] = 1_000_000,
    only: Annotated[Part | None, typer.Option(help="One part of it.")] = None,
) -> None:
    """Takes about ten minutes with the default numbers."""
    console = wide_console()
    if only is not Part.FUNNEL:
        _ingest(console)
    if only is not Part.INGEST:
        _funnel(console, events, visitors)


def _ingest(console: Console) -> None:
    with running_service() as service:
        _print_machine(console, service)
        figures = _measure(console, service, processes=1)
        with console.status("The same rows, copied by psql"):
            size, rows_per_second = bytes_per_event(service), copy_by_psql(service)
    with running_service(role="collect", workers=WORKERS) as service:
        figures += _measure(console, service, processes=WORKERS)
    _print_ingest(console, figures, rows_per_second, size)


def _measure(console: Console, service: Service, *, processes: int) -> list[IngestFigures]:
    found = []
    for events_per_request in (1, 50):
        with console.status(f"Ingestion, {processes} process(es), {events_per_request} event(s) a request"):
            found.append(measure_ingest(service, events_per_request, processes=processes))
    return found


def _funnel(console: Console, events: int, visitors: int) -> None:
    # An answer that is kept takes no time: none is.
    settings = {"report_timeout_seconds": REPORT_TIMEOUT_SECONDS, "report_results_bytes": 0}
    with running_service(**settings) as service:
        _print_machine(console, service)
        with console.status(f"Funnels over {events:,} events") as status:
            figures = measure_funnel(service, event_count=events, visitor_count=visitors, progress=status.update)
    print_funnel(console, figures)


def _print_machine(console: Console, service: Service) -> None:
    psql = [str(bin_path(18) / "psql"), "-qAt", service.database_url, "-c", "SHOW server_version"]
    version = subprocess.check_output(psql, text=True).strip()  # our own database
    table = Table(title="Machine", show_header=False)
    for name, value in describe_machine(postgres_version=version).items():
        table.add_row(name, value)
    console.print(table)


def _print_ingest(console: Console, figures: list[IngestFigures], psql_rows: float, size: float) -> None:
    table = Table(
        "processes", "events a request", "events/s", "mark", "of psql's COPY", "mark", "at", "p50 ms", "p99 ms", "mark",
        title="Ingestion: acknowledged after the commit, client and Postgres on the same cores",
    )  # fmt: skip
    for figure in figures:
        half = figure.half
        table.add_row(
            str(figure.processes),
            str(figure.events_per_request),
            f"{figure.events_per_second:,.0f}",
            f"{MARKS[figure.events_per_request]:,}",
            f"{figure.events_per_second / psql_rows:.0%}",
            f"{COPY_SHARE_MARK:.0%}" if figure.events_per_request > 1 else "",
            f"{half.requests_per_second * figure.events_per_request:,.0f}/s",
            f"{half.p50_seconds * 1000:.1f}",
            f"{half.p99_seconds * 1000:.1f}",
            f"{P99_MARK_SECONDS * 1000:.0f}",
        )
    console.print(table)
    console.print(f"psql copies the same rows at {psql_rows:,.0f}/s.")
    console.print(f"An event takes {size:.0f} bytes in Postgres (mark {BYTES_MARK}).")


if __name__ == "__main__":
    typer.run(main)
