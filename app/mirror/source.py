"""The connection to Postgres by which the mirror reads: it may read, and nothing else."""

from typing import Any

import adbc_driver_postgresql.dbapi as adbc
from sqlalchemy import make_url

from app.storage.roles import TAKE_REPORT_ROLE

# Seconds, the last in milliseconds; see libpq's connection parameters.
LIBPQ_TIMEOUTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

# For Postgres itself. The first look copies everything; a look that is stuck must not hold up VACUUM for ever.
DEADLINES = (
    "SET statement_timeout = '1h'",
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '10min'",
)


def connect(postgres_url: str) -> Any:
    """A connection that may read, and nothing else, where there is a role for that."""
    postgres = adbc.connect(_with_timeouts(postgres_url), autocommit=True)
    try:
        with postgres.cursor() as cursor:
            cursor.execute(TAKE_REPORT_ROLE)
            cursor.fetchall()
            for statement in DEADLINES:
                cursor.execute(statement)
    except BaseException:
        postgres.close()
        raise
    return postgres


def _with_timeouts(postgres_url: str) -> str:
    """The address with what it does not say itself: a server that vanished must not hold reports up for hours."""
    url = make_url(postgres_url)
    return url.set(query={**LIBPQ_TIMEOUTS, **url.query}).render_as_string(hide_password=False)
