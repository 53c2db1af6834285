"""Secrets with which shop systems sign their webhooks."""

revision = "2026_11_23_webhooks"
down_revision = "2026_11_23_cookieless"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
