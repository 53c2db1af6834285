"""What importers offer, how a file can be at fault, and the limits of a native event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# What the native endpoint accepts; importers keep to it where that loses nothing of substance.
NAME_MAX = 100  # characters of an event or property name
ID_MAX = 200  # characters
URL_MAX = 2_048  # characters
PROPERTIES_MAX = 100  # per event


class ImportFailed(Exception):
    """An import can't go on; its text says why and what to change."""


class ImportFileError(ImportFailed):
    """A file to import cannot be read."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One line that holds no event; the lines around it are imported all the same."""

    path: Path
    line: int  # from 1
    detail: str


class Importer(Protocol):
    """Turns files of one foreign format into native events."""

    name: str  # the word after `footfall import`
    description: str  # one line of its help

    def count(self, files: Sequence[Path]) -> int | None:
        """Number of events in the files, None if only reading them through would tell."""

    def read(self, files: Sequence[Path]) -> Iterator[bytes | Unreadable]:
        """One native event as JSON per item, in the order of the files and of their rows.

        Whatever can be said about a whole file is said (ImportFileError) before the first event.
        """
