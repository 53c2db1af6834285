"""What an import would send, without sending it: the first events, and every line that holds none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Column, Table

from app.importers.base import Importer, Unreadable
from app.importers.run import TEXT_SHOWN, UNREADABLE_SHOWN
from app.terminal import shown

EVENTS_SHOWN = 10
TITLE = "first events; nothing is sent"


def preview_files(importer: Importer, files: Sequence[Path], console: Console) -> int:
    """Reads the files through and prints the first events and counts. Returns how many lines hold no event.

    Raises ImportFileError.
    """
    table = Table("event", "client_time", Column("fields and properties", overflow="fold"), title=TITLE)
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
            table.add_row(*_row(event))
    console.print(table)
    for name, count in names.most_common():
        console.print(f"{count:,} {shown(name)}", highlight=False)
    console.print(f"{names.total():,} events, {unreadable_count:,} unreadable lines", highlight=False)
    for line in examples:
        console.print(f"{shown(str(line.path), TEXT_SHOWN)}, line {line.line}: {shown(line.detail, TEXT_SHOWN)}")
    return unreadable_count


def _row(event: dict[str, Any]) -> tuple[str, str, str]:
    """One below the other, since names and ids are longer than a column of 80 would let them be."""
    properties = event.pop("properties", None) or {}
    name, time = (shown(str(event.pop(field, ""))) for field in ("event", "client_time"))
    others = [f"{shown(str(field))}={shown(str(value))}" for field, value in [*event.items(), *properties.items()]]
    return name, time, "\n".join(others)
