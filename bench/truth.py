"""Imports real data through HTTP into a fresh database and compares every number with its known answer."""

import json
import time
from collections.abc import Iterator, Mapping
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
BOUGHT = ("product_viewed", "product_added", "order_completed")
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
    """members: further ones of the request; step_members: further ones of its steps, by step number."""

    steps: tuple[str | tuple[str, ...], ...]
    window_seconds: int
    range: dict[str, str] = RANGE
    members: Mapping[str, Any] = {}
    step_members: Mapping[int, Mapping[str, Any]] = {}


BY_DEVICE = {"breakdown": {"property": "device_type"}}
NO_PROMOTION = {"after_step": 1, "before_step": 2, "any_of": [{"event": "promotion_viewed"}]}

FUNNELS = {
    "main_7d": Funnel(MAIN, 7 * DAY, members=BY_DEVICE),
    "main_30d": Funnel(MAIN, 30 * DAY),
    "main_1h": Funnel(MAIN, 3600, members=BY_DEVICE),
    "main_10min": Funnel(MAIN, 600),
    "view_cart_purchase_1d": Funnel(BOUGHT, DAY),
    "any_order_1d": Funnel(BOUGHT, DAY, members={"order": "any_order"}),
    "within_15min_each_1d": Funnel(MAIN, DAY, step_members={number: {"within_seconds": 900} for number in (2, 3, 4)}),
    "not_before_60s_1d": Funnel(MAIN[:3], DAY, step_members={2: {"not_before_seconds": 60}}),
    "exclude_view_promotion_1d": Funnel(MAIN[:3], DAY, members={"exclude": [NO_PROMOTION]}),
    "alternatives_1d": Funnel(ALTERNATIVES, DAY),
    "strict_1d_all_events": Funnel(MAIN[:2], DAY, members={"order": "strict"}),
    "entries_first_utc_day_7d": Funnel(MAIN, 7 * DAY, FIRST_DAY),
    "session_main": Funnel(MAIN, 7 * DAY, members={"actor": "session"}),
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
        checks = [Check("events taken in", truth["events"], totals.stored + totals.spooled), *_checks(service, truth)]
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
    names = tuple(NAMES.get(name, name) for name in truth["by_name"])
    by_session = {"actor": "session"}
    yield Check("visitors", truth["visitors"], _entered(service, names))
    yield Check("sessions", truth["sessions_30min_gap"], _entered(service, names, by_session))
    yield Check("persons who bought", truth["persons_with_purchase"], _entered(service, MAIN[-1:]))
    yield Check("sessions with a purchase", truth["sessions_with_purchase"], _entered(service, MAIN[-1:], by_session))
    for name, count in truth["by_name"].items():
        yield Check(name, count, _events_read(service, NAMES.get(name, name)))
    for name in sorted(truth["funnels"].keys() - FUNNELS.keys()):
        yield Check(name, truth["funnels"][name], "not asked")
    for name, funnel in FUNNELS.items():
        yield from _funnel_checks(name, truth["funnels"][name], _ask(service, funnel))
    yield from _order_checks(truth["orders"], _revenue(service))


def _funnel_checks(name: str, known: dict[str, Any], answer: dict[str, Any]) -> Iterator[Check]:
    yield Check(name, known["reached"], _reached(answer), answer["seconds"])
    if times := known.get("seconds_to_convert"):
        found = answer["seconds_to_convert"]
        yield Check("  median seconds to convert", times["median"], round(found["median"], 9))
        yield Check("  mean seconds to convert", round(times["mean"], 6), round(found["mean"], 6))
        yield Check("  converted", times["n"], found["count"])
    if groups := known.get("by_entry_device"):
        found = {group["value"]: _reached(group) for group in answer["groups"]}
        for value in sorted(groups.keys() | found.keys()):
            yield Check(f"  {value}", groups.get(value), found.get(value))


def _order_checks(known: dict[str, Any], answer: dict[str, Any]) -> Iterator[Check]:
    """Orders without an id count once each, so those with one are the others."""
    [found] = answer["currencies"]
    without_id_count = found["remarks"]["without_order_id_count"]
    yield Check("order events", known["purchase_events"], answer["events_read"], answer["seconds"])
    yield Check("  with different ids", known["distinct_order_ids"], found["order_count"] - without_id_count)
    yield Check("  repeated", known["repeated_ids"], found["remarks"]["repeated_count"])
    yield Check("  without an id", known["without_id"], without_id_count)
    yield Check("  revenue", known["revenue_once_per_order_id"], found["revenue"])


def _reached(answer: dict[str, Any]) -> list[int]:
    return [step["reached_count"] for step in answer["steps"]]


def _entered(service: Service, names: tuple[str, ...], members: Mapping[str, Any] | None = None) -> int:
    """How many actors did one of these."""
    return _reached(_ask(service, Funnel((names,), DAY, members=members or {})))[0]


def _events_read(service: Service, name: str) -> int:
    """How many events of a name there are: a one-step funnel reads all of them, and no others."""
    count: int = _ask(service, Funnel((name,), 1))["events_read"]
    return count


def _ask(service: Service, funnel: Funnel) -> dict[str, Any]:
    body = {
        "range": funnel.range,
        "steps": [
            {"any_of": _any_of(step), **funnel.step_members.get(number, {})}
            for number, step in enumerate(funnel.steps, start=1)
        ],
        "conversion_window_seconds": funnel.window_seconds,
        **funnel.members,
    }
    with service.client("read") as client:
        answer: dict[str, Any] = client.post("/v1/reports/funnel", json=body).raise_for_status().json()
    return answer


def _revenue(service: Service) -> dict[str, Any]:
    query = {"from": RANGE["start"], "to": RANGE["end"]}
    with service.client("read") as client:
        answer: dict[str, Any] = client.get("/v1/reports/revenue", params=query).raise_for_status().json()
    return answer


def _any_of(names: str | tuple[str, ...]) -> list[dict[str, str]]:
    return [{"event": name} for name in ((names,) if isinstance(names, str) else names)]


if __name__ == "__main__":
    typer.run(main)
