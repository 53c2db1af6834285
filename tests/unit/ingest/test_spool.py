"""The disk queue: what it has taken it gives back, in order; it is bounded, and survives damage to its file."""

import asyncio
import contextlib
import random
import re
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.context import Campaign, Channel, Device, DeviceType
from app.domain.event import Event, Trust
from app.domain.ledger import Received
from app.domain.outcome import RefusedEvent, Rejection, RejectReason, SpoolFull, UnstorableError
from app.ingest.sink import Batch
from app.ingest.spool.parts import MAGIC, PAGE_BYTES, read_part
from app.ingest.spool.queue import Spool
from tests.events import NOW, stored_event
from tests.fakes import FixedClock
from tests.faults.disks import MEGABYTE, full, needs_mounts, small_disk

MINUTE = NOW.replace(second=0, microsecond=0)


def batch(*names: str, shop: int = 1, padding: str = "") -> Batch:
    events = [stored_event(name, storefront_id=shop, properties={"padding": padding}) for name in names]
    return Batch(events, [], [Received(shop, "native", NOW, len(events))])


def incompressible(size_bytes: int) -> str:
    return random.randbytes(size_bytes).hex()


def refused(raw: bytes) -> RefusedEvent:
    rejection = Rejection(0, RejectReason.WRONG_TYPE, "/event", "Expected `str`.", raw)
    return RefusedEvent(1, "native", Trust.BROWSER, NOW, NOW - timedelta(seconds=3), rejection)


def names(batches: Sequence[Batch]) -> list[str]:
    return [event.event_name for batch in batches for event in batch.events]


async def drained(spool: Spool, max_events: int = 10) -> list[Batch]:
    """Everything that waits, taken out."""
    found: list[Batch] = []
    while some := await spool.read(max_events):
        found += [spooled.batch for spooled in some]
        await spool.remove(some)
    return found


@asynccontextmanager
async def opened(folder: Path, *, max_bytes: int = 16 * 1024**2) -> AsyncIterator[Spool]:
    spool = Spool(folder / "spool.sqlite", max_bytes, clock=FixedClock())
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with opened(tmp_path) as spool:
        yield spool


async def test_what_goes_in_comes_out_in_order_and_as_it_was(spool: Spool) -> None:
    given = [
        batch("a", "b"),
        Batch([], [refused(b"\xff\x00not json")], [Received(1, "native", NOW, 1)]),
        Batch([], [], [Received(2, "native", NOW, 3, limited=3)]),
        batch("c", padding=incompressible(100_000)),
    ]
    given[0].events[0].device = Device(DeviceType.TABLET, language="de")
    given[0].events[0].campaign = Campaign(Channel.EMAIL, utm_source="news")
    for each in given:
        await spool.append(each)

    assert not spool.empty
    assert spool.event_count == 4
    assert await drained(spool) == given
    assert spool.empty


async def test_batches_are_read_together_up_to_a_number_of_events(spool: Spool) -> None:
    for each in (batch("a"), batch("b", "c"), batch("d", "e", "f"), batch("g")):
        await spool.append(each)

    assert [len(found.batch.events) for found in await spool.read(3)] == [1, 2]
    assert [len(found.batch.events) for found in await spool.read(0)] == [1]


async def test_what_is_appended_at_once_shares_a_commit(spool: Spool, tmp_path: Path) -> None:
    statements: list[str] = []
    file = spool._file._file
    assert file is not None
    file._connection.set_trace_callback(statements.append)

    await asyncio.gather(*(spool.append(batch(f"{n}")) for n in range(20)))

    assert statements.count("COMMIT") <= 2  # the first one, and all that came meanwhile
    assert names(await drained(spool)) == [f"{n}" for n in range(20)]


