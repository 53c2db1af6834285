"""The spool's file with what is known of it: opened when it is needed, mended when it is damaged, and counted.

Blocking; used by one thread. Its counts may be read by others at any time.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from app.domain.event import Event
from app.domain.ledger import LedgerKey, Received
from app.domain.outcome import RefusedEvent, SpoolFull, UnstorableError
from app.ingest.sink import Batch
from app.ingest.spool.file import SpoolDamaged, SpoolFile, Stored
from app.ingest.spool.parts import Unreadable, head_of, pack, unpack, unpack_head
from app.ingest.spool.salvage import create_spool, rewrite, salvage

logger = logging.getLogger(__name__)

T = TypeVar("T")


class SpooledBatch(NamedTuple):
    """A batch that waits, as `read` hands it out and `remove` takes it."""

    stored: Stored
    batch: Batch


class Without(NamedTuple):
    """Which events are taken out of batches."""

    matches: Callable[[Event], bool]
    matches_refused: Callable[[RefusedEvent], bool]

    def count(self, batch: Batch) -> int:
        return sum(map(self.matches, batch.events)) + sum(map(self.matches_refused, batch.refused))

    def left_of(self, batch: Batch) -> Batch:
        """Lessens the ledger's lines as well, so that they still add up."""
        events = [event for event in batch.events if not self.matches(event)]
        refused = [event for event in batch.refused if not self.matches_refused(event)]
        gone = [(e.storefront_id, e.source, e.received_at) for e in batch.events if self.matches(e)]
        gone += [(e.storefront_id, e.format, e.received_at) for e in batch.refused if self.matches_refused(e)]
        return Batch(events, refused, [*batch.received, *(Received(*line, received=-1) for line in gone)])


class RecoveringFile:
    """Methods raise SpoolFull when there is no room, or when the file can't be used; then `trouble` says why.

    pending: events received that the ledger in Postgres does not know of, per line of the ledger.
    lost_count: events that a damaged file did not give back. full: the last append found no room.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file: SpoolFile | None = None
        self.pending: Counter[LedgerKey] = Counter()
        self.oldest_at: datetime | None = None
        self.batch_count = 0
        self.event_count = 0
        self.size_bytes = 0
        self.lost_count = 0
        self.full = False
        self.trouble: str | None = None

    def open(self) -> None:
        self._work(lambda _: None)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, batches: Sequence[Batch]) -> list[Exception | None]:
        """All in one commit, or else each by itself; what went wrong with each: SpoolFull or UnstorableError."""
        results: list[Exception | None] = [None] * len(batches)
        packed: dict[int, tuple[int, bytes]] = {}
        for place, batch in enumerate(batches):
            try:
                packed[place] = (len(batch.events) + len(batch.refused), pack(batch))
            except (ValueError, OverflowError, TypeError) as error:
                results[place] = UnstorableError(type(error).__name__)
        for place, failure in self._work(lambda file: self._append(file, packed)).items():
            results[place] = failure
        return results

    def read(self, max_events: int) -> list[SpooledBatch]:
        """The oldest batches: at most max_events events, but at least one batch unless there is none."""
        found = self._work(lambda file: [SpooledBatch(each, _unpacked(each)) for each in file.read(max_events)])
        if found:
            self.oldest_at = head_of(found[0].batch).oldest_at
        return found

    def remove(self, batches: Sequence[SpooledBatch]) -> None:
        """Forget the oldest batches, these, as `read` gave them; those that are gone already don't matter."""
        self._work(lambda file: self._remove(file, batches[-1].stored))

    def erase(self, without: Without) -> int:
        return self._work(lambda file: self._erase(file, without))

    def _work(self, work: Callable[[SpoolFile], T]) -> T:
        try:
            try:
                done = work(self._opened())
            except SpoolDamaged as damage:
                self.close()
                self._mend(damage)
                done = work(self._opened())
        except (SpoolDamaged, SpoolFull, OSError) as error:
            self.close()
            # The system's errors name paths.
            self.trouble = type(error).__name__ if isinstance(error, OSError) else str(error)
            raise SpoolFull(self.trouble) from error
        self.trouble = None
        return done

    def _opened(self) -> SpoolFile:
        if self._file is None:
            if not self._path.exists():
                create_spool(self._path, self._max_bytes)
            file = SpoolFile(self._path, self._max_bytes)
            try:
                self._count(file)
            except BaseException:
                file.close()
                raise
            self._file = file
        return self._file

    def _count(self, file: SpoolFile) -> None:
        self.pending, self.oldest_at, self.batch_count, self.event_count = Counter(), None, 0, 0
        for stored in file.batches():
            self._note(1, stored.header.event_count, stored.packed)
        if self.event_count != file.totals.appended - file.totals.removed:
            raise SpoolDamaged("batches are missing")
        self.size_bytes = file.size_bytes

    def _note(self, sign: int, event_count: int, packed: bytes) -> None:
        """A batch has come (1) or gone (-1)."""
        try:
            head = unpack_head(packed)
        except Unreadable as error:
            raise SpoolDamaged(str(error)) from error
        self.batch_count += sign
        self.event_count += sign * event_count
        for storefront_id, source, minute, count in head.lines:
            line = (storefront_id, source, minute)
            self.pending[line] += sign * count
            if not self.pending[line]:
                del self.pending[line]
        if self.oldest_at is None or not self.batch_count:
            self.oldest_at = head.oldest_at if self.batch_count else None

    def _append(self, file: SpoolFile, packed: dict[int, tuple[int, bytes]]) -> dict[int, Exception]:
        failures: dict[int, Exception] = {}
        try:
            self._commit(file, list(packed.values()))
        except SpoolFull as full:
            if not full.no_room:
                raise
            for place, each in packed.items():
                try:
                    self._commit(file, [each])
                except SpoolFull as error:
                    failures[place] = error
        self.full = bool(failures)
        return failures

    def _commit(self, file: SpoolFile, packed: list[tuple[int, bytes]]) -> None:
        file.append(packed)
        for event_count, each in packed:
            self._note(1, event_count, each)
        self.size_bytes = file.size_bytes

    def _remove(self, file: SpoolFile, last: Stored) -> None:
        for stored in file.remove(last):
            self._note(-1, stored.header.event_count, stored.packed)
        if not self.batch_count:
            with contextlib.suppress(SpoolFull):  # the disk has no room for that; it works in a large file as well
                file.shrink()
        self.size_bytes = file.size_bytes
        self.full = False

    def _erase(self, file: SpoolFile, without: Without) -> int:
        count = sum(without.count(_unpacked(stored)) for stored in file.batches())
        if count:
            rewrite(self._path, file, self._max_bytes, without.left_of)
            self.close()
            self._opened()
        return count

    def _mend(self, damage: SpoolDamaged) -> None:
        saved = salvage(self._path, self._max_bytes)
        self.lost_count += saved.lost or 0
        facts = {"kept_events": saved.kept, "lost_events": saved.lost, "file": saved.put_aside.name}
        logger.error("spool was damaged", extra={"action": "spool_damaged", "cause": str(damage), **facts})


def _unpacked(stored: Stored) -> Batch:
    try:
        return unpack(stored.packed)
    except Unreadable as error:
        raise SpoolDamaged(str(error)) from error
