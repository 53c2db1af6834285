"""The stage funnel as a table in the terminal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.table import Table

BAR_WIDTH = 10  # characters; the whole table fits into 80
NOTHING = "–"


def stage_table(report: Mapping[str, Any], *, start: datetime, end: datetime) -> Table:
    """report: the answer of GET /v1/reports/stages for [start, end)."""
    table = Table(
        title=f"SYNTHETIC DATA: stages reached within a day, {start:%d %b} to {end:%d %b %Y}",
        caption=f"{report['events_read']:,} made-up events read in {report['seconds']:.3f} s, as of {report['as_of']}",
        title_style="bold",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("stage", style="bold", no_wrap=True)
    table.add_column("people", justify="right", no_wrap=True)
    table.add_column("share", width=BAR_WIDTH)
    for heading in ("of\nentered", "of stage\nbefore", "lost", "in\nprogress", "median\ntime"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in report["steps"]:
        table.add_row(
            step["label"],
            f"{step['reached_count']:,}",
            Bar(size=1, begin=0, end=step["conversion_ratio"] or 0, width=BAR_WIDTH, color="cyan"),
            _percent(step["conversion_ratio"]),
            _percent(step["step_conversion_ratio"]),
            _count(step["lost_count"]),
            _count(step["in_progress_count"]),
            _duration((step["seconds_from_previous"] or {}).get("median")),
        )
    return table


def _percent(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.1%}"


def _count(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for unit_seconds, unit in ((86400, "d"), (3600, "h")):
        if seconds >= unit_seconds:
            return f"{seconds / unit_seconds:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
