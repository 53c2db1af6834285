"""Events in full, as people read them: one page of a list, not the rows that a report counts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from app.mirror.conditions import Shapes
from app.storage.copy_rows import TRUST_CODES

TRUST_NAMES = {code: trust.value for trust, code in TRUST_CODES.items()}

# Purpose: the events of some row numbers (the second parameter) of a storefront (the first).
EVENTS_OF_ROWS = """
    SELECT row_number, occurred_at_us, name, url, referrer, properties, shape_id, visitor_id, customer_id, account_id,
           trust
    FROM event JOIN event_name USING (name_id)
    WHERE storefront_id = ? AND row_number IN (SELECT unnest(?::BIGINT[]))
"""


class Seen(NamedTuple):
    """One event. The ids are the mirror's numbers, None when the event has none."""

    row_number: int
    occurred_at_us: int
    event_name: str
    url: str | None
    referrer: str | None
    properties: dict[str, Any]
    visitor_id: int | None
    customer_id: int | None
    account_id: int | None
    trust: str


def seen_events(row_numbers: npt.NDArray[np.int64], found: Sequence[tuple[Any, ...]], shapes: Shapes) -> list[Seen]:
    """What EVENTS_OF_ROWS found, in the order of row_numbers."""
    seen = {}
    for row_number, occurred_at_us, name, url, referrer, stored, shape_id, *ids, trust in found:
        properties = shapes.named(shape_id, msgspec.json.decode(stored))
        who = (*ids, TRUST_NAMES[trust])
        seen[row_number] = Seen(row_number, occurred_at_us, name, url, referrer, properties, *who)
    return [seen[row_number] for row_number in row_numbers.tolist()]
