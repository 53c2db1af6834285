"""Columns of texts held in memory: what a property or a dimension is of every event, as numbers into a dictionary."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, overload

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.mirror.resident import Resident

Int32s = npt.NDArray[np.int32]
Float64s = npt.NDArray[np.float64]

NOT_SET = -1  # the code of an event that has no such property, or null
SPARE_SHARE = 8  # an eighth of room more than is needed, so that new rows seldom mean a copy of all codes

# Numbers as we accept them, in numbers and in numeric text alike; nothing else may reach the cast.
_NUMBER = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"


def number_sql(text: str) -> str:
    """The number that a text is, NULL when it is none. text: SQL, written twice."""
    return f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN TRY_CAST({text} AS DOUBLE) END"


class Subject(NamedTuple):
    """What a column is about: a property of the events, or a dimension (see dimensions.py)."""

    name: str
    is_dimension: bool = False


class Texts(Sequence[str]):
    """Distinct texts. Kept in Arrow's form, a quarter of what as many Python objects take."""

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "Texts": ...
    def __getitem__(self, place: int | slice) -> "str | Texts":
        if isinstance(place, slice):
            return Texts(self.array[place])
        text: str = self.array[place].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self.array.to_pylist())


class Column:
    """codes: per row_number the place in texts of what the event has, or NOT_SET. Never changed, only extended."""

    def __init__(self, buffer: Int32s, length: int, texts: Texts, numbers: Float64s) -> None:
        self.codes = buffer[:length]
        self.texts = texts
        self._buffer = buffer
        self._numbers = numbers  # of the first texts; of all once they were asked for

    @property
    def length(self) -> int:
        return len(self.codes)

    @property
    def size_bytes(self) -> int:
        return int(self._buffer.nbytes + self.texts.array.nbytes + self._numbers.nbytes)

    def numbers(self) -> Float64s:
        """Per text the number that it is, as in conditions; NaN for what is none, or beyond what a float holds."""
        if len(self._numbers) < len(self.texts):
            new = numbers_of(self.texts.array[len(self._numbers) :])
            self._numbers = np.concatenate([self._numbers, new])
        return self._numbers

    def extended(self, pieces: Iterable[pa.Table]) -> "Column":
        """With further rows. pieces: tables of row_number and text, of rows beyond those that this column has."""
        rows: list[Int32s] = []
        encoded: list[pa.DictionaryArray] = []
        for piece in pieces:
            for batch in filter(len, piece.to_batches()):
                rows.append(batch.column("row_number").to_numpy())
                encoded.append(batch.column("text").cast(pa.large_string()).dictionary_encode())
        if not rows:
            return self
        encoded = pa.chunked_array(encoded).unify_dictionaries().chunks
        texts, codes_of = _merged(self.texts.array, encoded[0].dictionary)
        length = 1 + max(int(chunk.max()) for chunk in rows)
        buffer = self._room_for(length)
        for row_numbers, chunk in zip(rows, encoded, strict=True):
            buffer[row_numbers] = codes_of[chunk.indices.fill_null(NOT_SET).to_numpy()]
        return Column(buffer, length, Texts(texts), self._numbers)

    def _room_for(self, length: int) -> Int32s:
        """A buffer with this column's codes. Those who have this column do not see what is written behind them."""
        if length <= len(self._buffer):
            return self._buffer
        buffer = np.full(length + length // SPARE_SHARE, NOT_SET, np.int32)
        buffer[: len(self.codes)] = self.codes
        return buffer


def no_column() -> Column:
    return Column(np.empty(0, np.int32), 0, Texts(pa.array([], pa.large_string())), np.empty(0, np.float64))


def _merged(known: pa.Array, added: pa.Array) -> tuple[pa.Array, Int32s]:
    """All texts, those known first; and the code of each added one, with one more at the end for NOT_SET."""
    codes_of = np.full(len(added) + 1, NOT_SET, np.int32)
    place_in_added = pc.index_in(known, value_set=added)  # hashes those added: they are few, but for the first time
    found = place_in_added.is_valid().to_numpy(zero_copy_only=False).nonzero()[0]
    codes_of[place_in_added.drop_null().to_numpy()] = found
    new = np.flatnonzero(codes_of[:-1] == NOT_SET)
    codes_of[new] = np.arange(len(known), len(known) + len(new))
    return (pa.concat_arrays([known, added.take(pa.array(new))]) if len(new) else known), codes_of


def numbers_of(texts: pa.Array) -> Float64s:
    """Per text the number that it is, NaN for none. By DuckDB, so that it is the same one as in a condition."""
    with duckdb.connect(config={"threads": 1, "enable_external_access": False}) as connection:
        connection.register("given", pa.table({"text": texts}))
        found = connection.sql(f"SELECT {number_sql('text')} AS number FROM given").to_arrow_table()  # noqa: S608  # our own words
    numbers: Float64s = found.column("number").to_numpy().copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


class Held(Protocol):
    """What the cache holds of a storefront's events: a column, or several."""

    @property
    def size_bytes(self) -> int: ...


H = TypeVar("H", bound=Held)


class _Entry:
    """building: held while it is built, so that nobody builds it a second time."""

    def __init__(self, held: Any) -> None:
        self.building = threading.Lock()
        self.held = held


Key = tuple[int, Subject | str]  # storefront_id, and which column; a word: several that many reports ask for
Read = Callable[[int], Iterable[pa.Table]]


class ColumnCache:
    """Columns that reports asked for, the least recently used go first. Thread-safe.

    Rows are only ever added to a column; so when rows were erased, or the file is another one, everything is
    forgotten, and those who still look at the state before (their generation is another) leave nothing behind.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self.generation = 0

    def clear(self) -> None:
        """Once what was erased can't be seen any more by those who begin to read."""
        with self._lock:
            self.generation += 1
            self._entries.clear()

    def column(self, storefront_id: int, subject: Subject, generation: int, read: Read) -> Column:
        """read: the rows from a row_number on, see `Column.extended`."""
        key, empty = (storefront_id, subject), no_column()
        return self.held(key, generation, empty, lambda held: held.extended(read(held.length)))

    def resident(self, storefront_id: int, generation: int, read: Read) -> Resident:
        """read: the rows from a row_number on, see `Resident.extended`."""
        key, empty = (storefront_id, "rows"), Resident.empty()
        return self.held(key, generation, empty, lambda held: held.extended(read(held.length)))

    def resident_count(self, storefront_id: int) -> int:
        """How many rows are held at this moment; 0: none."""
        with self._lock:
            entry = self._entries.get((storefront_id, "rows"))
        return entry.held.length if entry else 0

    def held(self, key: Key, generation: int, empty: H, update: Callable[[H], H]) -> H:
        """With all rows that the caller sees, perhaps more.

        generation: of the cache, before the caller's transaction began. update: makes it so, of what is held.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry(empty)) if generation == self.generation else _Entry(empty)
            if key in self._entries:
                self._entries.move_to_end(key)
        with entry.building:
            held: H = update(entry.held)
            entry.held = held
        with self._lock:
            self._evict()
        return held

    def _evict(self) -> None:
        """What does not fit by itself goes first, then what was not used for longest."""
        sizes = {key: entry.held.size_bytes for key, entry in self._entries.items()}
        for key in sorted(sizes, key=lambda key: sizes[key] <= self.budget_bytes):  # stable
            if sum(sizes.values()) <= self.budget_bytes:
                break
            del self._entries[key], sizes[key]
