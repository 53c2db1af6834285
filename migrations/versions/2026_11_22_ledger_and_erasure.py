"""Ledger, erasure, shapes of properties, marks for bots, keys with two secrets, retention."""

from alembic import op

from migrations.locks import lock_tables

revision = "2026_11_22_ledger_and_erasure"
down_revision = "2026_11_21_first_tables"
branch_labels = None
depends_on = None

# Additions only, without rewriting a table: the version before goes on writing and reading meanwhile.
STATEMENTS = """
ALTER TABLE storefront ADD COLUMN retention_days integer CHECK (retention_days > 0);
ALTER TABLE api_key ADD COLUMN previous_digest bytea, ADD COLUMN previous_expires_at timestamptz;
ALTER TABLE event ADD COLUMN shape_id integer, ADD COLUMN is_bot boolean;
ALTER TABLE quarantined_event ADD COLUMN replayed_at timestamptz, ADD COLUMN is_bot boolean,
    ADD COLUMN refusal_id uuid;
-- Empty, so it is made in the time that reading the rows takes, without what they quote.
CREATE UNIQUE INDEX quarantined_event_refusal_idx ON quarantined_event (refusal_id) WHERE refusal_id IS NOT NULL;

-- Property names that come together again and again, in their order: such events store the values only.
CREATE TABLE property_shape (
    shape_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL,
    names text[] NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    UNIQUE (storefront_id, names)
);
CREATE INDEX property_shape_xid_idx ON property_shape (xid);

-- Each commit adds lines; lines of minutes gone by are added up later.
CREATE TABLE ledger (
    storefront_id integer NOT NULL,
    minute timestamptz NOT NULL,
    source text NOT NULL,
    received bigint NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    rejected bigint NOT NULL,
    bot bigint NOT NULL,
    no_consent bigint NOT NULL,
    limited bigint NOT NULL,
    erased bigint NOT NULL DEFAULT 0,
    settled boolean NOT NULL DEFAULT false,
    first_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    last_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX ledger_storefront_idx ON ledger (storefront_id, minute);
CREATE INDEX ledger_minute_idx ON ledger (minute);
CREATE INDEX ledger_unsettled_idx ON ledger (minute) WHERE NOT settled;

-- What is to be forgotten: persons by our ids, or everything before a time. Followers delete the same.
CREATE TABLE erasure (
    erasure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    storefront_id integer NOT NULL,
    visitor_ids bigint[] NOT NULL DEFAULT '{}',
    customer_ids bigint[] NOT NULL DEFAULT '{}',
    shared_visitor_ids bigint[] NOT NULL DEFAULT '{}',
    shared_since timestamptz[] NOT NULL DEFAULT '{}',
    shared_until timestamptz[] NOT NULL DEFAULT '{}',
    keys text[] NOT NULL DEFAULT '{}',
    occurred_before timestamptz,
    requested_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz,
    forgotten_at timestamptz,
    finished_at timestamptz,
    counts jsonb NOT NULL DEFAULT '{}',
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX erasure_xid_idx ON erasure (xid);
CREATE INDEX erasure_open_idx ON erasure (erasure_id) WHERE finished_at IS NULL
"""


def upgrade() -> None:
    lock_tables("storefront", "api_key", "event", "quarantined_event")
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("erasure", "ledger", "property_shape"):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE quarantined_event DROP COLUMN is_bot, DROP COLUMN replayed_at, DROP COLUMN refusal_id")
    op.execute("ALTER TABLE event DROP COLUMN is_bot, DROP COLUMN shape_id")
    op.execute("ALTER TABLE api_key DROP COLUMN previous_digest, DROP COLUMN previous_expires_at")
    op.execute("ALTER TABLE storefront DROP COLUMN retention_days")
