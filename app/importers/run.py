"""One import from start to end in a terminal: progress while it runs, then what became of the events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from app.importers.base import Importer, Unreadable
from app.importers.send import ImportRefused, SendTotals, send_events
from app.terminal import shown

ANSWER_SECONDS = 5.0
REQUEST_TIMEOUT_SECONDS = 60.0  # far longer than a commit of 1,000 events takes on a busy machine
UNREADABLE_SHOWN = 5
TEXT_SHOWN = 400  # characters of any one text


def import_files(importer: Importer, files: Sequence[Path], *, url: str, key: str, console: Console) -> SendTotals:
    """Sends the events of the files to the service at `url` with a server key, and prints the outcome.

    The outcome so far is also printed when it ends early: with Ctrl-C (raises KeyboardInterrupt, for the exit
    status), ImportFileError, ImportRefused or ImportGaveUp.
    """
    latest = SendTotals()
    unreadable = _Unreadable()
    total = importer.count(files)
    headers = {"Authorization": f"Bearer {key}"}
    # A proxy of the environment has no business between us and our own machine, and must not see the key.
    is_remote = httpx.URL(url).host not in ("127.0.0.1", "localhost", "::1")
    client = httpx.Client(base_url=url, headers=headers, timeout=REQUEST_TIMEOUT_SECONDS, trust_env=is_remote)
    progress = _progress(console)
    try:
        with client, progress:
            _say_if_nobody_answers(client, console)
            bar = progress.add_task(f"import {importer.name}", total=total)

            def show(totals: SendTotals) -> None:
                nonlocal latest
                latest = totals
                progress.update(bar, completed=totals.received)

            send_events(client, unreadable.without(importer.read(files)), on_progress=show)
    except KeyboardInterrupt:
        console.print("Interrupted. Running the same import again is safe: nothing is stored twice.")
        raise
    finally:
        latest.unreadable = unreadable.count
        _print_outcome(console, latest, unreadable)
    return latest


def _say_if_nobody_answers(client: httpx.Client, console: Console) -> None:
    """Sending is tried for minutes; whoever waits should know for what."""
    try:
        client.get("/livez", timeout=ANSWER_SECONDS)
    except httpx.UnsupportedProtocol as error:
        raise ImportRefused(f"{client.base_url} is no address; it begins with http:// or https://.") from error
    except httpx.TransportError:
        console.print(
            f"Nothing answers at {client.base_url} yet; trying on. Choose another address with --url.",
            style="yellow",
            markup=False,
            highlight=False,
        )


@dataclass
class _Unreadable:
    """Takes the unreadable lines out of what an importer reads."""

    count: int = 0
    examples: list[Unreadable] = field(default_factory=list)

    def without(self, items: Iterable[bytes | Unreadable]) -> Iterator[bytes]:
        for item in items:
            if isinstance(item, bytes):
                yield item
                continue
            self.count += 1
            if len(self.examples) < UNREADABLE_SHOWN:
                self.examples.append(item)


class _RateColumn(TextColumn):
    """Events per second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="progress.data.speed")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _print_outcome(console: Console, totals: SendTotals, unreadable: _Unreadable) -> None:
    table = Table("outcome", "events", title="import")
    table.columns[1].justify = "right"
    for outcome in ("received", "stored", "duplicates", "rejected"):
        table.add_row(outcome, f"{getattr(totals, outcome):,}")
    if totals.spooled:
        table.add_row("stored soon (spooled)", f"{totals.spooled:,}")
    for reason, count in sorted(totals.reasons.items()):
        table.add_row(f"  {shown(reason)}", f"{count:,}")
    if unreadable.count:
        table.add_row("unreadable lines", f"{unreadable.count:,}")
    console.print(table)
    for line in unreadable.examples:
        console.print(f"{shown(str(line.path), TEXT_SHOWN)}, line {line.line}: {shown(line.detail, TEXT_SHOWN)}")
    for example in totals.examples:
        said = (example.reason, example.pointer, example.detail, example.event)
        reason, pointer, detail, event = (shown(text, TEXT_SHOWN) for text in said)
        console.print(f"{reason} {pointer}: {detail} {event}")
