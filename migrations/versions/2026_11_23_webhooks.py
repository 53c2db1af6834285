"""Secrets with which shop systems sign their webhooks."""

from alembic import op

revision = "2026_11_23_webhooks"
down_revision = "2026_11_23_cookieless"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A new table only, which the version before does not look at.
    op.execute(
        """
        CREATE TABLE webhook (
            webhook_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            storefront_id integer NOT NULL REFERENCES storefront,
            source text NOT NULL,
            secret text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE webhook")
