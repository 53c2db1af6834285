"""The keys known last, kept in the data directory, so that a service which starts while Postgres is away knows them.

Digests only, never a secret. They lie there as well as in the embedded Postgres beside it: readable by nobody else.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

logger = logging.getLogger(__name__)

T = TypeVar("T")


class KeyCopy(Generic[T]):
    """Blocking. What can't be written or read is logged, and does not stop anything."""

    def __init__(self, path: Path, entry: type[T]) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(list[entry])  # type: ignore[valid-type]  # known at run time only
        self._written = b""

    def save(self, known: Sequence[T]) -> None:
        """Writes when something has changed; the file is whole at every moment."""
        content = msgspec.json.encode(known)
        if content == self._written:
            return
        draft = self._path.with_name(self._path.name + ".new")
        try:
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            facts = {"action": "key_copy_failed", "error": type(error).__name__}
            logger.warning("keys can't be copied to the data directory", extra=facts)
        else:
            self._written = content

    def load(self) -> list[T]:
        try:
            return self._decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            facts = {"action": "key_copy_unreadable", "error": type(error).__name__}
            logger.warning("the copy of the keys can't be read", extra=facts)
            return []
