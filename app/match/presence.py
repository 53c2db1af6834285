"""Which kinds of events happened before something else did: for each attempt a bit per kind."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from app.match.rules import Int32s, Int64s

UInt8s = npt.NDArray[np.uint8]


class Spans(NamedTuple):
    """One element per attempt, by person and then by from_us. The person `lowest` + i has the attempts offsets[i] to
    offsets[i + 1]. A span begins at from_us, that instant included, and ends before until_us, until_seq."""

    lowest: int
    offsets: Int64s
    from_us: Int64s
    until_us: Int64s
    until_seq: Int32s


def no_presence(span_count: int, kind_count: int) -> UInt8s:
    """By span; bit k of the whole row stands for kind k, see `spans_with`."""
    return np.zeros((span_count, (kind_count + 7) // 8), np.uint8)


def spans_with(present: UInt8s, kind: int) -> npt.NDArray[np.bool_]:
    """Per span, whether an event of the kind lies in it."""
    return (present[:, kind >> 3] >> np.uint8(kind & 7) & np.uint8(1)).astype(np.bool_)


@njit(cache=True, nogil=True)
def mark_presence(
    present: UInt8s,
    spans: Spans,
    person: Int64s,
    occurred_at_us: Int64s,
    seq: Int32s,
    kind: Int32s,
    stop: UInt8s,
) -> None:
    """Look at some more events; kind -1: of none. Ends early at stop[0]."""
    for i in range(len(person)):
        number = person[i] - spans.lowest
        if kind[i] < 0 or number < 0 or number >= len(spans.offsets) - 1:
            continue
        if stop[0]:
            return
        at = occurred_at_us[i]
        for span in range(spans.offsets[number], spans.offsets[number + 1]):
            if spans.from_us[span] > at:
                break
            until_us = spans.until_us[span]
            if at < until_us or (at == until_us and seq[i] < spans.until_seq[span]):
                present[span, kind[i] >> 3] |= np.uint8(1 << (kind[i] & 7))
