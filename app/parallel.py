"""Splits the work of compiled passes over a few threads."""

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import TypeVar

ROWS_WORTH_A_THREAD = 50_000  # a thread costs about 0.1 ms to begin and to end, as much as some thousand rows
THREADS_MAX = 4

T = TypeVar("T")


def parts_of(row_count: int) -> int:
    """Into how many parts so many rows are best split here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, THREADS_MAX, row_count // ROWS_WORTH_A_THREAD))


def split_evenly(count: int, parts: int) -> list[tuple[int, int]]:
    """Ranges of equal length."""
    return list(pairwise([count * part // parts for part in range(parts + 1)]))


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results in the order of the calls, each in a thread of its own and the last in this one.

    New threads have the priority of the one that starts them. An exception is raised here.
    """
    if not calls:
        return []
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            results[place] = calls[place]()
        except BaseException as error:  # noqa: BLE001  # raised below, in the thread that asked
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls) - 1)]
    for thread in threads:
        thread.start()
    run(len(calls) - 1)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(calls))]


def spread(calls: Sequence[Callable[[], T]], row_counts: Sequence[int]) -> list[T]:
    """The results in the order of the calls, which share as many threads as so many rows in all are worth.

    row_counts: how many each call goes through. Each thread gets about as many, from the largest call down.
    """
    shares: list[list[int]] = [[] for _ in range(min(parts_of(sum(row_counts)), len(calls)))]
    for place in sorted(range(len(calls)), key=row_counts.__getitem__, reverse=True):
        min(shares, key=lambda share: sum(row_counts[each] for each in share)).append(place)
    found = at_once([partial(_each, [calls[place] for place in share]) for share in shares])
    by_place = dict(zip(chain(*shares), chain(*found), strict=True))
    return [by_place[place] for place in range(len(calls))]


def _each(calls: Sequence[Callable[[], T]]) -> list[T]:
    return [call() for call in calls]
