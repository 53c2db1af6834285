"""Links between visitors and customers that can be undone."""

from alembic import op

revision = "2026_11_23_identity"
down_revision = "2026_11_22_published_funnels"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE visitor_unlink (
            visitor_id bigint NOT NULL,
            customer_id bigint NOT NULL,
            storefront_id integer NOT NULL,
            unlinked_at timestamptz NOT NULL,
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            PRIMARY KEY (visitor_id, customer_id, unlinked_at)
        )
    """)
    op.execute("CREATE INDEX visitor_unlink_xid_idx ON visitor_unlink (xid)")


def downgrade() -> None:
    op.execute("DROP TABLE visitor_unlink")
