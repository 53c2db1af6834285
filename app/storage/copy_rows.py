"""Events as rows of Postgres' binary COPY format.

Written by hand because this is what storing an event costs most: the driver's own encoder takes three times as long.
Format: https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format". Numbers are big-endian; a field is its length
in bytes and its value, NULL is the length -1.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from struct import Struct

from app.domain.event import Event, Trust

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
pack_head = Struct("!h ii i16s iq iq iq ii ii ih").pack
_pack_bigint = Struct("!iq").pack
_pack_integer = Struct("!ii").pack
_pack_length = Struct("!i").pack

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
FIRST_DAY = (datetime.min.replace(tzinfo=UTC) - POSTGRES_EPOCH).days
LAST_DAY = (datetime.max.replace(tzinfo=UTC) - POSTGRES_EPOCH).days
# Stands in for the client_time of events that came without one: '-infinity'.
UNDATED = -(2**63)

Ids = tuple[int | None, int | None, int | None]  # (visitor_id, customer_id, account_id)
ContextIds = tuple[int | None, int | None]  # (device_context_id, campaign_context_id)
Properties = tuple[int | None, bytes]  # shape_id and an array of values, or None and an object; as JSON


Row = tuple[int, Event, Ids, Properties, ContextIds]


def copy_rows(rows: Iterable[Row]) -> bytes:
    """Events for a COPY, to stand between HEADER and TRAILER. The number of each is its position in the commit."""
    parts: list[bytes] = []
    add = parts.append
    texts: dict[str | None, bytes] = {None: _NULL}  # names and addresses repeat
    last_received_at, received_at = None, 0  # one for all events of a request
    for position, event, (visitor_id, customer_id, account_id), (shape_id, properties), contexts in rows:
        if event.received_at is not last_received_at:
            last_received_at, received_at = event.received_at, microseconds(event.received_at)
        client_time = UNDATED if event.client_time is None else microseconds(event.client_time)
        occurred_at = client_time if event.occurred_at is event.client_time else microseconds(event.occurred_at)
        event_id = bytes.fromhex(event.event_id.replace("-", ""))
        # fmt: off
        add(pack_head(
            len(COLUMNS), 4, event.storefront_id, 16, event_id, 8, client_time, 8, occurred_at, 8, received_at,
            4, position, 4, event.seq, 2, TRUST_CODES[event.trust],
        ))
        # fmt: on
        add(_NULL if visitor_id is None else _pack_bigint(8, visitor_id))
        add(_NULL if customer_id is None else _pack_bigint(8, customer_id))
        add(_NULL if account_id is None else _pack_bigint(8, account_id))
        for text in (event.event_name, event.url, event.referrer):
            field = texts.get(text)
            if field is None:
                assert text is not None
                encoded = text.encode()
                field = texts[text] = _pack_length(len(encoded)) + encoded
            add(field)
        add(_pack_length(len(properties)))
        add(properties)
        add(_NULL if shape_id is None else _pack_integer(4, shape_id))
        add(_TRUE if event.is_bot else _NULL)
        for context_id in contexts:
            add(_NULL if context_id is None else _pack_integer(4, context_id))
    return b"".join(parts)


def microseconds(moment: datetime) -> int:
    """A time as Postgres counts it. Raises OverflowError for one that lies outside the years 1 to 9999 in UTC."""
    since = moment - POSTGRES_EPOCH
    if not FIRST_DAY <= since.days <= LAST_DAY:
        raise OverflowError("beyond the years that other programs can read")
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
