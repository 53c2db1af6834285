"""Single flight: what several clients ask at the same time is worked out once, until the last of them has gone."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """Work under way, and those who wait for it.

    version: of the rows it works on at least; None: it has not begun, and will find all that there are now.
    """

    def __init__(self) -> None:
        self.version: int | None = None
        self._task: asyncio.Task[T] | None = None
        self._waiting_count = 0

    def start(self, run: Callable[["Flight[T]"], Coroutine[Any, Any, T]]) -> None:
        self._task = asyncio.create_task(run(self))

    @property
    def is_under_way(self) -> bool:
        return self._task is not None and not self._task.done() and not self._task.cancelling()

    async def result(self) -> T:
        """What the work returns or raises. A caller that is cancelled leaves it to the others; the last one ends it."""
        assert self._task is not None
        self._waiting_count += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting_count -= 1
            if not self._waiting_count:
                self._task.cancel()


class Flights(Generic[T]):
    """The newest flight for each question."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight[T]] = {}

    def find(self, question: Hashable, version: int) -> Flight[T] | None:
        """One whose result will hold the rows of this version."""
        flight = self._flights.get(question)
        fits = flight is not None and flight.is_under_way and flight.version in (None, version)
        return flight if fits else None

    def start(self, question: Hashable, run: Callable[[Flight[T]], Coroutine[Any, Any, T]]) -> Flight[T]:
        self._flights = {each: flight for each, flight in self._flights.items() if flight.is_under_way}
        flight = self._flights[question] = Flight()
        flight.start(run)
        return flight
