"""Salts of a day for visitors without an id."""

from alembic import op

revision = "2026_11_23_cookieless"
down_revision = "2026_11_23_context"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Unlogged: what is deleted must not live on in an archive of the write-ahead log. After a crash the processes
    # put back what they know.
    op.execute("CREATE UNLOGGED TABLE cookieless_salt (day date PRIMARY KEY, salt bytea NOT NULL)")


def downgrade() -> None:
    op.execute("DROP TABLE cookieless_salt")
