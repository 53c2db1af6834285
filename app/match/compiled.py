"""How the passes are compiled."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from numba import njit

from app.match.rules import Int64s

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Without the GIL, kept on disk, and without reference counts: on every array of every tuple of every call they
    would cost ten times what the work itself does. So these functions can't make arrays; they get the room they need.
    """
    options: Any = {"_nrt": False, "forceinline": True}  # not in the stubs; numba.core.options.DefaultOptions has it
    result: Callable[P, R] = njit(cache=True, nogil=True, **options)(function)
    return result


@compiled
def copy(source: Int64s, target: Int64s, to: int, count: int) -> None:
    """The first `count` elements, to target[to:]. Assigning a slice would make an array."""
    for index in range(count):
        target[to + index] = source[index]
