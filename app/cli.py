"""The command line. Thin: every command calls one function of the service."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.background import leave_threads_behind
from app.commands.base import (
    AsJson,
    DataDir,
    UsageError,
    console,
    database,
    errors,
    load_settings,
    print_json,
    with_database,
)
from app.commands.keys import keys_app
from app.commands.ledger import ledger_app
from app.commands.quarantine import quarantine_app
from app.commands.webhooks import webhooks_app
from app.config import IMPORT_KEY_VARIABLE, KEYS_FILE, WORKER_FOLDER, Role, Settings
from app.domain.storefront import Storefront
from app.errors import FootfallError
from app.importers import IMPORT_NAMES, importer_of
from app.importers.base import ImportFailed
from app.outage import outage
from app.storage.database import DatabaseUrl, migrate
from app.storage.embedded import EmbeddedPostgres
from app.storage.embedded_account import EmbeddedPostgresError
from app.storage.embedded_watch import PostgresWatch
from app.storage.retention import RETENTION_MAX_DAYS, set_retention
from app.storage.storefronts import create_storefront, find_storefront, list_storefronts

app = typer.Typer(
    name="footfall",
    help="Event tracking for storefronts: events in over REST, funnels and drop-off out.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
storefront_app = typer.Typer(help="The shops that send events.", no_args_is_help=True)
app.add_typer(storefront_app, name="storefront")
app.add_typer(keys_app, name="keys")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(ledger_app, name="ledger")


# For commands, reports and whoever looks with psql; and for one process that takes events.
CONNECTIONS = 50
WORKER_CONNECTIONS = 10


@contextmanager
def watched_database(settings: Settings) -> Iterator[tuple[DatabaseUrl, Callable[[], int]]]:
    """As `database`, but an embedded Postgres that dies is started again; beside the address, how often it was."""
    if settings.database_url is not None:
        with database(settings) as url:
            yield url, lambda: 0
        return
    connections = {"max_connections": str(CONNECTIONS + settings.workers * WORKER_CONNECTIONS)}
    with EmbeddedPostgres(settings.data_dir, settings=connections) as postgres, PostgresWatch(postgres) as watch:
        yield DatabaseUrl.parse(postgres.url), lambda: watch.restart_count


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    data_dir: DataDir = None,
    role: Annotated[Role | None, typer.Option(help="Take events, answer reports, or both.", show_default="all")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that take events; needs --role collect.", show_default="1")
    ] = None,
) -> None:
    """Run the service until it is stopped."""
    from app.server import only_service, run_server, stop_on_signals, suppress_stop

    stop_on_signals()
    settings = load_settings(host=host, port=port, data_dir=data_dir, role=role, workers=workers)
    # A stop by a signal comes as SystemExit, through every `finally`; it is no failure, and the end of this.
    with suppress_stop(), only_service(settings), watched_database(settings) as (url, postgres_restarts):
        if settings.migrate_on_start:
            _migrate_first(settings, url)
        if settings.workers > 1:
            from app.supervisor import run_workers

            run_workers(settings, url, postgres_restarts)
        else:
            run_server(settings, url, postgres_restarts)
    leave_threads_behind()


def _migrate_first(settings: Settings, url: DatabaseUrl) -> None:
    """A service that has run here before knows its keys: it starts without Postgres, and migrates when that is back."""
    try:
        migrate(url)
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
        folders = [settings.data_dir, *settings.data_dir.glob(f"{WORKER_FOLDER}*")]
        knows_keys = any((folder / KEYS_FILE).exists() for folder in folders)
        if not (settings.spool_max_bytes and settings.role.collects and knows_keys):
            raise
        errors.print("Postgres is away: events go to the spool until it is back.", style="yellow", highlight=False)


@app.command()
def demo(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the service with a demo shop and a synthetic week of journeys."""
    from app.demo.run import run_demo

    settings = load_settings(host=host, port=port, data_dir=data_dir)
    raise typer.Exit(run_demo(data_dir=settings.data_dir, host=settings.host, port=settings.port, console=console))


@app.command("migrate")
def migrate_command(data_dir: DataDir = None) -> None:
    """Bring the database to this version's schema."""
    with database(load_settings(data_dir=data_dir)) as url:
        migrate(url)
    console.print("The database is up to date.")


