"""Follows Postgres: copies the events of every transaction that the mirror has not seen yet.

What is new is decided by transaction, not by time or sequence: the mirror remembers the snapshot of its last look,
and takes the rows that are visible now and were not visible then. So a transaction that commits late is found
when it commits, and one that stays open holds nobody up.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from app.domain.time_range import to_us
from app.errors import FootfallError, Unavailable
from app.mirror.columns import ColumnCache
from app.mirror.erase import follow_erasures, holds_erased, write_anew
from app.mirror.incoming import Numbering, copy_rows
from app.mirror.readers import Readers
from app.mirror.schema import clear, first_row, is_damage, open_mirror, put_in_place, remove_file, start_anew
from app.mirror.source import connect
from app.mirror.versions import Versions

logger = logging.getLogger(__name__)

REBUILD_RETRY_SECONDS = 5
STOP_RETRY_SECONDS = 1
# Writing the file anew, to be rid of erased bytes, costs as much as a first look; so not after every single erasure.
REWRITE_INTERVAL_SECONDS = 3600
# Reports wait this long at most for those under way, when the new file is to take the old one's place.
EXCHANGE_PATIENCE_SECONDS = 1.0

# Purpose: one consistent look. The clock is read before the snapshot is taken, so that everything stored before
# as_of is in. Returns the database's name for itself, the snapshot, the time, and whether there are events of
# transactions that have not been yet: a dump restored into another cluster leaves such, and what is new can't be told.
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
LOOK = """
    SELECT instance_id::text, pg_current_snapshot()::text, pg_snapshot_xmax(pg_current_snapshot())::text, now(),
           EXISTS (SELECT FROM event WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())) AS from_the_future
    FROM instance
"""
# Purpose: whether anything has happened since the last look: equal snapshots see the same rows.
GLANCE = "SELECT instance_id::text, pg_current_snapshot()::text, now() FROM instance"
# Purpose: which rows a look copies: visible now, and not in the snapshot of the last look, {seen}.
NEW = "xid >= '{xmin}' AND NOT pg_visible_in_snapshot(xid, '{seen}')"


class RestoredDump(FootfallError):
    """The database was restored from a dump and needs one repair"""

    status = 503
    type_slug = "restored-dump"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the mirror is. as_of_us: everything stored in Postgres before it is in (its clock)."""

    as_of_us: int
    event_count: int


class Seen(NamedTuple):
    """All of it that `snapshot` shows is in; nothing else was stored before as_of_us. instance_id: of the database."""

    instance_id: str
    snapshot: str
    as_of_us: int


