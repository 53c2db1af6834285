"""Imports real data through HTTP into a fresh database and compares every number with its known answer."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from app.importers.ga4 import GA4
from app.importers.run import import_files
from bench.service import Service, running_service

DAY = 86_400
RANGE = {"start": "2020-12-19T00:00:00Z", "end": "2020-12-31T00:00:00Z"}
FIRST_DAY = {"start": "2020-12-19T00:00:00Z", "end": "2020-12-20T00:00:00Z"}
MAIN = ("product_viewed", "product_added", "checkout_started", "order_completed")
ALTERNATIVES = (
    "page_viewed",
    ("product_viewed", "product_clicked"),
    ("checkout_started", "product_added"),
    "order_completed",
)
# GA4's names in truth.json, where ours differ.
NAMES = {
    "page_view": "page_viewed",
    "session_start": "session_started",
    "view_item": "product_viewed",
    "view_promotion": "promotion_viewed",
    "add_to_cart": "product_added",
    "begin_checkout": "checkout_started",
    "select_item": "product_clicked",
    "view_search_results": "product_searched",
    "add_shipping_info": "shipping_info_added",
    "add_payment_info": "payment_info_added",
    "select_promotion": "promotion_clicked",
    "purchase": "order_completed",
}


class Funnel(NamedTuple):
    steps: tuple[str | tuple[str, ...], ...]
    window_seconds: int
    range: dict[str, str] = RANGE


FUNNELS = {
    "main_7d": Funnel(MAIN, 7 * DAY),
    "main_30d": Funnel(MAIN, 30 * DAY),
    "main_1h": Funnel(MAIN, 3600),
    "main_10min": Funnel(MAIN, 600),
    "view_cart_purchase_1d": Funnel(("product_viewed", "product_added", "order_completed"), DAY),
    "alternatives_1d": Funnel(ALTERNATIVES, DAY),
    "entries_first_utc_day_7d": Funnel(MAIN, 7 * DAY, FIRST_DAY),
}


class Check(NamedTuple):
    """wanted and found are equal when all is well."""

    name: str
    wanted: object
    found: object
    seconds: float | None = None


def main(data: Annotated[Path, typer.Option(help="Folder with GA4 Parquet files and truth.json.")]) -> None:
    """Exits with 1 when any number differs."""
    console = Console()
    truth = json.loads((data / "truth.json").read_text(encoding="utf-8"))
    files = [data / name for name in truth["files"]]
    with running_service() as service:
        started = time.perf_counter()
        url = f"http://127.0.0.1:{service.port}"
        totals = import_files(GA4, files, url=url, key=service.keys["server"], console=console)
        imported = time.perf_counter()
        checks = [Check("events stored", truth["events"], totals.stored), *_checks(service, truth)]
    table = Table("number", "truth", "Footfall", "seconds")
    for check in checks:
        style = None if check.wanted == check.found else "bold red"
        seconds = "" if check.seconds is None else f"{check.seconds:.3f}"
        table.add_row(check.name, str(check.wanted), str(check.found), seconds, style=style)
    console.print(table)
    wrong = sum(check.wanted != check.found for check in checks)
    console.print(
        f"{totals.stored} events in {imported - started:.1f} s, {totals.stored / (imported - started):,.0f} a second; "
        f"{len(checks) - wrong} of {len(checks)} numbers right.",
        style="red" if wrong else "green",
    )
    raise typer.Exit(1 if wrong else 0)


def _checks(service: Service, truth: dict[str, Any]) -> Iterator[Check]:
    yield Check("visitors", truth["visitors"], _reached(service, tuple(_names(truth)), DAY))
    for name, count in truth["by_name"].items():
        yield Check(name, count, _events_read(service, NAMES.get(name, name)))
    for name, funnel in FUNNELS.items():
        wanted = truth["funnels"][name]
        answer = _ask(service, funnel)
        found = [step["reached_count"] for step in answer["steps"]]
        yield Check(name, wanted["reached"], found, answer["seconds"])
        if name == "main_7d":
            times, known = answer["seconds_to_convert"], wanted["seconds_to_convert"]
            yield Check("  median seconds to convert", known["median"], round(times["median"], 9))
            yield Check("  mean seconds to convert", round(known["mean"], 6), round(times["mean"], 6))
            yield Check("  converted", known["n"], times["count"])


def _names(truth: dict[str, Any]) -> list[str]:
    return [NAMES.get(name, name) for name in truth["by_name"]]


def _reached(service: Service, names: tuple[str, ...], window_seconds: int) -> int:
    count: int = _ask(service, Funnel((names,), window_seconds))["steps"][0]["reached_count"]
    return count


def _events_read(service: Service, name: str) -> int:
    """How many events of a name there are: a one-step funnel reads all of them, and no others."""
    count: int = _ask(service, Funnel((name,), 1))["events_read"]
    return count


def _ask(service: Service, funnel: Funnel) -> dict[str, Any]:
    steps = [
        {"any_of": [{"event": name} for name in ((step,) if isinstance(step, str) else step)]} for step in funnel.steps
    ]
    body = {"range": funnel.range, "steps": steps, "conversion_window_seconds": funnel.window_seconds}
    with service.client("read") as client:
        answer: dict[str, Any] = client.post("/v1/reports/funnel", json=body).raise_for_status().json()
    return answer


if __name__ == "__main__":
    typer.run(main)
