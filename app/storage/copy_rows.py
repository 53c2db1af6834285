"""Events as rows of Postgres' binary COPY format.

Written by hand because this is what storing an event costs most: the driver's own encoder takes three times as long.
Format: https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format". Numbers are big-endian; a field is its length
in bytes and its value, NULL is the length -1.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct

from app.domain.event import Event, Trust
from app.domain.time_range import MICROSECOND

# Stored in a smallint column; never renumber.
TRUST_CODES: dict[Trust, int] = {Trust.BROWSER: 1, Trust.SERVER: 2, Trust.SIGNED: 3, Trust.IMPORT: 4}

COLUMNS = (
    "storefront_id",
    "event_id",
    "client_time",
    "occurred_at",
    "received_at",
    "position",
    "seq",
    "trust",
    "visitor_id",
    "customer_id",
    "account_id",
    "event_name",
    "url",
    "referrer",
    "properties",
    "shape_id",
    "is_bot",
    "device_context_id",
    "campaign_context_id",
)

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_TRUE = b"\0\0\0\x01\x01"
# The number of fields, then the columns up to `trust`.
_pack_head = Struct("!h ii i16s iq iq iq ii ii ih").pack
_pack_bigint = Struct("!iq").pack
_pack_integer = Struct("!ii").pack
_pack_length = Struct("!i").pack

# Fields made once, because they repeat: names, addresses and ends of rows.
TEXTS_MAX = 4_000
TAILS_MAX = 2_000

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
FIRST = (datetime.min.replace(tzinfo=UTC) - POSTGRES_EPOCH) // MICROSECOND
LAST = (datetime.max.replace(tzinfo=UTC) - POSTGRES_EPOCH) // MICROSECOND
# Stands in for the client_time of events that came without one: '-infinity'.
UNDATED = -(2**63)

Ids = tuple[int | None, int | None, int | None]  # (visitor_id, customer_id, account_id)
ContextIds = tuple[int | None, int | None]  # (device_context_id, campaign_context_id)
Properties = tuple[int | None, bytes]  # shape_id and an array of values, or None and an object; as JSON


Row = tuple[int, Event, Ids, Properties, ContextIds]


@lru_cache(maxsize=TEXTS_MAX)
def _text(text: str | None) -> bytes:
    if text is None:
        return _NULL
    encoded = text.encode()
    return _pack_length(len(encoded)) + encoded


@lru_cache(maxsize=TAILS_MAX)
def _tail(shape_id: int | None, is_bot: bool, contexts: ContextIds) -> bytes:
    """The columns from `shape_id` on."""
    shape, device, campaign = (_NULL if each is None else _pack_integer(4, each) for each in (shape_id, *contexts))
    return shape + (_TRUE if is_bot else _NULL) + device + campaign


def copy_rows(rows: Sequence[Row]) -> bytes:
    """Events for a COPY, to stand between HEADER and TRAILER. The number of each is its position in the commit."""
    event_ids = bytes.fromhex("".join([row[1].event_id for row in rows]).replace("-", ""))
    assert len(event_ids) == 16 * len(rows), "a canonical id has 16 bytes"
    parts: list[bytes] = []
    last_received_at, received_at = None, 0  # one for all events of a request
    start = 0
    for position, event, (visitor_id, customer_id, account_id), (shape_id, properties), contexts in rows:
        if event.received_at is not last_received_at:
            last_received_at, received_at = event.received_at, microseconds(event.received_at)
        client_time = UNDATED if event.client_time is None else microseconds(event.client_time)
        occurred_at = client_time if event.occurred_at is event.client_time else microseconds(event.occurred_at)
        end = start + 16
        # fmt: off
        parts += (
            _pack_head(
                len(COLUMNS), 4, event.storefront_id, 16, event_ids[start:end], 8, client_time, 8, occurred_at,
                8, received_at, 4, position, 4, event.seq, 2, TRUST_CODES[event.trust],
            ),
            _NULL if visitor_id is None else _pack_bigint(8, visitor_id),
            _NULL if customer_id is None else _pack_bigint(8, customer_id),
            _NULL if account_id is None else _pack_bigint(8, account_id),
            _text(event.event_name),
            _text(event.url),
            _text(event.referrer),
            _pack_length(len(properties)),
            properties,
            _tail(shape_id, event.is_bot, contexts),
        )
        # fmt: on
        start = end
    return b"".join(parts)


def microseconds(moment: datetime) -> int:
    """A time as Postgres counts it. Raises OverflowError for one that lies outside the years 1 to 9999 in UTC."""
    count = (moment - POSTGRES_EPOCH) // MICROSECOND
    if not FIRST <= count <= LAST:
        raise OverflowError("beyond the years that other programs can read")
    return count
