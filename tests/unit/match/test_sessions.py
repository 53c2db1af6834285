"""Sessions end with a gap that is longer than the timeout."""

import numpy as np

from app.match.sessions import split_sessions


def test_a_gap_longer_than_the_timeout_begins_a_session_and_so_does_a_person() -> None:
    offsets = np.array([0, 4, 4, 6])
    times = np.array([0, 30, 61, 62, 63, 64])
    assert split_sessions(offsets, times, 30).tolist() == [0, 2, 4, 6]


def test_a_gap_as_long_as_the_timeout_does_not() -> None:
    assert split_sessions(np.array([0, 3]), np.array([0, 30, 60]), 30).tolist() == [0, 3]


def test_nobody_has_no_session() -> None:
    assert split_sessions(np.array([0]), np.zeros(0, np.int64), 30).tolist() == [0]
