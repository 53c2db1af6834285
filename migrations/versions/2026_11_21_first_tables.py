"""The first tables: storefronts, keys, funnels, identities, events and quarantine."""

from alembic import op

revision = "2026_11_21_first_tables"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE instance (
    instance_id uuid PRIMARY KEY
);
INSERT INTO instance VALUES (gen_random_uuid());

CREATE TABLE storefront (
    storefront_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    time_zone text NOT NULL,
    currency text NOT NULL,
    session_timeout_seconds integer NOT NULL DEFAULT 1800,
    stages jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
    key_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL REFERENCES storefront,
    kind text NOT NULL CHECK (kind IN ('write', 'server', 'read', 'admin')),
    digest bytea NOT NULL UNIQUE,
    prefix text NOT NULL,
    origins text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE funnel (
    storefront_id integer NOT NULL REFERENCES storefront,
    name text NOT NULL,
    definition jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (storefront_id, name)
);

CREATE TABLE visitor (
    visitor_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL,
    visitor_key text NOT NULL,
    UNIQUE (storefront_id, visitor_key)
);

CREATE TABLE customer (
    customer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL,
    customer_key text NOT NULL,
    UNIQUE (storefront_id, customer_key)
);

CREATE TABLE account (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL,
    account_key text NOT NULL,
    UNIQUE (storefront_id, account_key)
);

CREATE TABLE visitor_link (
    visitor_id bigint NOT NULL,
    customer_id bigint NOT NULL,
    storefront_id integer NOT NULL,
    linked_at timestamptz NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (visitor_id, customer_id)
);
CREATE INDEX visitor_link_xid_idx ON visitor_link (xid);

CREATE TABLE event (
    storefront_id integer NOT NULL,
    event_id uuid NOT NULL,
    client_time timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    visitor_id bigint,
    customer_id bigint,
    account_id bigint,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    position integer NOT NULL,
    seq integer NOT NULL,
    trust smallint NOT NULL,
    event_name text NOT NULL,
    url text,
    referrer text,
    properties json NOT NULL,
    PRIMARY KEY (storefront_id, event_id, client_time)
) PARTITION BY RANGE (client_time);
CREATE INDEX event_xid_idx ON event (xid);

-- Events without a time of their own are kept under the first day of year 1, in a partition of their own; anything that
-- no month covers goes to event_default, so that a missing partition never refuses an event.
CREATE TABLE event_undated PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('1970-01-01 00:00:00+00');
CREATE TABLE event_default PARTITION OF event DEFAULT;

CREATE TABLE quarantined_event (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL,
    received_at timestamptz NOT NULL,
    format text NOT NULL,
    trust smallint NOT NULL,
    reason text NOT NULL,
    pointer text NOT NULL,
    detail text NOT NULL,
    raw bytea NOT NULL,
    sent_at timestamptz
);
CREATE INDEX quarantined_event_storefront_idx ON quarantined_event (storefront_id, received_at)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "quarantined_event",
        "event",
        "visitor_link",
        "account",
        "customer",
        "visitor",
        "funnel",
        "api_key",
        "storefront",
        "instance",
    ):
        op.execute(f"DROP TABLE {table}")
