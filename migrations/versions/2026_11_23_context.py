"""What is known of an event's browser and campaign, kept once per combination."""

from alembic import op

from migrations.locks import lock_tables

revision = "2026_11_23_context"
down_revision = "2026_11_23_identity"
branch_labels = None
depends_on = None

CONTEXTS = {
    "device_context": ("device_type", "browser", "os", "language", "country"),
    "campaign_context": (
        "channel",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_term",
        "utm_content",
        "click_id",
    ),
}


def upgrade() -> None:
    # Without a default the partitions are not rewritten, and the version before stores events without contexts.
    lock_tables("event")
    for table, columns in CONTEXTS.items():
        op.execute(f"""
            CREATE TABLE {table} (
                {table}_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                storefront_id integer NOT NULL,
                {", ".join(f"{column} text NOT NULL" for column in columns)},
                xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
                UNIQUE (storefront_id, {", ".join(columns)})
            )
        """)
        op.execute(f"CREATE INDEX {table}_xid_idx ON {table} (xid)")
        op.execute(f"ALTER TABLE event ADD COLUMN {table}_id integer")


def downgrade() -> None:
    for table in CONTEXTS:
        op.execute(f"ALTER TABLE event DROP COLUMN {table}_id")
        op.execute(f"DROP TABLE {table}")
