"""Work that is spread over threads: every result in its place, as many threads as it is worth."""

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from app import parallel
from app.parallel import THREADS_MAX, at_once, spread


@pytest.fixture(params=[1, 2, 3])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parallel, "parts_of", lambda _: request.param)
    return int(request.param)


def named(place: int, threads: dict[int, list[int]]) -> Callable[[], str]:
    def call() -> str:
        threads.setdefault(threading.get_ident(), []).append(place)
        return f"result {place}"

    return call


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_calls(parts: int, count: int) -> None:
    calls = [named(place, {}) for place in range(count)]
    expected = [f"result {place}" for place in range(count)]
    assert at_once(calls) == expected
    assert spread(calls, [10 * place for place in range(count)]) == expected


def test_whoever_is_free_takes_the_largest_call_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "parts_of", lambda row_count: row_count // 40)
    others_done = threading.Event()
    taken: list[int] = []
    threads: dict[int, list[int]] = {}

    def call(place: int) -> None:
        threads.setdefault(threading.get_ident(), []).append(place)
        if place == 2:  # takes longer than all the others together
            assert others_done.wait(10)
            return
        taken.append(place)
        if len(taken) == 3:
            others_done.set()

    spread([partial(call, place) for place in range(4)], [20, 10, 45, 12])
    assert taken == [0, 3, 1]
    assert sorted(map(len, threads.values())) == [1, 3]


def test_few_rows_are_worth_no_other_thread() -> None:
    threads: dict[int, list[int]] = {}
    spread([named(place, threads) for place in range(4)], [20, 10, 45, 12])
    assert threads == {threading.get_ident(): [2, 0, 3, 1]}


def test_calls_that_ask_for_more_never_wait_for_each_other() -> None:
    def deep(levels: int) -> int:
        return 1 if not levels else sum(at_once([partial(deep, levels - 1)] * 3))

    assert at_once([partial(deep, 4)] * 8) == [3**4] * 8


def test_nothing_runs_any_more_when_an_error_is_raised() -> None:
    is_slow_running = threading.Event()
    done: list[int] = []

    def fail() -> None:
        assert is_slow_running.wait(10)
        raise IndexError("of the first")

    def slow() -> None:
        is_slow_running.set()
        time.sleep(0.05)
        done.append(1)

    with pytest.raises(IndexError, match="of the first"):
        at_once([fail, slow])
    assert done == [1]


def test_an_error_in_any_call_is_raised(parts: int) -> None:
    def fail() -> int:
        raise ValueError("of the second")

    calls: list[Callable[[], int]] = [int, fail, int]
    with pytest.raises(ValueError, match="of the second"):
        at_once(calls)
    with pytest.raises(ValueError, match="of the second"):
        spread(calls, [1, 1, 1])


def test_what_a_call_holds_is_let_go_though_no_thread_was_free_to_help() -> None:
    class Large:
        pass

    is_over = threading.Event()
    begun = threading.Barrier(THREADS_MAX + 1, timeout=10)

    def busy() -> None:
        begun.wait()
        assert is_over.wait(10)

    others = threading.Thread(target=at_once, args=([busy] * THREADS_MAX,))
    others.start()
    begun.wait()
    large = Large()
    held = weakref.ref(large)
    assert at_once([partial(id, large), partial(id, None)]) == [id(large), id(None)]
    del large
    assert held() is None
    is_over.set()
    others.join()


def test_a_process_ends_as_usual_though_threads_wait_for_work() -> None:
    script = """
import atexit
from app.background import leave_threads_behind
from app.parallel import at_once
at_once([int, int])
atexit.register(print, "ended")
leave_threads_behind()
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "ended\n"  # our own code
