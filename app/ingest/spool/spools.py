"""All spools of one process: its own, and those in its care whose processes are no more."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from app.domain.event import Event
from app.domain.ledger import LedgerKey
from app.domain.outcome import RefusedEvent
from app.ingest.spool.queue import Spool
from app.metrics import Metrics


class Spools:
    """Open spools, which are drained side by side."""

    def __init__(self, spools: Sequence[Spool] = ()) -> None:
        self._spools = spools

    def show_in(self, metrics: Metrics) -> None:
        """Their sums."""
        spools = self._spools
        metrics.watch_spool(
            events=lambda: sum(spool.event_count for spool in spools),
            size_bytes=lambda: sum(spool.size_bytes for spool in spools),
            oldest_age_seconds=lambda: max((spool.oldest_age_seconds() for spool in spools), default=0.0),
            lost=lambda: sum(spool.lost_count for spool in spools),
        )

    async def erase(
        self, matches: Callable[[Event], bool], matches_refused: Callable[[RefusedEvent], bool] = lambda _: False
    ) -> int:
        """Take events out of all of them for good, and return how many there were. Raises SpoolFull."""
        return sum([await spool.erase(matches, matches_refused) for spool in self._spools])

    def pending(self) -> Mapping[LedgerKey, int]:
        """Events received that the ledger in Postgres does not know of yet, per line of the ledger."""
        pending: Counter[LedgerKey] = Counter()
        for spool in self._spools:
            pending.update(spool.pending())
        return pending
