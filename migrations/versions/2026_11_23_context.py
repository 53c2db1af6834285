"""What is known of an event's browser and campaign, kept once per combination."""

revision = "2026_11_23_context"
down_revision = "2026_11_23_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
