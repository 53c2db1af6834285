"""Work that is spread over threads: every result in its place, as many threads as it is worth."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from app import parallel
from app.parallel import at_once, spread


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


def test_calls_share_threads_by_what_they_go_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest has one for itself when the others together go through as much."""
    monkeypatch.setattr(parallel, "parts_of", lambda row_count: row_count // 40)
    both_begun = threading.Barrier(2, timeout=10)
    threads: dict[int, list[int]] = {}

    def call(place: int) -> None:
        if threading.get_ident() not in threads:
            threads[threading.get_ident()] = []
            both_begun.wait()  # or one thread's number could be given to the next
        threads[threading.get_ident()].append(place)

    spread([partial(call, place) for place in range(4)], [20, 10, 45, 12])
    assert sorted(sorted(places) for places in threads.values()) == [[0, 1, 3], [2]]


def test_an_error_in_any_call_is_raised(parts: int) -> None:
    def fail() -> int:
        raise ValueError("of the second")

    calls: list[Callable[[], int]] = [int, fail, int]
    with pytest.raises(ValueError, match="of the second"):
        at_once(calls)
    with pytest.raises(ValueError, match="of the second"):
        spread(calls, [1, 1, 1])
