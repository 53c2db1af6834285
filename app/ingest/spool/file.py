"""The spool's file: a bounded queue in SQLite, on disk before a call returns. Blocking; used by one thread at a time.

Durability: a rollback journal with synchronous=FULL. SQLite then syncs the journal, the file and the journal's end at
every commit; a write-ahead log would need one sync instead of three, but loses all that comes after a damaged place.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple, Self

from app.domain.outcome import SpoolFull
from app.ingest.spool.parts import PAGE_BYTES, Part, Unreadable, cut, group_batches, read_part, write_part

MARKER_BYTES = 8
# An empty file larger than this is made small again.
EMPTY_MAX_PAGES = 64
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)

# secure_delete: what is drained or erased must not remain in unused places of the file.
# locking_mode: a second process that opens the same spool is refused.
JOURNAL = "PRAGMA journal_mode = TRUNCATE"
PRAGMAS = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA secure_delete = ON",
    JOURNAL,
    "PRAGMA synchronous = FULL",
)
CREATE = (
    "CREATE TABLE totals (id INTEGER PRIMARY KEY, content BLOB)",
    "CREATE TABLE part (id INTEGER PRIMARY KEY, content BLOB)",
)
# Twice: where a few bytes of one are damaged, the other says how much is lost. A lost page takes both.
SET_TOTALS = "REPLACE INTO totals VALUES (1, ?1), (2, ?1)"


class SpoolDamaged(Exception):
    """The file is not what we wrote."""


class Stored(NamedTuple):
    """A batch as it lies in the file. last_id: row of its last part."""

    last_id: int
    header: Part
    packed: bytes


class Totals(NamedTuple):
    """Events ever spooled, and how many of them are gone again, drained or lost."""

    next_batch_id: int
    removed: int
    appended: int


class SpoolFile:
    """An open spool. Methods raise SpoolDamaged when the file turns out to be no longer what was written."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """The file must exist. Raises SpoolDamaged, or SpoolFull when it can't be used, as by another process."""
        self._path = path
        self.marker = b""
        self.totals = Totals(1, 0, 0)
        with _sorted_errors():
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with _sorted_errors():
                self._begin(max_bytes)
        except BaseException:
            self._connection.close()
            raise

    def _begin(self, max_bytes: int) -> None:
        if not self._path.stat().st_size:
            raise SpoolDamaged("the file is empty")
        for pragma in PRAGMAS:
            self._connection.execute(pragma)
        self._connection.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 8)}")
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("COMMIT")  # takes the lock
        [(verdict,)] = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise SpoolDamaged("SQLite finds faults in it")
        part, *_ = [read_part(content) for (content,) in self._connection.execute("SELECT content FROM totals")]
        self.marker = part.marker
        self.totals = Totals(part.batch_id, part.first_event, int.from_bytes(part.data, "little"))

    @classmethod
    def create(cls, path: Path, marker: bytes, totals: Totals) -> None:
        """A new, empty spool, whole on disk before it gets its name."""
        with _sorted_errors(), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in (*PRAGMAS, "BEGIN", *CREATE):
                connection.execute(statement)
            connection.execute(SET_TOTALS, (_totals_part(marker, totals),))
            connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        return self._path.stat().st_size

    def append(self, batches: Sequence[tuple[int, bytes]]) -> None:
        """Add batches (number of events, packed) in one transaction. Raises SpoolFull."""
        next_id, removed, appended = self.totals
        rows: list[bytes] = []
        for event_count, packed in batches:
            rows += cut(self.marker, next_id, appended, event_count, packed)
            next_id, appended = next_id + 1, appended + event_count
        self._change(rows, Totals(next_id, removed, appended))

    def append_raw(self, parts: Iterable[bytes], totals: Totals) -> None:
        """Add parts as they are, of another file with the same marker. Raises SpoolFull."""
        self._change(parts, totals)

    def _change(self, parts: Iterable[bytes], totals: Totals, remove_through: int = 0) -> None:
        with _sorted_errors(), self._transaction():
            self._connection.execute("DELETE FROM part WHERE id <= ?", (remove_through,))
            self._connection.executemany("INSERT INTO part (content) VALUES (?)", ((part,) for part in parts))
            self._connection.execute(SET_TOTALS, (_totals_part(self.marker, totals),))
        self.totals = totals

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def remove(self, last: Stored) -> list[Stored]:
        """Forget the batches up to this one. Returns those that were there.

        They are found by their number: rows are others when the file has been written anew since it was read.
        """
        if last.header.marker != self.marker:
            return []
        found = list(takewhile(lambda stored: stored.header.batch_id <= last.header.batch_id, self.batches()))
        if found:
            removed = self.totals.removed + sum(stored.header.event_count for stored in found)
            self._remove_rows(found[-1].last_id, self.totals._replace(removed=removed))
        return found

    def _remove_rows(self, through: int, totals: Totals) -> None:
        """Takes no room on the disk: where there is none for the journal, that is kept in memory.

        A crash in just that moment would damage pages of batches that are stored already.
        """
        try:
            self._change((), totals, remove_through=through)
        except SpoolFull as full:
            if not full.no_room:
                raise
            with _sorted_errors():
                for mode in ("OFF", "MEMORY"):  # OFF closes the journal's file, which would be used else
                    self._connection.execute(f"PRAGMA journal_mode = {mode}")
                try:
                    self._change((), totals, remove_through=through)
                finally:
                    self._connection.execute(JOURNAL)

    def sync_later(self) -> None:
        """For a file that nobody relies on yet: its maker syncs it as a whole."""
        self._connection.execute("PRAGMA synchronous = OFF")

    def shrink(self) -> None:
        """Give the room back that an empty spool doesn't need."""
        with _sorted_errors():
            if self.size_bytes > EMPTY_MAX_PAGES * PAGE_BYTES:
                self._connection.execute("VACUUM")

    def read(self, max_events: int) -> list[Stored]:
        """The oldest batches with together at most max_events events, but one at least."""
        found: list[Stored] = []
        count = 0
        for stored in self.batches():
            count += stored.header.event_count
            if found and count > max_events:
                break
            found.append(stored)
        return found

    def batches(self) -> Iterator[Stored]:
        """All that waits, oldest first, each one checked."""
        last_id = 0

        def parts() -> Iterator[Part]:
            nonlocal last_id
            for last_id, content in self._connection.execute("SELECT id, content FROM part ORDER BY id"):  # noqa: B007
                part = read_part(content)
                if part.marker != self.marker or part.is_totals:
                    raise SpoolDamaged("a part of another file")
                yield part

        with _sorted_errors():
            for batch in group_batches(parts()):
                yield Stored(last_id, batch[0]._replace(data=b""), b"".join(part.data for part in batch))


def new_marker() -> bytes:
    return os.urandom(MARKER_BYTES)


def _totals_part(marker: bytes, totals: Totals) -> bytes:
    appended = totals.appended.to_bytes(8, "little")
    return write_part(Part(marker, totals.next_batch_id, totals.removed, 0, 0, 0, appended))


@contextlib.contextmanager
def _sorted_errors() -> Iterator[None]:
    """What goes wrong in SQLite is damage, or means that the spool can't be used."""
    try:
        yield
    except Unreadable as error:
        raise SpoolDamaged(str(error)) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        # Our statements are fixed: one that SQLite can't understand means that the tables are not ours any more.
        if code in _DAMAGE:
            raise SpoolDamaged(str(error)) from error
        cause = getattr(error, "sqlite_errorname", type(error).__name__)
        raise SpoolFull(cause, no_room=code == sqlite3.SQLITE_FULL) from error
    except ValueError as error:  # such as a row that is missing, or one with other columns
        raise SpoolDamaged(str(error)) from error
