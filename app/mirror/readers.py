"""Who is reading the mirror's file at the moment, so that it can be exchanged when nobody is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Readers:
    """A gate that any number pass at once, but nobody while the file is exchanged."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._exchanging = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._exchanging)
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    @contextmanager
    def exchanging(self, patience_seconds: float) -> Iterator[bool]:
        """Nobody begins to read meanwhile. Yields whether those who were reading have ended in time."""
        with self._changed:
            self._exchanging = True
            alone = self._changed.wait_for(lambda: self._count == 0, patience_seconds)
        try:
            yield alone
        finally:
            with self._changed:
                self._exchanging = False
                self._changed.notify_all()
