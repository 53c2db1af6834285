"""What every report asks of events, in memory: plain arrays by row_number."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

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
