"""The Postgres roles of the two pools that need little: one stores events, one reads.

Both belong to the owner of the tables, who becomes one of them on each connection. Where they can't be made, or
can't be used, everything runs as the owner.
"""

import logging

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.storage.tables import metadata

logger = logging.getLogger(__name__)

INGEST_ROLE = "footfall_ingest"
REPORT_ROLE = "footfall_report"

# What storing a batch takes; partitions are reached through `event`. Nothing can be deleted, and no event changed.
INGEST_PRIVILEGES = {
    "event": "SELECT, INSERT",
    "visitor": "SELECT, INSERT",
    "customer": "SELECT, INSERT",
    "account": "SELECT, INSERT",
    "visitor_link": "SELECT, INSERT, UPDATE (linked_at, xid)",
    "property_shape": "SELECT, INSERT",
    "device_context": "SELECT, INSERT",
    "campaign_context": "SELECT, INSERT",
    "quarantined_event": "SELECT, INSERT",
    "ledger": "SELECT, INSERT",
    "erasure": "SELECT",
}

# Hold secrets that no report needs.
NOT_FOR_REPORTS = frozenset({"webhook", "cookieless_salt"})

# Purpose: a role that all databases of a cluster share, made once though several ask at the same moment.
CREATE_ROLE = """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$
"""
# Purpose: the owner may become the role. Superusers may anyway.
JOIN_ROLE = """
    DO $$ BEGIN
        IF NOT pg_has_role('{role}', 'SET') THEN GRANT {role} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE; END IF;
    EXCEPTION WHEN unique_violation THEN NULL;
    END $$
"""
# Purpose: become the role ($1), if there is one that may do what its pool needs ($2, on the events). No row otherwise.
TAKE_ROLE = """
    SELECT set_config('role', rolname, false) FROM pg_roles
    WHERE rolname = $1 AND pg_has_role(oid, 'SET') AND has_table_privilege(oid, to_regclass('event'), $2)
      AND has_schema_privilege(oid, current_schema(), 'USAGE')
      AND has_database_privilege(oid, current_database(), 'TEMPORARY')
"""
# The same for a driver without parameters.
TAKE_REPORT_ROLE = TAKE_ROLE.replace("$1", f"'{REPORT_ROLE}'").replace("$2", "'SELECT'")


async def take_role(connection: asyncpg.Connection, role: str) -> None:
    """For a new connection: from now on it may do what the role may."""
    await connection.execute(TAKE_ROLE, role, "INSERT" if role == INGEST_ROLE else "SELECT")


def grant_roles(connection: Connection) -> None:
    """Make the roles and give them what they need of the tables that there are; after every migration.

    Without the right to make roles nothing changes, and `footfall doctor` says so.
    """
    try:
        for role in (INGEST_ROLE, REPORT_ROLE):
            connection.execute(text(CREATE_ROLE.format(role=role)))
            connection.execute(text(JOIN_ROLE.format(role=role)))
        for statement in _grants(connection):
            connection.execute(text(statement))
        connection.commit()
    except DBAPIError as error:
        connection.rollback()
        if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient_privilege
            raise
        logger.warning("roles not made", extra={"action": "roles_not_made", "error": str(error.orig)})


def _grants(connection: Connection) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    there = set(connection.execute(text(query)).scalars())
    reading = sorted(there & {*metadata.tables, "alembic_version"} - NOT_FOR_REPORTS)
    return [f"GRANT SELECT ON {name} TO {REPORT_ROLE}" for name in reading] + [
        f"GRANT {privileges} ON {name} TO {INGEST_ROLE}"
        for name, privileges in INGEST_PRIVILEGES.items()
        if name in there
    ]
