"""Links between visitors and customers that can be undone."""

revision = "2026_11_23_identity"
down_revision = "2026_11_22_published_funnels"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
