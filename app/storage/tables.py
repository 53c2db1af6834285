"""The schema as SQLAlchemy tables, for Core queries; migrations build it, a test keeps the two in step."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID
from sqlalchemy.types import UserDefinedType

from app.domain.context import Campaign, Device

metadata = MetaData()


class Xid8(UserDefinedType[int]):
    """A 64-bit transaction id. Written by its column default only."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "XID8"


def _now() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()"))


def _storefront(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "storefront_id",
        Integer,
        ForeignKey("storefront.storefront_id"),
        nullable=False,
        primary_key=primary_key,
    )


def _xid() -> Column[int]:
    return Column("xid", Xid8(), nullable=False, server_default=text("pg_current_xact_id()"))


# One row: names this database, so that a mirror made from another one is not taken for ours.
instance = Table("instance", metadata, Column("instance_id", UUID(as_uuid=False), primary_key=True))

storefront = Table(
    "storefront",
    metadata,
    Column("storefront_id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("time_zone", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("session_timeout_seconds", Integer, nullable=False, server_default=text("1800")),
    # The ordered stages with their rules; NULL means the default list.
    Column("stages", JSONB(none_as_null=True), nullable=True),
    _now(),
    # Events older than this are refused and deleted; NULL keeps them for ever.
    Column("retention_days", Integer, CheckConstraint("retention_days > 0"), nullable=True),
)

api_key = Table(
    "api_key",
    metadata,
    Column("key_id", Integer, Identity(always=True), primary_key=True),
    _storefront(),
    Column("kind", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # The first characters, to tell keys apart in lists; far too few to guess the rest.
    Column("prefix", Text, nullable=False),
    # Origins a browser may send from; NULL means any.
    Column("origins", ARRAY(Text), nullable=True),
    _now(),
    Column("revoked_at", DateTime(timezone=True), nullable=True),
    # The secret before the last rotation, and when it ends; until then both work.
    Column("previous_digest", LargeBinary, nullable=True),
    Column("previous_expires_at", DateTime(timezone=True), nullable=True),
)

# Shop systems that sign what they send; see webhooks.py.
webhook = Table(
    "webhook",
    metadata,
    Column("webhook_id", Integer, Identity(always=True), primary_key=True),
    _storefront(),
    # Name of the wire format.
    Column("source", Text, nullable=False),
    # As it is: a signature is made with the secret itself, so a digest could not check it.
    Column("secret", Text, nullable=False),
    _now(),
)

saved_funnel = Table(
    "funnel",
    metadata,
    _storefront(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("definition", JSONB, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # Shown as metrics, for the last complete day, week or month; NULL: not at all.
    Column("published_period", Text, nullable=True),
)

visitor = Table(
    "visitor",
    metadata,
    Column("visitor_id", BigInteger, Identity(always=True), primary_key=True),
    Column("storefront_id", Integer, nullable=False),
    Column("visitor_key", Text, nullable=False),
    UniqueConstraint("storefront_id", "visitor_key"),
)

customer = Table(
    "customer",
    metadata,
    Column("customer_id", BigInteger, Identity(always=True), primary_key=True),
    Column("storefront_id", Integer, nullable=False),
    Column("customer_key", Text, nullable=False),
    UniqueConstraint("storefront_id", "customer_key"),
)

account = Table(
    "account",
    metadata,
    Column("account_id", BigInteger, Identity(always=True), primary_key=True),
    Column("storefront_id", Integer, nullable=False),
    Column("account_key", Text, nullable=False),
    UniqueConstraint("storefront_id", "account_key"),
)

# linked_at: occurred_at of the earliest event that named both.
visitor_link = Table(
    "visitor_link",
    metadata,
    Column("visitor_id", BigInteger, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("storefront_id", Integer, nullable=False),
    Column("linked_at", DateTime(timezone=True), nullable=False),
    _xid(),
    PrimaryKeyConstraint("visitor_id", "customer_id"),
)

# Until when events that name both do not link them: somebody has undone it. One row each time.
visitor_unlink = Table(
    "visitor_unlink",
    metadata,
    Column("visitor_id", BigInteger, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("storefront_id", Integer, nullable=False),
    Column("unlinked_at", DateTime(timezone=True), nullable=False),
    _xid(),
    PrimaryKeyConstraint("visitor_id", "customer_id", "unlinked_at"),
)

# Range-partitioned by client_time, which is UNDATED (storage/events.py) for events that came without one. No foreign
# keys: the ids come from our own look-ups, and checking them again would cost as much as the insert.
event = Table(
    "event",
    metadata,
    Column("storefront_id", Integer, nullable=False),
    Column("event_id", UUID(as_uuid=False), nullable=False),
    Column("client_time", DateTime(timezone=True), nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("visitor_id", BigInteger, nullable=True),
    Column("customer_id", BigInteger, nullable=True),
    Column("account_id", BigInteger, nullable=True),
    _xid(),
    # Place in its commit: (xid, position) is the order in which events were stored.
    Column("position", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("trust", SmallInteger, nullable=False),
    Column("event_name", Text, nullable=False),
    Column("url", Text, nullable=True),
    Column("referrer", Text, nullable=True),
    # An object; or, when there is a shape_id, the array of its values, in the order of the shape's names.
    Column("properties", JSON, nullable=False),
    Column("shape_id", Integer, nullable=True),
    # NULL, which takes no room, for people.
    Column("is_bot", Boolean, nullable=True),
    # NULL: nothing is known of the device; nothing brought the person.
    Column("device_context_id", Integer, nullable=True),
    Column("campaign_context_id", Integer, nullable=True),
    PrimaryKeyConstraint("storefront_id", "event_id", "client_time"),
    postgresql_partition_by="RANGE (client_time)",
)
# Names of properties that come together again and again; see events.py. Never changed, never deleted.
property_shape = Table(
    "property_shape",
    metadata,
    Column("shape_id", Integer, Identity(always=True), primary_key=True),
    Column("storefront_id", Integer, nullable=False),
    Column("names", ARRAY(Text), nullable=False),
    _xid(),
    UniqueConstraint("storefront_id", "names"),
)
Index("property_shape_xid_idx", property_shape.c.xid)


def _context(name: str, *columns: str) -> Table:
    """What events have in common, see contexts.py; '' where there is none. Never changed, never deleted."""
    table = Table(
        name,
        metadata,
        Column(f"{name}_id", Integer, Identity(always=True), primary_key=True),
        Column("storefront_id", Integer, nullable=False),
        *(Column(column, Text, nullable=False) for column in columns),
        _xid(),
        UniqueConstraint("storefront_id", *columns),
    )
    Index(f"{name}_xid_idx", table.c.xid)
    return table


device_context = _context("device_context", *Device._fields)
campaign_context = _context("campaign_context", *Campaign._fields)

# Followers ask for the rows of transactions since their last look; rows of one commit share one index entry.
Index("event_xid_idx", event.c.xid)
Index("visitor_link_xid_idx", visitor_link.c.xid)
Index("visitor_unlink_xid_idx", visitor_unlink.c.xid)

quarantined_event = Table(
    "quarantined_event",
    metadata,
    Column("quarantine_id", BigInteger, Identity(always=True), primary_key=True),
    Column("storefront_id", Integer, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("format", Text, nullable=False),
    Column("trust", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("pointer", Text, nullable=False),
    Column("detail", Text, nullable=False),
    # The bytes as received; may be anything at all.
    Column("raw", LargeBinary, nullable=False),
    # When the sender sent the request, needed to correct its clock at a replay.
    Column("sent_at", DateTime(timezone=True), nullable=True),
    Column("replayed_at", DateTime(timezone=True), nullable=True),
    Column("is_bot", Boolean, nullable=True),
    # One refusal has one row, however often its batch is stored. Rows of before have none.
    Column("refusal_id", UUID(as_uuid=False), nullable=True),
    Index("quarantined_event_storefront_idx", "storefront_id", "received_at"),
    Index(
        "quarantined_event_refusal_idx",
        "refusal_id",
        unique=True,
        postgresql_where=text("refusal_id IS NOT NULL"),
    ),
)

# What came in and what became of it, in events per minute; lines of one minute are added up.
ledger = Table(
    "ledger",
    metadata,
    Column("storefront_id", Integer, nullable=False),
    Column("minute", DateTime(timezone=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("bot", BigInteger, nullable=False),
    Column("no_consent", BigInteger, nullable=False),
    Column("limited", BigInteger, nullable=False),
    # Rows deleted on purpose since: by an erasure or by retention.
    Column("erased", BigInteger, nullable=False, server_default=text("0")),
    # Added up with its like; see ledger.py.
    Column("settled", Boolean, nullable=False, server_default=text("false")),
    # The commits that wrote it: where its events are found in event_xid_idx.
    Column("first_xid", Xid8(), nullable=False, server_default=text("pg_current_xact_id()")),
    Column("last_xid", Xid8(), nullable=False, server_default=text("pg_current_xact_id()")),
    Index("ledger_storefront_idx", "storefront_id", "minute"),
    Index("ledger_minute_idx", "minute"),
)
Index("ledger_unsettled_idx", ledger.c.minute, postgresql_where=~ledger.c.settled)

# What is to be forgotten: persons by our ids, or everything before a time. Followers delete the same.
erasure = Table(
    "erasure",
    metadata,
    Column("erasure_id", BigInteger, Identity(always=True), primary_key=True),
    Column("storefront_id", Integer, nullable=False),
    Column("visitor_ids", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    Column("customer_ids", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    # Visitors that were other customers too, each with a time [since, until) in which they were this one.
    Column("shared_visitor_ids", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    Column("shared_since", ARRAY(DateTime(timezone=True)), nullable=False, server_default=text("'{}'")),
    Column("shared_until", ARRAY(DateTime(timezone=True)), nullable=False, server_default=text("'{}'")),
    # The person's ids as the sender writes them; emptied when the erasure is finished.
    Column("keys", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("occurred_before", DateTime(timezone=True), nullable=True),
    Column("requested_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # When everything held at the request was gone.
    Column("erased_at", DateTime(timezone=True), nullable=True),
    # When our ids were taken from the keys: what comes later under them is of somebody new.
    Column("forgotten_at", DateTime(timezone=True), nullable=True),
    Column("finished_at", DateTime(timezone=True), nullable=True),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    _xid(),
)
Index("erasure_open_idx", erasure.c.erasure_id, postgresql_where=erasure.c.finished_at.is_(None))
Index("erasure_xid_idx", erasure.c.xid)

# The secret behind one day's visitors without an id; deleted when the day is over. In no write-ahead log.
cookieless_salt = Table(
    "cookieless_salt",
    metadata,
    Column("day", Date, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    prefixes=["UNLOGGED"],
)
