"""`footfall doctor`: looks for what is wrong with the set-up and says in plain words what to do about it."""

import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import WORKER_FOLDER, Settings
from app.outage import outage
from app.storage.database import (
    POSTGRES_VERSION_MIN,
    DatabaseUrl,
    create_engine,
    current_revision,
    is_behind,
    newest_revision,
)
from app.storage.embedded import EmbeddedPostgres
from app.storage.ledger import audit
from app.storage.partitions import months_ahead
from app.storage.roles import INGEST_ROLE, REPORT_ROLE

ORPHANS_SECONDS = 5.0  # for a start of Postgres that is held up by a server that hangs
# Below this a busy shop can fill the disk within days.
FREE_BYTES_MIN = 2 * 1024**3

# Purpose: what an operator must know of the server. Rows of the future are left by a dump that was restored into
# another cluster; the mirror can't follow them.
FACTS = """
    SELECT current_setting('server_version_num')::int AS version,
           current_setting('server_version') AS version_text,
           current_setting('fsync') = 'on' AS fsync,
           current_setting('full_page_writes') = 'on' AS full_page_writes,
           current_setting('server_encoding') AS encoding,
           has_schema_privilege('public', 'CREATE') AS may_create
"""
COUNTS = """
    SELECT (SELECT count(*) FROM storefront) AS storefronts,
           (SELECT count(*) FROM api_key WHERE revoked_at IS NULL AND kind IN ('write', 'server')) AS sending_keys,
           (SELECT count(*) FROM api_key WHERE revoked_at IS NULL AND kind = 'read') AS reading_keys,
           (SELECT count(*) FROM quarantined_event) AS quarantined,
           EXISTS (SELECT FROM event WHERE xid > pg_current_xact_id()) AS from_the_future
"""


# Purpose: the roles that the pools can take.
ROLES = """
    SELECT rolname FROM pg_roles
    WHERE pg_has_role(oid, 'SET') AND has_table_privilege(oid, 'event', 'SELECT') AND rolname LIKE 'footfall_%'
"""
# Purpose: makes the rows of a restored dump this cluster's own. One transaction, since the ledger is held against the
# numbers of the events.
REPAIR = (
    "BEGIN; UPDATE event SET xid = pg_current_xact_id(); UPDATE visitor_link SET xid = pg_current_xact_id(); "
    "UPDATE visitor_unlink SET xid = pg_current_xact_id(); "
    "UPDATE erasure SET xid = pg_current_xact_id(); UPDATE property_shape SET xid = pg_current_xact_id(); "
    "UPDATE ledger SET first_xid = pg_current_xact_id(), last_xid = pg_current_xact_id(); "
    "UPDATE instance SET instance_id = gen_random_uuid(); COMMIT; VACUUM ANALYZE;"
)
AUDITED = timedelta(days=1)
AUDIT_MAX_EVENTS = 1_000_000


class Finding(NamedTuple):
    ok: bool
    text: str


async def examine(settings: Settings, console: Console) -> int:
    """Prints a line per finding as soon as it is known; returns 0 when all is well, 1 otherwise."""
    faults = 0
    async for finding in _findings(settings):
        faults += not finding.ok
        mark, style = ("✓", "green") if finding.ok else ("✗", "red")
        console.print(f"{mark} {finding.text}", style=style, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{faults} to mend." if faults else "All is well.", highlight=False)
    return 1 if faults else 0


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    for finding in _data_dir(settings):
        yield finding
    try:
        async with _database(settings) as engine:
            async for finding in _in_database(engine):
                yield finding
    except Exception as error:  # noqa: BLE001  # the point of this command is to put whatever happens into words
        yield Finding(False, _unusable(settings, error))
    yield await _service(settings)


def _data_dir(settings: Settings) -> list[Finding]:
    path = settings.data_dir.absolute()
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Finding(False, f"{existing} is not writable for this user: chown it, or set FOOTFALL_DATA_DIR.")]
    free = shutil.disk_usage(existing).free
    enough = free >= FREE_BYTES_MIN
    advice = "" if enough else ": make room, Postgres stops when the disk is full"
    findings = [
        Finding(True, f"Data directory {path} is writable."),
        Finding(enough, f"{free / 1024**3:.1f} GiB free on its disk{advice}."),
    ]
    folders = [path, *path.glob(f"{WORKER_FOLDER}*")]
    if damaged := sorted(file.name for folder in folders for file in folder.glob("spool.damaged-*")):
        lost = "acknowledged events may be lost. The log says how many; remove them when you know the cause"
        findings.append(Finding(False, f"The spool was damaged ({', '.join(damaged)}): {lost}."))
    return findings


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[AsyncEngine]:
    embedded: EmbeddedPostgres | None = None
    if settings.database_url is None:
        embedded = EmbeddedPostgres(settings.data_dir, orphans_seconds=ORPHANS_SECONDS)
        url = DatabaseUrl.parse(embedded.start())
    else:
        url = DatabaseUrl.parse(settings.database_url.get_secret_value())
    engine = create_engine(url)
    try:
        yield engine
    finally:
        await engine.dispose()
        if embedded is not None:
            embedded.stop()


