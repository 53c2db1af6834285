"""Locks that migrations need, taken so that nothing else waits long behind them."""

from alembic import op

# Whoever wants a lock that conflicts with inserts has every later insert waiting behind it. Ingestion may stand still
# for a second; the changes themselves, which follow under the locks, need some of it.
LOCK_WAIT_MAX = "600ms"
STATEMENT_TIMEOUT = "60s"


def lock_tables(*names: str) -> None:
    """All locks that a migration needs, before its first change, within LOCK_WAIT_MAX together.

    Name the tables in the order in which storing events takes them. A migration that can't get its locks gives way,
    with everything undone, and is tried again.
    """
    op.execute(f"SET LOCAL statement_timeout = '{LOCK_WAIT_MAX}'")  # lock_timeout is for each table and partition apart
    op.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
    op.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
