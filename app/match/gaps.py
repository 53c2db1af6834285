"""How many events are missing between those that came, by the numbers that visitors' browsers gave them."""

import numpy as np
import numpy.typing as npt
from numba import njit

from app.match.actors import SPARSE_FACTOR
from app.match.rules import Int32s, Int64s

# A browser that is offline keeps fewer events than this: what jumps further has begun to count anew.
GAP_MAX = 1_000

Bools = npt.NDArray[np.bool_]


def missing_before(visitor: Int64s, seq: Int32s, occurred_at_us: Int64s) -> tuple[Int32s, Bools]:
    """Per event how many are missing between it and the one before it in its visitor's count, and whether it is the
    same event as another one, once more.

    A number that comes again at another time belongs to another count: the visitor has begun anew.
    """
    missing, is_repeated = np.zeros(len(visitor), np.int32), np.zeros(len(visitor), np.bool_)
    if not len(visitor):
        return missing, is_repeated
    if int(visitor.max()) - int(visitor.min()) > SPARSE_FACTOR * len(visitor) + 1024:
        visitor = np.unique(visitor, return_inverse=True)[1]
    number = visitor - visitor.min()
    last = np.zeros(int(number.max()) + 1, np.int32)
    is_rising = np.ones(len(last), np.bool_)
    _between_rising(number, seq, last, is_rising, missing)
    others = np.flatnonzero(~is_rising[number])
    missing[others], is_repeated[others] = _between(visitor[others], seq[others], occurred_at_us[others])
    return missing, is_repeated


@njit(cache=True, nogil=True)
def _between_rising(number: Int64s, seq: Int32s, last: Int32s, is_rising: Bools, missing: Int32s) -> None:
    """Of those visitors whose numbers only rise, which is nearly all. last: by visitor the last number, 0 for none."""
    for event in range(len(number)):
        visitor = number[event]
        gap = seq[event] - last[visitor] - 1
        if gap < 0:
            is_rising[visitor] = False
        elif last[visitor] and gap < GAP_MAX:
            missing[event] = gap
        last[visitor] = seq[event]


def _between(visitor: Int64s, seq: Int32s, occurred_at_us: Int64s) -> tuple[Int32s, Bools]:
    """Of any visitors. Where a number comes k times, its k-th event is of the visitor's k-th count."""
    missing, is_repeated = np.zeros(len(visitor), np.int32), np.zeros(len(visitor), np.bool_)
    order = np.lexsort((occurred_at_us, seq, visitor))
    is_same_number = _is_as_before(visitor[order]) & _is_as_before(seq[order])
    repeats = is_same_number & _is_as_before(occurred_at_us[order])
    is_repeated[order[repeats]] = True
    order, is_same_number = order[~repeats], is_same_number[~repeats]
    place = np.arange(len(order))
    count = place - np.maximum.accumulate(np.where(is_same_number, 0, place))
    by_count = np.lexsort((seq[order], count, visitor[order]))
    order, count = order[by_count], count[by_count]
    gap = np.diff(seq[order].astype(np.int64)) - 1
    is_next = (np.diff(visitor[order]) == 0) & (np.diff(count) == 0) & (gap < GAP_MAX)
    missing[order[1:][is_next]] = gap[is_next]
    return missing, is_repeated


def _is_as_before(column: Int64s | Int32s) -> Bools:
    """Whether each element equals the one before it; the first has none."""
    is_same = np.zeros(len(column), np.bool_)
    is_same[1:] = column[1:] == column[:-1]
    return is_same
