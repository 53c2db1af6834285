"""Arrays that several threads fill at once: each writes to a room of its own, behind all that the one before may write.

So nothing is copied but what has to move up to where the part before it ends.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from app.match.rules import Bools, Int32s, Int64s, UInt64s

Column = TypeVar("Column", Bools, Int32s, Int64s, UInt64s)


def closed_up(column: Column, bounds: Sequence[int], ends: Sequence[int]) -> Column:
    """What the threads wrote, without what is between. bounds: of the rooms. ends: of what was written when nothing is
    between; both begin with 0."""
    for start, (to, end) in zip(bounds, pairwise(ends), strict=False):
        if start > to:
            column[to:end] = column[start : start + end - to]
    return column[: ends[-1]]


def add_by_part(column: Int64s, ends: Sequence[int], numbers: Sequence[int]) -> None:
    """Add to all that a part wrote its number. ends: as for `closed_up`."""
    for (start, end), number in zip(pairwise(ends), numbers, strict=False):
        column[start:end] += number
