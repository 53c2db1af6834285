"""The statement that writes what a commit did into the ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields

from app.domain.event import Event
from app.domain.ledger import LedgerLine, Received, ledger_lines
from app.domain.outcome import Outcome, RefusedEvent

COLUMNS = ("storefront_id", "source", "minute", *(field.name for field in fields(LedgerLine)))


def ledger_sql(
    received: Iterable[Received],
    events: Sequence[Event],
    outcomes: Sequence[Outcome],
    refused: Iterable[RefusedEvent] = (),
) -> str:
    """Adds the lines of a commit. Lines are only added, so that two commits never wait for each other.

    Text without parameters, so that it can travel in the message of the events: it is made of numbers, of times of our
    own clock and of the names of our own wire formats; nothing in it comes from a sender.
    """
    rows = []
    for (storefront_id, source, minute), line in ledger_lines(received, events, outcomes, refused).items():
        if not source.isidentifier():
            raise ValueError("a source is named like a wire format")
        counts = ", ".join(map(str, map(int, astuple(line))))
        rows.append(f"({int(storefront_id)}, '{source}', '{minute.isoformat()}', {counts})")
    if not rows:
        return "SELECT"
    return f"INSERT INTO ledger ({', '.join(COLUMNS)}) VALUES {', '.join(rows)}"  # noqa: S608  # see above
