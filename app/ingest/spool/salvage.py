"""Makes a new spool file of an old one: of a damaged one what is whole, of a good one what may stay."""

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from app.ingest.sink import Batch
from app.ingest.spool.file import SpoolFile, Totals, new_marker
from app.ingest.spool.parts import (
    Part,
    Place,
    Unreadable,
    cut,
    find_parts,
    group_batches,
    pack,
    read_part,
    unpack,
)

COPY_PARTS = 1_000  # in one transaction: 16 MiB at most


class Salvaged(NamedTuple):
    """lost: events that can't be read any more; None if nothing is left to tell how many there were."""

    kept: int
    lost: int | None
    put_aside: Path


def create_spool(path: Path, max_bytes: int) -> None:
    """An empty spool under this name, which is whole from the start. Raises SpoolFull."""
    with _replacement(path, max_bytes, new_marker(), Totals(1, 0, 0)):
        pass


def salvage(path: Path, max_bytes: int) -> Salvaged:
    """Put a damaged spool aside, and what is whole of it in its place. Raises SpoolFull, and then changes nothing."""
    with _mapped(path) as content:
        places = find_parts(content)
        whole = list(_whole_batches(content, places))
        kept = sum(batch[0].header.event_count for batch in whole)
        expected = _expected_count([place.header for place in places])
        lost = None if expected is None else max(0, expected - kept)
        marker = places[0].header.marker if places else new_marker()
        ever = max((place.header.first_event + place.header.event_count for place in places), default=0)
        totals = Totals(max((place.header.batch_id for place in places), default=0) + 1, ever - kept, ever)
        aside = path.with_name(f"{path.stem}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}{path.suffix}")
        with _replacement(path, max_bytes, marker, totals, aside) as new:
            _copy(new, (content[place.start : place.end] for batch in whole for place in batch), totals)
    return Salvaged(kept, lost, aside)


def rewrite(path: Path, old: SpoolFile, max_bytes: int, change: Callable[[Batch], Batch]) -> None:
    """Put in the place of a spool one whose batches are changed. Nothing of the old one remains. Raises SpoolFull."""
    with _replacement(path, max_bytes, old.marker, old.totals) as new:
        for stored in old.batches():
            batch = change(unpack(stored.packed))
            event_count = len(batch.events) + len(batch.refused)
            left = new.totals.removed + stored.header.event_count - event_count
            parts = cut(old.marker, stored.header.batch_id, stored.header.first_event, event_count, pack(batch))
            new.append_raw(parts, new.totals._replace(removed=left))
        old.close()


def _copy(new: SpoolFile, parts: Iterator[bytes], totals: Totals) -> None:
    while some := list(islice(parts, COPY_PARTS)):
        new.append_raw(some, totals)


@contextlib.contextmanager
def _replacement(
    path: Path, max_bytes: int, marker: bytes, totals: Totals, aside: Path | None = None
) -> Iterator[SpoolFile]:
    """A new file to fill; at the end it takes the name of the old one, which is kept as `aside` if that is given."""
    draft = path.with_name(path.name + ".new")
    _discard(draft)
    try:
        SpoolFile.create(draft, marker, totals)
        with SpoolFile(draft, max_bytes) as new:
            new.sync_later()
            yield new
        _sync(draft)
        _journal(draft).unlink(missing_ok=True)
        journal = _journal(path)
        if aside is not None:
            # First the journal: it must not be taken for one of the new file.
            if journal.exists():
                journal.rename(_journal(aside))
            os.link(path, aside)
        else:
            journal.unlink(missing_ok=True)
        draft.replace(path)
        _sync(path.parent)
    except BaseException:
        _discard(draft)
        raise


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def _discard(path: Path) -> None:
    for each in (path, _journal(path)):
        each.unlink(missing_ok=True)


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file:
        length = path.stat().st_size
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) if length else mmap.mmap(-1, 1) as content:
            yield content


def _whole_batches(content: mmap.mmap, places: list[Place]) -> Iterator[list[Place]]:
    """Oldest first. A part may lie there twice: SQLite moves rows."""
    parts = {(p.header.batch_id, p.header.part): p for p in places if not p.header.is_totals}
    for _, group in groupby(sorted(parts.items()), key=lambda item: item[0][0]):
        batch = [place for _, place in group]
        try:
            [found] = group_batches(read_part(content[p.start : p.end]) for p in batch)
            unpack(b"".join(part.data for part in found))
        except (Unreadable, ValueError):
            continue
        yield batch


def _expected_count(headers: list[Part]) -> int | None:
    """How many events should be there: by the totals, or else between the oldest and the newest part still there."""
    for header in headers:
        if header.is_totals:
            return int.from_bytes(header.data, "little") - header.first_event
    if not headers:
        return None
    return max(h.first_event + h.event_count for h in headers) - min(h.first_event for h in headers)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