@app.command()
def doctor(
    host: Annotated[str | None, typer.Option(help="Where the service listens.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Its port.", show_default="8000")] = None,
    data_dir: DataDir = None,
) -> None:
    """Say what is wrong with the set-up, in plain words."""
    from app.doctor import examine

    settings = load_settings(host=host, port=port, data_dir=data_dir)
    raise typer.Exit(asyncio.run(examine(settings, console)))


@app.command("import")
def import_command(
    source: Annotated[str, typer.Argument(help=f"What the files hold: {', '.join(IMPORT_NAMES)}.")],
    files: Annotated[list[Path], typer.Argument(help="Files, in the order of their time.")],
    key: Annotated[str, typer.Option(help="A server key.", envvar=IMPORT_KEY_VARIABLE, show_default=False)] = "",
    mapping: Annotated[
        Path | None, typer.Option(help="For csv: the file that says what its columns mean; see docs/import-csv.md.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first events and send nothing.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Where the service runs.", show_default="http://127.0.0.1:8000, or as set")
    ] = None,
) -> None:
    """Send files of events through the service. Running it again stores nothing twice."""
    from app.importers.preview import preview_files
    from app.importers.run import import_files

    importer = importer_of(source, mapping)
    if dry_run:
        raise typer.Exit(1 if preview_files(importer, files, console) else 0)
    if not key:
        raise UsageError(f"Give a server key with --key or in {IMPORT_KEY_VARIABLE}; `footfall keys create` makes one.")
    settings = load_settings()
    url = url or f"http://{settings.host}:{settings.port}"
    totals = import_files(importer, files, url=url, key=key, console=console)
    raise typer.Exit(1 if totals.rejected or totals.unreadable else 0)


@storefront_app.command("create")
def storefront_create(
    name: str,
    time_zone: Annotated[str, typer.Option(help="In which reports count days; an IANA name.")] = "UTC",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Add a shop."""
    created = with_database(data_dir, lambda engine: create_storefront(engine, name, time_zone, currency))
    if as_json:
        print_json({"storefront_id": created.storefront_id, "name": created.name})
    else:
        console.print(
            f"Storefront {created.storefront_id} created. Next: footfall keys create {created.storefront_id}"
            " --kind write",
            highlight=False,
            markup=False,
        )


@storefront_app.command("list")
def storefront_list(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show all shops."""
    found = with_database(data_dir, list_storefronts)
    if as_json:
        print_json(
            [
                {
                    "storefront_id": s.storefront_id,
                    "name": s.name,
                    "time_zone": s.time_zone,
                    "currency": s.currency,
                }
                for s in found
            ]
        )
        return
    table = Table("id", "name", "time zone", "currency", "keeps events")
    for shop in found:
        kept = "for ever" if shop.retention_days is None else f"{shop.retention_days} days"
        table.add_row(str(shop.storefront_id), escape(shop.name), shop.time_zone, shop.currency, kept)
    console.print(table)


@storefront_app.command("retention")
def storefront_retention(
    storefront: Annotated[str, typer.Argument(help="Number or name of the storefront.")],
    days: Annotated[str, typer.Argument(help="How long events are kept, in days; none: for ever.")],
    data_dir: DataDir = None,
) -> None:
    """Say how long a shop keeps its events. Older ones are refused at once, and deleted within a day."""
    if days != "none" and not (days.isascii() and days.isdigit() and 0 < int(days) <= RETENTION_MAX_DAYS):
        raise UsageError(f"Give a number of days from 1 to {RETENTION_MAX_DAYS}, or none.")
    kept = None if days == "none" else int(days)

    async def save(engine: AsyncEngine) -> Storefront:
        found = await find_storefront(engine, storefront)
        await set_retention(engine, found.storefront_id, kept)
        return found

    shop = with_database(data_dir, save)
    lasting = "for ever" if kept is None else f"for {kept} days"
    console.print(f"{shop.name} keeps its events {lasting}.", highlight=False, markup=False)


def main() -> None:
    """Entry point: errors that a user can do something about are one line, not a traceback."""
    try:
        app()
    except FootfallError as error:
        _fail(error.detail)
    except (EmbeddedPostgresError, ImportFailed) as error:
        _fail(str(error))
    except (SQLAlchemyError, OSError) as error:
        trouble = outage(error)
        cause = f"Postgres {trouble}." if trouble else str(getattr(error, "orig", None) or error)
        _fail(f"{cause.splitlines()[0] if cause else type(error).__name__}\n`footfall doctor` looks for the reason.")


def _fail(message: str) -> None:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