async def _in_database(engine: AsyncEngine) -> AsyncIterator[Finding]:
    async with engine.connect() as connection:
        facts = (await connection.execute(text(FACTS))).one()
    new_enough = facts.version >= POSTGRES_VERSION_MIN
    yield Finding(
        new_enough,
        f"Postgres {facts.version_text}{'' if new_enough else ' is too old: 16 or newer is needed'}.",
    )
    if not (facts.fsync and facts.full_page_writes):
        yield Finding(False, "fsync or full_page_writes is off in Postgres: a power cut loses acknowledged events.")
    if facts.encoding != "UTF8":
        yield Finding(
            False,
            f"The database's encoding is {facts.encoding}: create it with ENCODING 'UTF8', or events are refused.",
        )
    current, newest = await current_revision(engine), newest_revision()
    if is_behind(current):
        if not facts.may_create:
            yield Finding(False, "This Postgres role may not create tables: GRANT CREATE ON SCHEMA public to it.")
        yield Finding(
            False,
            f"The schema is at {current or 'nothing'}, this version needs {newest}: run `footfall migrate`.",
        )
        return
    yield Finding(True, f"The schema is at {current}.")
    for finding in await _around_events(engine):
        yield finding
    async with engine.connect() as connection:
        counts = (await connection.execute(text(COUNTS))).one()
    if not counts.storefronts:
        yield Finding(False, "There is no storefront yet: run `footfall storefront create NAME`.")
        return
    yield Finding(True, f"{counts.storefronts} storefront(s), {counts.quarantined} event(s) in quarantine.")
    for count, what, kind in (
        (counts.sending_keys, "send events", "write"),
        (counts.reading_keys, "read reports", "read"),
    ):
        if not count:
            yield Finding(False, f"No key may {what}: run `footfall keys create STOREFRONT --kind {kind}`.")
    if counts.from_the_future:
        yield Finding(
            False,
            "The event table holds transaction numbers from another cluster (was a dump restored?): reports would read "
            f"them again and again. Stop the service, remove mirror.duckdb*, and run, in one transaction: {REPAIR}",
        )


async def _around_events(engine: AsyncEngine) -> list[Finding]:
    """Roles, partitions, and whether the events are where the ledger says. Without roles all works as well."""
    now = datetime.now(UTC)
    async with engine.connect() as connection:
        roles = set((await connection.execute(text(ROLES))).scalars())
        owner = (await connection.execute(text("SELECT quote_ident(current_user)"))).scalar()
    roles_text = "Ingestion and reports run as Postgres roles of their own."
    if missing := sorted({INGEST_ROLE, REPORT_ROLE} - roles):
        roles_text = (
            f"Everything runs as the owner of the tables; to change that, as a superuser: CREATE ROLE "
            f"{'; CREATE ROLE '.join(missing)}; GRANT {', '.join(missing)} TO {owner}; then run `footfall migrate`."
        )
    ahead = await months_ahead(engine, now)
    ahead_text = (
        f"{ahead} month(s) ahead have partitions." if ahead >= 0 else "A start of the service makes partitions."
    )
    result = await audit(engine, now - AUDITED, now, max_events=AUDIT_MAX_EVENTS)
    audit_text = f"Ledger and events agree ({result.events_count} event(s) of the last day looked at)."
    if result.differences:
        audit_text = f"Ledger and events differ by {result.events_off}: `footfall ledger audit` shows where."
    return [Finding(True, roles_text), Finding(ahead != 0, ahead_text), Finding(not result.differences, audit_text)]


async def _service(settings: Settings) -> Finding:
    address = f"http://{settings.host}:{settings.port}"
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            answer = (await client.get(f"{address}/readyz")).json()
        faults = [f"{name} {check['detail']}" for name, check in answer["checks"].items() if not check["ok"]]
    except httpx.TransportError:
        if _port_is_free(settings.host, settings.port):
            return Finding(True, f"No service runs on {address}; `footfall serve` starts one, the port is free.")
        return Finding(False, f"Something holds port {settings.port} without answering: end it, or set FOOTFALL_PORT.")
    except (ValueError, KeyError, TypeError):
        return Finding(False, f"{address} is answered by something that is not Footfall: set FOOTFALL_PORT.")
    if faults:
        return Finding(False, f"The service on {address} is not ready: {'; '.join(faults)}.")
    return Finding(True, f"The service on {address} is ready.")


def _port_is_free(host: str, port: int) -> bool:
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
        return probe.connect_ex((host, port)) != 0


def _unusable(settings: Settings, error: Exception) -> str:
    trouble = outage(error)
    if trouble is None:
        said = str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__]
        return f"The database can't be used: {said[0]}"
    if settings.database_url is None:
        return f"Postgres {trouble}: see postgres.log in the data directory; a restart of the service starts it anew."
    place = DatabaseUrl.parse(settings.database_url.get_secret_value()).place
    return f"Postgres at {place} {trouble}: start or mend it there, or correct FOOTFALL_DATABASE_URL."