async def test_an_append_given_up_while_the_file_is_busy_is_never_written(spool: Spool) -> None:
    await spool.append(batch("a"))
    go_on = threading.Event()
    erasing = asyncio.create_task(spool.erase(lambda _: not go_on.wait(5)))
    for name in ("first in line", "second in line"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await spool.append(batch(name))
    go_on.set()
    await erasing
    await spool.append(batch("b"))
    assert names(await drained(spool)) == ["a", "b"]
    assert spool.empty


async def test_of_a_file_written_anew_since_it_was_read_only_what_was_read_is_removed(spool: Spool) -> None:
    for name in "ab":
        await spool.append(batch(name, padding=incompressible(100_000)))
    read = await spool.read(1)
    await spool.erase(lambda event: event.event_name == "a")
    await spool.append(batch("c"))
    await spool.remove(read)
    assert spool.event_count == 2
    assert names(await drained(spool)) == ["b", "c"]


async def test_it_outlives_its_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append(batch("a", "b"))
    async with opened(tmp_path) as spool:
        assert spool.event_count == 2
        assert spool.pending() == {(1, "native", MINUTE): 2}
        await spool.append(batch("c"))
        assert names(await drained(spool)) == ["a", "b", "c"]


async def test_every_commit_waits_for_the_disk(spool: Spool) -> None:
    file = spool._file._file
    assert file is not None
    settings = {
        name: file._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
    }
    assert settings == {"synchronous": 2, "journal_mode": "truncate"}


async def test_what_waits_is_counted_per_line_of_the_ledger(spool: Spool) -> None:
    later = Received(1, "native", NOW + timedelta(minutes=1), 5, no_consent=2)
    await spool.append(batch("a", "b"))
    await spool.append(batch("c", shop=2))
    await spool.append(Batch([stored_event()] * 3, [], [later]))

    assert spool.pending() == {
        (1, "native", MINUTE): 2,
        (2, "native", MINUTE): 1,
        (1, "native", MINUTE + timedelta(minutes=1)): 5,
    }
    await spool.remove(await spool.read(3))
    assert spool.pending() == {(1, "native", MINUTE + timedelta(minutes=1)): 5}


async def test_the_age_is_that_of_the_oldest_event(tmp_path: Path) -> None:
    clock = FixedClock(NOW + timedelta(seconds=30))
    spool = Spool(tmp_path / "spool.sqlite", 2**20, clock=clock)
    await spool.open()
    assert spool.oldest_age_seconds() == 0
    await spool.append(batch("a"))
    clock.advance(12)
    assert spool.oldest_age_seconds() == 42
    await drained(spool)
    assert spool.oldest_age_seconds() == 0
    await spool.close()


async def test_a_full_spool_refuses_and_takes_again_once_it_has_room(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=1024**2) as spool:
        taken = 0
        with contextlib.suppress(SpoolFull):
            while taken < 100:
                await spool.append(batch("a", padding=incompressible(100_000)))
                taken += 1

        assert 5 <= taken <= 10
        assert spool.state()[1].endswith("; full")
        assert (tmp_path / "spool.sqlite").stat().st_size <= 1024**2
        await spool.append(batch("small"))  # what is smaller may still fit
        assert len(await drained(spool)) == taken + 1
        assert spool.takes_events
        await spool.append(batch("a", padding=incompressible(100_000)))


async def test_a_batch_too_large_does_not_refuse_those_appended_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=1024**2) as spool:
        large = batch("large", padding=incompressible(2_000_000))
        results = await asyncio.gather(
            *(spool.append(each) for each in (batch("a"), batch("b"), large, batch("c"))), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), type(None), SpoolFull, type(None)]
        assert names(await drained(spool)) == ["a", "b", "c"]


async def test_an_emptied_spool_gives_its_room_back(spool: Spool, tmp_path: Path) -> None:
    await spool.append(batch("a", padding=incompressible(3_000_000)))
    assert (tmp_path / "spool.sqlite").stat().st_size > 2_000_000
    await drained(spool)
    assert (tmp_path / "spool.sqlite").stat().st_size < 100_000


@needs_mounts
async def test_it_gives_back_all_of_a_disk_without_a_byte_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2 * MEGABYTE) as disk:
        async with opened(disk) as spool:
            with contextlib.suppress(SpoolFull):
                while True:
                    await spool.append(batch("a", padding=incompressible(20_000)))
            waiting = spool.event_count
            with full(disk):
                assert names(await drained(spool)) == ["a"] * waiting
                assert spool.takes_events
                assert spool.empty
        async with opened(disk) as spool:
            assert spool.empty
            await spool.append(batch("b"))


async def test_text_that_cannot_be_written_down_is_unstorable_and_nobody_else_s_trouble(spool: Spool) -> None:
    good, bad = await asyncio.gather(spool.append(batch("good")), spool.append(batch("\ud800")), return_exceptions=True)
    assert good is None
    assert isinstance(bad, UnstorableError)
    assert names(await drained(spool)) == ["good"]


