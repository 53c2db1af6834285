"""The first event of each person."""

from typing import NamedTuple

import numpy as np
from numba import njit

from app.match.rules import Int32s, Int64s


class Firsts(NamedTuple):
    """One element per person: the earliest event seen so far, row_number -1 when none was. Changed in place."""

    occurred_at_us: Int64s
    seq: Int32s
    stored: Int64s
    row_number: Int64s


def no_firsts(person_count: int) -> Firsts:
    return Firsts(
        np.zeros(person_count, np.int64),
        np.zeros(person_count, np.int32),
        np.zeros(person_count, np.int64),
        np.full(person_count, -1, np.int64),
    )


@njit(cache=True, nogil=True)
def keep_firsts(
    firsts: Firsts,
    lowest: int,
    place: Int32s,
    person: Int64s,
    occurred_at_us: Int64s,
    seq: Int32s,
    stored: Int64s,
    row_number: Int64s,
) -> None:
    """Look at some more events. place: of person `lowest` + i in `firsts`, -1: not asked for."""
    for i in range(len(person)):
        number = person[i] - lowest
        if number < 0 or number >= len(place) or place[number] == -1:
            continue
        at = place[number]
        if firsts.row_number[at] < 0 or (occurred_at_us[i], seq[i], stored[i]) < (
            firsts.occurred_at_us[at],
            firsts.seq[at],
            firsts.stored[at],
        ):
            firsts.occurred_at_us[at] = occurred_at_us[i]
            firsts.seq[at] = seq[i]
            firsts.stored[at] = stored[i]
            firsts.row_number[at] = row_number[i]
