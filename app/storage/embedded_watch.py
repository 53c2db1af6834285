"""Starts a dead embedded Postgres again, for as long as the service runs."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from app.storage.embedded import EmbeddedPostgres
from app.storage.embedded_account import EmbeddedPostgresError

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.2  # a look at the process list; nobody is asked
BACKOFF_MAX_SECONDS = 30.0  # between two tries, for instance while the disk is full


class PostgresWatch:
    """A thread that looks after a started server. Leave the block before the server is stopped."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.restart_count = 0
        self._server = server
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postgres watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        pause_seconds = CHECK_SECONDS
        while not self._ending.wait(pause_seconds):
            if self._server.alive or self._restart():
                pause_seconds = CHECK_SECONDS
            else:
                pause_seconds = min(pause_seconds * 2, BACKOFF_MAX_SECONDS)

    def _restart(self) -> bool:
        logger.error("postgres is dead", extra={"action": "postgres_dead"})
        try:
            self._server.restart(self._ending)
        except (EmbeddedPostgresError, OSError) as error:
            fields = {"action": "postgres_restart_failed", "error": str(error)}
            logger.error("postgres did not start again", extra=fields)  # noqa: TRY400  # the message says it all
            return False
        if self._ending.is_set():
            return False
        self.restart_count += 1
        logger.warning("postgres started again", extra={"action": "postgres_restarted", "count": self.restart_count})
        return True
