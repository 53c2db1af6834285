"""A line in which storefronts take turns, so that none waits behind all that another one sends."""

from collections import OrderedDict, deque
from collections.abc import Container
from typing import Generic, TypeVar

T = TypeVar("T")


class FairLine(Generic[T]):
    """What each storefront has appended stays in its order."""

    def __init__(self) -> None:
        # Storefronts that wait, in the order of their turns; with each item its size.
        self._lines: OrderedDict[int, deque[tuple[int, T]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def append(self, storefront_id: int, size: int, item: T) -> None:
        line = self._lines.get(storefront_id)
        if line is None:
            line = self._lines[storefront_id] = deque()
        line.append((size, item))

    def take(self, max_size: int) -> list[T]:
        """Items of together at most max_size, but at least one unless there is none.

        Each storefront that waits gets the same share of it; what some leave over goes to the others.
        """
        taken: list[T] = []
        room = max_size
        share = max_size // max(1, len(self._lines))
        while self._lines:
            before = len(taken)
            for storefront_id in list(self._lines):
                room = self._take_turn(storefront_id, share, room, taken)
                if room <= 0:
                    return taken
            if len(taken) == before:
                break
            share = room
        return taken

    def take_small(self, max_size: int, busy: Container[int]) -> list[T]:
        """Items of storefronts that are not busy, of together at most max_size; possibly none."""
        taken: list[T] = []
        room = max_size
        for storefront_id in [each for each in self._lines if each not in busy]:
            line = self._lines[storefront_id]
            while line and line[0][0] <= room:
                size, item = line.popleft()
                taken.append(item)
                room -= size
            if not line:
                del self._lines[storefront_id]
        return taken

    def _take_turn(self, storefront_id: int, share: int, room: int, taken: list[T]) -> int:
        """Take from one storefront up to its share, or one item. Returns what room is left."""
        line = self._lines[storefront_id]
        left = share
        first = len(taken)
        while line:
            size = line[0][0]
            if taken and (size > room or (size > left and len(taken) > first)):
                break
            left, room = left - size, room - size
            taken.append(line.popleft()[1])
        if not line:
            del self._lines[storefront_id]
        elif len(taken) > first:
            self._lines.move_to_end(storefront_id)
        return room
