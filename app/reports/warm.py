"""Compiles the matchers before the first report has to wait for them (some seconds, then cached on disk)."""

import numpy as np

from app.match.actors import group_by_actor, person_ids
from app.match.sequence import Bounds, StepBits, match_in_order


def compile_matchers() -> None:
    """Runs every compiled function once, on one event."""
    one, seq, mask = np.ones(1, np.int64), np.zeros(1, np.int32), np.ones(1, np.uint64)
    persons = person_ids(one, one, one, one, one, one)
    sequences = group_by_actor(persons, one, seq, one, mask, mask)
    bits = np.zeros(1, np.int32)
    match_in_order(sequences, StepBits(bits, bits - 1, 1, 0), Bounds(0, 2, 1))