async def test_one_process_at_a_time_holds_a_spool(spool: Spool, tmp_path: Path) -> None:
    async with opened(tmp_path) as other:
        assert other.state() == (False, "empty; can't be used: SQLITE_BUSY")
        with pytest.raises(SpoolFull):
            await other.append(batch("a"))
    await spool.append(batch("b"))
    assert names(await drained(spool)) == ["b"]


async def test_a_spool_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    async with opened(folder) as spool:
        with pytest.raises(SpoolFull):
            await spool.append(batch("a"))
        folder.mkdir()
        await spool.append(batch("b"))
        assert spool.takes_events


# -- erasure ---------------------------------------------------------------------------------------------------


async def test_a_person_s_events_are_taken_out_for_good(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        ana, ben = stored_event("seen", visitor="ana"), stored_event("seen", visitor="ben")
        await spool.append(Batch([ana, ben], [refused(b"ana's"), refused(b"ben's")], [Received(1, "native", NOW, 4)]))
        await spool.append(Batch([ana], [], [Received(1, "native", NOW, 1)]))

        count = await spool.erase(lambda event: event.visitor_key == "ana", lambda event: b"ana" in event.rejection.raw)

        assert count == 3
        assert spool.event_count == 2
        assert spool.pending() == {(1, "native", MINUTE): 2}
        assert await spool.erase(lambda event: event.visitor_key == "ana") == 0
    async with opened(tmp_path) as spool:
        assert spool.put_aside() == []
        [first, second] = await drained(spool)
        assert first.events == [ben]
        assert [event.rejection.raw for event in first.refused] == [b"ben's"]
        assert sum(part.received for part in [*first.received, *second.received]) == 2
    assert {path.name for path in tmp_path.glob("*") if path.stat().st_size} == {"spool.sqlite"}  # noqa: ASYNC240


async def test_what_is_drained_leaves_nothing_in_the_file(spool: Spool, tmp_path: Path) -> None:
    raw = random.randbytes(40_000)  # not to be compressed, so that it stands in the file as it is
    await spool.append(batch("a"))
    await spool.append(Batch([], [refused(raw)], [Received(1, "native", NOW, 1)]))
    await spool.append(batch("b"))
    assert raw[1000:1064] in (tmp_path / "spool.sqlite").read_bytes()

    await spool.remove(await spool.read(2))

    assert raw[1000:1064] not in (tmp_path / "spool.sqlite").read_bytes()


# -- damage ----------------------------------------------------------------------------------------------------


class Filled(NamedTuple):
    """The bytes of a spool, and the events in it, oldest first."""

    content: bytes
    events: list[Event]


@pytest.fixture(scope="module")
def filled() -> Filled:
    """Some batches are small, some large, and some are gone already."""
    sizes = (10, 60_000, 10, 20_000, 500, 90_000)
    given = [batch(f"{n}", f"{n}+", padding=incompressible(size)) for n, size in enumerate(sizes)]

    async def fill(folder: Path) -> bytes:
        async with opened(folder) as spool:
            await spool.append(batch("gone", "gone too"))
            for each in given:
                await spool.append(each)
            await spool.remove(await spool.read(2))
        return (folder / "spool.sqlite").read_bytes()

    with tempfile.TemporaryDirectory() as folder:
        return Filled(asyncio.run(fill(Path(folder))), [event for each in given for event in each.events])


class AfterDamage(NamedTuple):
    left: int
    lost: int
    put_aside: list[str]


async def after_damage(folder: Path, content: bytes, events: Sequence[Event]) -> AfterDamage:
    """Open a file with this content, and see that what is left of the events is as it was, in order."""
    (folder / "spool.sqlite").write_bytes(content)
    async with opened(folder) as spool:
        lost = spool.lost_count
        left = [event for each in await drained(spool) for event in each.events]
        in_order = iter(events)
        assert all(event in in_order for event in left)
        await spool.append(batch("later"))
        assert names(await drained(spool)) == ["later"]
        return AfterDamage(len(left), lost, spool.put_aside())


@hypothesis.settings(max_examples=20)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits_cost_what_they_hit_and_no_more(filled: Filled, flips: list[tuple[float, int]]) -> None:
    """flips: each a place, as a share of the file, and a bit."""
    damaged = bytearray(filled.content)
    for share, bit in flips:
        damaged[int(share * len(damaged))] ^= 1 << bit

    with tempfile.TemporaryDirectory() as folder:
        after = asyncio.run(after_damage(Path(folder), bytes(damaged), filled.events))

    assert after.left + after.lost == len(filled.events)
    assert after.lost <= 2 * len(flips)


@hypothesis.settings(max_examples=20)
@given(share=st.floats(0, 0.999))
def test_of_a_cut_off_file_the_rest_is_whole(filled: Filled, share: float) -> None:
    content = filled.content[: int(len(filled.content) * share)]

    with tempfile.TemporaryDirectory() as folder:
        after = asyncio.run(after_damage(Path(folder), content, filled.events))

    assert after.put_aside
    assert after.left + after.lost <= len(filled.events)
    if len(content) >= 3 * PAGE_BYTES:  # the totals, by which is counted what is missing, are among the first pages
        assert after.left + after.lost == len(filled.events)


@pytest.mark.parametrize("content", [b"", b"no SQLite at all", b"\0" * 100_000])
async def test_a_file_that_is_no_spool_is_put_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spool.sqlite").write_bytes(content)
    async with opened(tmp_path) as spool:
        [aside] = spool.put_aside()
        assert (tmp_path / aside).read_bytes() == content
        await spool.append(batch("a"))
        assert names(await drained(spool)) == ["a"]


@pytest.mark.parametrize("damaged_totals", [0, 1])
async def test_one_of_the_totals_is_enough_to_count_what_is_lost_of_the_newest(
    filled: Filled, tmp_path: Path, damaged_totals: int
) -> None:
    content = bytearray(filled.content)
    starts = [found.start() for found in re.finditer(re.escape(MAGIC), content)]
    parts = {start: read_part(bytes(content[start : start + PAGE_BYTES])) for start in starts}
    totals = [start for start, part in parts.items() if part.is_totals]
    newest = max(part.batch_id for part in parts.values() if not part.is_totals)
    for start in (totals[damaged_totals], *(start for start, part in parts.items() if part.batch_id == newest)):
        content[start + len(MAGIC)] ^= 1
    after = await after_damage(tmp_path, bytes(content), filled.events)
    assert (after.left, after.lost) == (len(filled.events) - 2, 2)


async def test_a_lost_first_page_costs_nothing(filled: Filled, tmp_path: Path) -> None:
    content = bytes(PAGE_BYTES) + filled.content[PAGE_BYTES:]
    after = await after_damage(tmp_path, content, filled.events)
    assert (after.left, after.lost) == (len(filled.events), 0)


async def test_rows_that_are_missing_are_noticed_and_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        for each in (batch("a"), batch("b", "c"), batch("d")):
            await spool.append(each)
    with closing(sqlite3.connect(tmp_path / "spool.sqlite")) as connection:
        connection.execute("DELETE FROM part WHERE id = 2")
        connection.commit()
    async with opened(tmp_path) as spool:
        assert spool.lost_count == 2
        assert names(await drained(spool)) == ["a", "d"]


async def test_damage_that_shows_while_running_is_mended(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        for n in range(5):
            await spool.append(batch(f"{n}", padding=incompressible(30_000)))
        file = spool._file._file
        assert file is not None
        file._connection.execute("UPDATE part SET content = zeroblob(100) WHERE id = 4")
        assert names(await drained(spool)) == ["0", "2", "3", "4"]
        assert spool.lost_count == 1


async def test_a_sender_s_text_does_not_pass_for_a_batch(tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    forged.mkdir()
    async with opened(forged) as spool:
        await spool.append(batch("forged"))
    part = (forged / "spool.sqlite").read_bytes()
    start = part.rindex(b"\xffspool")
    async with opened(tmp_path) as spool:
        await spool.append(batch("a"))
        await spool.append(
            Batch(
                [],
                [refused(part[start : start + 400] + bytes.fromhex(incompressible(2_000)))],
                [Received(1, "native", NOW, 1)],
            )
        )
        await spool.append(batch("b"))
    path = tmp_path / "spool.sqlite"
    content = bytearray(path.read_bytes())
    content[:100] = bytes(100)
    content[content.index(bytes(part[start : start + 8]), content.index(b"\xffspool") + 1) + 20] ^= 1
    path.write_bytes(content)

    async with opened(tmp_path) as spool:
        assert "forged" not in names(await drained(spool))
