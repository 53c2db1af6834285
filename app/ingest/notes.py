"""Lines for the ledger that come without events, added up until a commit takes them along."""

from dataclasses import replace

from app.domain.ledger import LedgerKey, Received

# Lines kept at once, of 200 bytes each; there is one per storefront, format and minute. Beyond it they are forgotten.
NOTES_MAX = 20_000


class Notes:
    def __init__(self) -> None:
        self._lines: dict[LedgerKey, Received] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, note: Received) -> bool:
        """Returns whether it is the first one since the last `take`."""
        first = not self._lines
        key = (note.storefront_id, note.source, note.received_at.replace(second=0, microsecond=0))
        known = self._lines.get(key)
        if known is not None:
            note = replace(
                known,
                received=known.received + note.received,
                no_consent=known.no_consent + note.no_consent,
                limited=known.limited + note.limited,
            )
        elif len(self._lines) >= NOTES_MAX:
            return False
        self._lines[key] = note
        return first

    def take(self) -> list[Received]:
        taken = list(self._lines.values())
        self._lines.clear()
        return taken
