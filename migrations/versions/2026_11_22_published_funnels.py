"""Saved funnels that are shown as metrics: the period that each is shown for."""

from alembic import op

from migrations.locks import lock_tables

revision = "2026_11_22_published_funnels"
down_revision = "2026_11_22_ledger_and_erasure"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a default the table is not rewritten, and the version before saves funnels that are not published.
    lock_tables("funnel")
    op.execute("ALTER TABLE funnel ADD COLUMN published_period text")


def downgrade() -> None:
    op.execute("ALTER TABLE funnel DROP COLUMN published_period")
