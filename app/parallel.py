"""Splits the work of compiled passes over a few threads."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVar

ROWS_WORTH_A_THREAD = 50_000  # to hand work to a thread that waits takes about 0.1 ms, as much as some thousand rows
THREADS_MAX = 4

T = TypeVar("T")

# Threads that wait are there sooner than new ones. They have the priority of the report that first needed them.
_pool = ThreadPoolExecutor(THREADS_MAX - 1, thread_name_prefix="pass")


def parts_of(row_count: int) -> int:
    """Into how many parts so many rows are best split here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, THREADS_MAX, row_count // ROWS_WORTH_A_THREAD))


def split_evenly(count: int, parts: int) -> list[tuple[int, int]]:
    """Ranges of equal length."""
    return list(pairwise([count * part // parts for part in range(parts + 1)]))


def at_once(calls: Sequence[Callable[[], T]], threads: int = THREADS_MAX) -> list[T]:
    """The results in the order of the calls, which this thread shares with those of the pool that are free.

    It waits for no call that nobody has begun, so calls may ask for more. An exception is raised here.
    """
    left = deque(enumerate(calls))
    results: dict[int, T] = {}
    helpers: list[Future[None]] = []
    try:
        helpers.extend(_pool.submit(_work, left, results) for _ in range(min(threads, len(calls)) - 1))
        _work(left, results)
    finally:
        left.clear()  # one that was cancelled waits in the pool for a thread; it must not keep what the calls hold
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()
    return [results.pop(place) for place in range(len(calls))]


def _work(left: deque[tuple[int, Callable[[], T]]], results: dict[int, T]) -> None:
    while True:
        try:
            place, call = left.popleft()
        except IndexError:
            return
        results[place] = call()


def end() -> None:
    """The threads that wait for work would keep the process from its end."""
    _pool.shutdown(cancel_futures=True)


def spread(calls: Sequence[Callable[[], T]], row_counts: Sequence[int]) -> list[T]:
    """The results in the order of the calls, which share as many threads as so many rows in all are worth.

    row_counts: how many each call goes through. Whoever is free takes the largest that is left.
    """
    places = sorted(range(len(calls)), key=row_counts.__getitem__, reverse=True)
    found = at_once([calls[place] for place in places], parts_of(sum(row_counts)))
    by_place = dict(zip(places, found, strict=True))
    return [by_place[place] for place in range(len(calls))]
