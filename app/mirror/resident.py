"""What every report asks of events, in memory: plain arrays by row_number, from which a pass picks what it wants."""

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from app.parallel import at_once, parts_of, split_evenly

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
UInt64s = npt.NDArray[np.uint64]

NO_EVENT = -1  # name_id of a row_number whose event was erased
SPARE_SHARE = 8  # an eighth of room more than is needed, so that new rows seldom mean a copy of all


class Rows(NamedTuple):
    """One element per row_number. visitor_id, customer_id: 0 for none."""

    name_id: Int32s
    occurred_at_us: Int64s
    visitor_id: Int64s
    customer_id: Int64s
    seq: Int32s
    stored: Int64s
    is_bot: npt.NDArray[np.bool_]


def _room(count: int) -> Rows:
    return Rows(
        name_id=np.empty(count, np.int32),
        occurred_at_us=np.empty(count, np.int64),
        visitor_id=np.empty(count, np.int64),
        customer_id=np.empty(count, np.int64),
        seq=np.empty(count, np.int32),
        stored=np.empty(count, np.int64),
        is_bot=np.empty(count, np.bool_),
    )


BYTES_PER_EVENT = sum(column.itemsize for column in _room(0)) * (SPARE_SHARE + 1) // SPARE_SHARE


class Resident:
    """The first `length` events of a storefront. Never changed, only extended."""

    def __init__(self, buffers: Rows, length: int) -> None:
        self._buffers = buffers
        self.length = length

    @classmethod
    def empty(cls) -> "Resident":
        return cls(_room(0), 0)

    @property
    def size_bytes(self) -> int:
        return sum(int(buffer.nbytes) for buffer in self._buffers)

    def rows(self, count: int) -> Rows:
        """The first so many."""
        return Rows._make(buffer[:count] for buffer in self._buffers)

    def extended(self, pieces: Iterable[pa.Table]) -> "Resident":
        """With further rows. pieces: tables of row_number and what Rows has, of rows beyond those that this has."""
        found = [piece for piece in pieces if piece.num_rows]
        if not found:
            return self
        length = 1 + max(int(piece.column("row_number").to_numpy().max()) for piece in found)
        buffers = self._room_for(length)
        buffers.name_id[self.length : length] = NO_EVENT
        columns: dict[str, npt.NDArray[Any]] = buffers._asdict()
        for piece in found:
            row_numbers = piece.column("row_number").to_numpy()
            for name, column in columns.items():
                column[row_numbers] = piece.column(name).to_numpy()
        return Resident(buffers, length)

    def _room_for(self, length: int) -> Rows:
        """Buffers with this one's rows. Those who have this one do not see what is written behind them."""
        if length <= len(self._buffers.name_id):
            return self._buffers
        grown = _room(length + length // SPARE_SHARE)
        old: dict[str, npt.NDArray[Any]] = self._buffers._asdict()
        new: dict[str, npt.NDArray[Any]] = grown._asdict()
        for name, column in new.items():
            column[: self.length] = old[name][: self.length]
        return grown


class Pick(NamedTuple):
    """Which events are wanted. By name_id: the mask, and the times [from_us, to_us) at which it is wanted.

    Besides, events of any name from every_from_us on; none at end_us or later.
    """

    mask_of_name: UInt64s
    from_us: Int64s
    to_us: Int64s
    every_from_us: int
    end_us: int
    include_bots: bool


class Picked(NamedTuple):
    """One element per wanted event, in the order of row_number."""

    row_number: Int64s
    occurred_at_us: Int64s
    visitor_id: Int64s
    customer_id: Int64s
    seq: Int32s
    stored: Int64s
    mask: UInt64s


def pick(rows: Rows, wanted: Pick) -> Picked:
    count = len(rows.name_id)
    parts = [partial(_pick, first, last, rows, wanted) for first, last in split_evenly(count, parts_of(count))]
    row_number = np.concatenate(at_once(parts))
    count = len(row_number)
    picked = Picked(
        row_number=row_number,
        occurred_at_us=np.empty(count, np.int64),
        visitor_id=np.empty(count, np.int64),
        customer_id=np.empty(count, np.int64),
        seq=np.empty(count, np.int32),
        stored=np.empty(count, np.int64),
        mask=np.empty(count, np.uint64),
    )
    mask = wanted.mask_of_name
    at_once([partial(_gather, *part, rows, mask, picked) for part in split_evenly(count, parts_of(count))])
    return picked


@njit(cache=True, nogil=True)
def _gather(first: int, last: int, rows: Rows, mask_of_name: UInt64s, picked: Picked) -> None:
    for place in range(first, last):
        row = picked.row_number[place]
        picked.occurred_at_us[place] = rows.occurred_at_us[row]
        picked.visitor_id[place] = rows.visitor_id[row]
        picked.customer_id[place] = rows.customer_id[row]
        picked.seq[place] = rows.seq[row]
        picked.stored[place] = rows.stored[row]
        picked.mask[place] = mask_of_name[rows.name_id[row]]


@njit(cache=True, nogil=True)
def _pick(first: int, last: int, rows: Rows, wanted: Pick) -> Int64s:
    """The row_numbers of the wanted events among [first, last)."""
    found = np.empty(last - first, np.int64)
    count = 0
    wants_every = wanted.every_from_us < wanted.end_us
    for row in range(first, last):
        name_id = rows.name_id[row]
        # Most events are of other names, so nothing else of them is read.
        if name_id < 0 or not (wants_every or wanted.mask_of_name[name_id]):
            continue
        at = rows.occurred_at_us[row]
        is_named = wanted.mask_of_name[name_id] != 0 and wanted.from_us[name_id] <= at < wanted.to_us[name_id]
        if (is_named or at >= wanted.every_from_us) and at < wanted.end_us:
            found[count] = row
            count += not rows.is_bot[row] or wanted.include_bots
    return found[:count]
