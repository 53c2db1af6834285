"""Timelines for tests, made of events."""

from typing import NamedTuple

import numpy as np

from app.match.timelines import Rows, Timelines, timelines_of

VIEWED, ADDED, BOUGHT = range(3)  # names
FOREVER = 1000


class Event(NamedTuple):
    """Its row_number is its place among the events of a test."""

    person: int
    at: int
    name: int = VIEWED
    seq: int = 0
    stored: int = 0
    is_bot: bool = False


def timelines(*events: Event) -> Timelines:
    person, at, name, seq, stored, is_bot = np.array(events, np.int64).reshape(-1, 6).T
    numbers = np.arange(len(events))
    rows = Rows(numbers, name.astype(np.int32), at, seq.astype(np.int32), stored, is_bot.astype(np.bool_))
    return timelines_of(person, rows)
