"""Sessions: a person's events without a long gap between."""

import numpy as np
from numba import njit

from app.match.rules import Int64s


@njit(cache=True, nogil=True)
def split_sessions(offsets: Int64s, occurred_at_us: Int64s, timeout_us: int) -> Int64s:
    """Offsets of sessions from those of persons: a gap longer than timeout_us ends one."""
    starts = np.zeros(len(occurred_at_us) + 1, np.bool_)
    starts[-1] = True
    for person in range(len(offsets) - 1):
        for position in range(offsets[person], offsets[person + 1]):
            starts[position] = (
                position == offsets[person] or occurred_at_us[position] - occurred_at_us[position - 1] > timeout_us
            )
    return np.flatnonzero(starts)