class Mirror:
    """The mirror file and its follower. Blocking and thread-safe: call it from worker threads."""

    def __init__(self, path: Path, postgres_url: str, *, memory_bytes: int, cache_bytes: int) -> None:
        self._path = path
        self._postgres_url = postgres_url
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._duckdb: duckdb.DuckDBPyConnection | None = None
        self._postgres: Any = None
        self._numbering = Numbering()
        self.columns = ColumnCache(cache_bytes)
        self.versions = Versions()
        self._look_started = float("-inf")
        self._readers = Readers()
        self._rewriting = threading.Lock()
        self._rewritten = float("-inf")
        self._closing = threading.Event()
        self.progress: Progress | None = None
        self.seen: Seen | None = None
        self.trouble: str | None = None  # what an operator has to mend before the mirror can go on

    @property
    def _written_anew(self) -> Path:
        return self._path.with_name(self._path.name + ".new")

    def open(self) -> None:
        self._closing.clear()
        self._duckdb = open_mirror(self._path, memory_bytes=self._memory_bytes)
        remove_file(self._written_anew)  # of a process that ended while it wrote

    def close(self) -> None:
        self._closing.set()
        # DuckDB refuses to close under a query: what has been interrupted needs a moment to end.
        with self._rewriting, self._lock, self._readers.exchanging(EXCHANGE_PATIENCE_SECONDS):
            self._discard()

    @contextmanager
    def noticing_damage(self) -> Iterator[None]:
        """Around every use of the file: damage that shows only when it is read throws it away. Raises Unavailable."""
        try:
            yield
        except duckdb.Error as error:
            if not is_damage(error):
                raise
            logger.error("mirror file is damaged", extra={"action": "mirror_damaged", "error": str(error)})  # noqa: TRY400
            with self._lock:
                self._discard()
            detail = "The columnar copy of the events was damaged and is being built anew; try again."
            raise Unavailable(detail, retry_after_seconds=REBUILD_RETRY_SECONDS) from error

    def _discard(self) -> None:
        self._disconnect()
        if self._duckdb is not None:
            self._duckdb.close()
        self._forget()

    def _forget(self) -> None:
        """The file is closed, and another one may come."""
        self._duckdb, self.progress, self.seen = None, None, None
        self._numbering.forget()
        self.columns.clear()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own for one reader."""
        with self._readers.reading():
            if self._duckdb is None:
                detail = "The columnar copy of the events is being built anew; try again."
                raise Unavailable(detail, retry_after_seconds=REBUILD_RETRY_SECONDS)
            with self._duckdb.cursor() as cursor:
                yield cursor

    def rewrite_when_due(self) -> bool:
        """Write the file anew if it may still contain the bytes of what was erased, at most once an hour."""
        if time.monotonic() - self._rewritten < REWRITE_INTERVAL_SECONDS:
            return False
        return self.rewrite()

    def rewrite(self) -> bool:
        """Returns whether there was reason to, and the mirror was not closed meanwhile."""
        with self.noticing_damage(), self._rewriting:
            if self._duckdb is None:
                return False
            with self.cursor() as mirror:
                if not holds_erased(mirror) or not write_anew(
                    mirror, self._written_anew, memory_bytes=self._memory_bytes, stopping=self._closing.is_set
                ):
                    return False
            while not self._exchange():
                if self._closing.wait(EXCHANGE_PATIENCE_SECONDS):
                    return False
            self._rewritten = time.monotonic()
        logger.info("mirror file written anew after erasures", extra={"action": "mirror_rewritten"})
        return True

    def _exchange(self) -> bool:
        """The new file takes the place of the old one, unless somebody reads that for long. What has come since it was
        written is looked up again: the new file knows how far it is."""
        with self._lock:
            with self._readers.exchanging(EXCHANGE_PATIENCE_SECONDS) as alone:
                if self._duckdb is None:  # found damaged meanwhile, and thrown away
                    remove_file(self._written_anew)
                    return True
                if not alone:
                    return False
                self._duckdb.close()
                self._forget()
                put_in_place(self._written_anew, self._path)
                self._duckdb = open_mirror(self._path, memory_bytes=self._memory_bytes)
            self._look_started, started = float("-inf"), time.monotonic()
            self.progress = self._look()
            self._look_started = started
        return True

    def lag_seconds(self) -> float:
        """Time since a look at Postgres last succeeded."""
        return time.monotonic() - self._look_started

    def catch_up(self) -> Progress:
        """Take in everything that is stored by now. Raises the driver's errors when Postgres can't be reached."""
        asked = time.monotonic()
        with self.noticing_damage(), self._lock:
            if self._closing.is_set():  # a thread that nobody waits for any more got the lock last
                raise Unavailable("The service is stopping; try again.", retry_after_seconds=STOP_RETRY_SECONDS)
            if self._look_started >= asked and self.progress:
                return self.progress  # another thread's look began after we were asked
            started = time.monotonic()
            try:
                self.progress = self._look()
            except Exception as error:
                self.trouble = error.detail if isinstance(error, FootfallError) else None
                self._disconnect()
                raise
            self.trouble = None
            self._look_started = started
            return self.progress

    def _disconnect(self) -> None:
        self.seen = None  # a Postgres that was away may have been put back to what it was
        if self._postgres is not None:
            postgres, self._postgres = self._postgres, None
            postgres.close()

    def _look(self) -> Progress:
        if self._duckdb is None:
            self._duckdb = start_anew(self._path, memory_bytes=self._memory_bytes)
        if self._postgres is None:
            self._postgres = connect(self._postgres_url)
        with self._postgres.cursor() as postgres, self.cursor() as mirror:
            if (unchanged := self._glance(postgres)) is not None:
                return unchanged
            postgres.execute(BEGIN)
            mirror.execute("BEGIN")
            try:
                progress, touched, rows_went, seen = self._copy_new(postgres, mirror)
                mirror.execute("COMMIT")
            except BaseException:
                self._numbering.forget()  # what was new is undone with the rest
                with contextlib.suppress(duckdb.Error):  # a COMMIT that failed has rolled back already
                    mirror.execute("ROLLBACK")
                raise
            if rows_went:
                self.columns.clear()
                self.versions.bump_all()
            self.versions.bump(touched)  # once committed: who sees the new number finds the new rows
            self.seen = seen
            postgres.execute("COMMIT")
        return progress

    def _glance(self, postgres: Any) -> Progress | None:
        """None when there may be something new. A look would take ten times as long to find nothing."""
        if self.seen is None or self.progress is None:
            return None
        postgres.execute(GLANCE)
        instance_id, snapshot, now = postgres.fetchone()
        if (instance_id, snapshot) != self.seen[:2]:
            return None
        self.seen = self.seen._replace(as_of_us=to_us(now))
        return replace(self.progress, as_of_us=self.seen.as_of_us)

    def _copy_new(self, postgres: Any, mirror: duckdb.DuckDBPyConnection) -> tuple[Progress, set[int], bool, Seen]:
        """Returns how far the mirror is then, the storefronts that got rows, whether rows went, and what was seen."""
        postgres.execute(LOOK)
        instance_id, snapshot, xmax, now, from_the_future = postgres.fetchone()
        if from_the_future:
            raise RestoredDump(
                "The events' transaction numbers are of another cluster; `footfall doctor` says what to do."
            )
        new = self._what_is_new(mirror, instance_id, int(xmax))
        copied, touched = copy_rows(postgres, mirror, new, self._numbering)
        erased = follow_erasures(postgres, mirror, new)
        seen = Seen(instance_id, snapshot, to_us(now))
        mirror.execute(
            "UPDATE follower SET instance_id = ?, snapshot = ?, as_of_us = ?",
            list(seen),
        )
        if erased or new == "TRUE" or not self.progress:
            return Progress(seen.as_of_us, _count(mirror)), touched, bool(erased) or new == "TRUE", seen
        return Progress(seen.as_of_us, self.progress.event_count + copied), touched, False, seen

    def _what_is_new(self, mirror: duckdb.DuckDBPyConnection, instance_id: str, xmax: int) -> str:
        """The condition on Postgres' rows; everything when the mirror is empty or of another database's past."""
        row = first_row(mirror.execute("SELECT instance_id, snapshot FROM follower"))
        seen_instance, seen = row or (None, None)
        if seen is None:
            return "TRUE"
        xmin, seen_xmax = (int(part) for part in seen.split(":")[:2])
        if seen_instance != instance_id or seen_xmax > xmax:
            logger.warning(
                "mirror belongs to another database or a later state of it and is built anew",
                extra={"action": "mirror_reset"},
            )
            clear(mirror)
            self._numbering.forget()
            return "TRUE"
        return NEW.format(xmin=xmin, seen=seen)


def _count(mirror: duckdb.DuckDBPyConnection) -> int:
    row = first_row(mirror.execute("SELECT count(*) FROM event"))
    return int(row[0]) if row else 0
