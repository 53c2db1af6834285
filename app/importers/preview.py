"""What an import would send, without sending it: the first events, and every line that holds none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from app.importers.base import Importer, Unreadable
from app.importers.run import TEXT_SHOWN, UNREADABLE_SHOWN
from app.terminal import shown

EVENTS_SHOWN = 10
COLUMNS = ("event", "client_time", "visitor_id", "customer_id", "event_id", "properties")


def preview_files(importer: Importer, files: Sequence[Path], console: Console) -> int:
    """Reads the files through and prints the first events and counts. Returns how many lines hold no event.

    Raises ImportFileError.
    """
    table = Table(*COLUMNS, title="first events; nothing is sent")
    names: Counter[str] = Counter()
    unreadable_count = 0
    examples: list[Unreadable] = []
    for item in importer.read(files):
        if isinstance(item, Unreadable):
            unreadable_count += 1
            examples += [item] * (len(examples) < UNREADABLE_SHOWN)
            continue
        event = msgspec.json.decode(item)
        names[str(event.get("event"))] += 1
        if names.total() <= EVENTS_SHOWN:
            table.add_row(*(_cell(event.get(column)) for column in COLUMNS))
    console.print(table)
    for name, count in names.most_common():
        console.print(f"{count:,} {shown(name)}", highlight=False)
    console.print(f"{names.total():,} events, {unreadable_count:,} unreadable lines", highlight=False)
    for line in examples:
        console.print(f"{shown(str(line.path), TEXT_SHOWN)}, line {line.line}: {shown(line.detail, TEXT_SHOWN)}")
    return unreadable_count


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{shown(str(name))}={shown(str(inner))}" for name, inner in value.items())
    return "" if value is None else shown(str(value))
