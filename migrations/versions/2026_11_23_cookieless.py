"""Salts of a day for visitors without an id."""

revision = "2026_11_23_cookieless"
down_revision = "2026_11_23_context"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
