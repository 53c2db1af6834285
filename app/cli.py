"""The command line. Thin: every command calls one function of the service."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import ENV_PREFIX, IMPORT_KEY_VARIABLE, Settings, unknown_variables
from app.domain.storefront import KeyKind
from app.errors import FootfallError
from app.importers import IMPORTERS
from app.importers.base import ImportFailed
from app.storage.database import DatabaseUrl, create_engine, migrate
from app.storage.embedded import EmbeddedPostgres
from app.storage.embedded_account import EmbeddedPostgresError
from app.storage.embedded_watch import PostgresWatch
from app.storage.storefronts import (
    KeyEntry,
    create_key,
    create_storefront,
    find_storefront,
    list_keys,
    list_storefronts,
    revoke_key,
)

app = typer.Typer(
    name="footfall",
    help="Event tracking for storefronts: events in over REST, funnels and drop-off out.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
storefront_app = typer.Typer(help="The shops that send events.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys to send events and to ask for reports.", no_args_is_help=True)
app.add_typer(storefront_app, name="storefront")
app.add_typer(keys_app, name="keys")

console = Console()
errors = Console(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the embedded Postgres, the mirror and logs live.", show_default=".footfall"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

T = TypeVar("T")


class UsageError(FootfallError):
    """The command can't run like this"""


def load_settings(**given: Any) -> Settings:
    """From the environment and the command line. Raises UsageError naming what to change."""
    if unknown := unknown_variables():
        raise UsageError(f"No such setting: {', '.join(unknown)}. The README lists those there are.")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(
            f"{ENV_PREFIX}{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()
        )
        raise UsageError(faults) from error


@contextmanager
def database(settings: Settings) -> Iterator[DatabaseUrl]:
    """The database's address; an embedded Postgres runs meanwhile when no other is set."""
    if settings.database_url is not None:
        url = DatabaseUrl.parse(settings.database_url.get_secret_value())
        try:
            yield url
        except (OSError, asyncpg.PostgresError) as error:
            raise UsageError(f"Postgres at {url.place} (FOOTFALL_DATABASE_URL) can't be used: {error}") from error
        return
    with EmbeddedPostgres(settings.data_dir) as postgres:
        yield DatabaseUrl.parse(postgres.url)


@contextmanager
def watched_database(settings: Settings) -> Iterator[tuple[DatabaseUrl, Callable[[], int]]]:
    """As `database`, but an embedded Postgres that dies is started again; beside the address, how often it was."""
    if settings.database_url is not None:
        with database(settings) as url:
            yield url, lambda: 0
        return
    with EmbeddedPostgres(settings.data_dir) as postgres, PostgresWatch(postgres) as watch:
        yield DatabaseUrl.parse(postgres.url), lambda: watch.restart_count


def with_database(data_dir: Path | None, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Run one piece of work on a database that is migrated first."""
    settings = load_settings(data_dir=data_dir)

    async def run(url: DatabaseUrl) -> T:
        engine = create_engine(url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    with database(settings) as url:
        if settings.migrate_on_start:
            migrate(url)
        return asyncio.run(run(url))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the service until it is stopped."""
    from app.server import only_service, run_server, stop_on_signals

    stop_on_signals()
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    with only_service(settings), watched_database(settings) as (url, postgres_restarts):
        if settings.migrate_on_start:
            migrate(url)
        run_server(settings, url, postgres_restarts)


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
    source: Annotated[str, typer.Argument(help=f"What the files hold: {', '.join(i.name for i in IMPORTERS)}.")],
    files: Annotated[list[Path], typer.Argument(help="Files, in the order of their time.")],
    key: Annotated[str, typer.Option(help="A server key.", envvar=IMPORT_KEY_VARIABLE, show_default=False)],
    url: Annotated[
        str | None, typer.Option(help="Where the service runs.", show_default="http://127.0.0.1:8000, or as set")
    ] = None,
) -> None:
    """Send files of events through the service. Running it again stores nothing twice."""
    from app.importers.run import import_files

    importer = next((importer for importer in IMPORTERS if importer.name == source), None)
    if importer is None:
        raise UsageError(f"{source!r} can't be imported; there are {', '.join(i.name for i in IMPORTERS)}.")
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
        _print_json({"storefront_id": created.storefront_id, "name": created.name})
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
        _print_json(
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
    table = Table("id", "name", "time zone", "currency")
    for shop in found:
        table.add_row(str(shop.storefront_id), escape(shop.name), shop.time_zone, shop.currency)
    console.print(table)


@keys_app.command("create")
def keys_create(
    storefront: Annotated[str, typer.Argument(help="Number or name of the storefront.")],
    kind: Annotated[
        KeyKind, typer.Option(help="write: for pages; server: for servers and imports; read: for reports.")
    ],
    origin: Annotated[
        list[str] | None, typer.Option(help="Origin that browsers may send from; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key. It is shown once and can't be shown again."""

    async def make(engine: AsyncEngine) -> str:
        found = await find_storefront(engine, storefront)
        return await create_key(engine, found.storefront_id, kind, origin)

    secret = with_database(data_dir, make)
    if as_json:
        _print_json({"key": secret, "kind": kind.value})
    else:
        console.print(secret, highlight=False, markup=False, soft_wrap=True)
        errors.print("Keep it now: it is not stored and can't be shown again.")


@keys_app.command("list")
def keys_list(
    storefront: Annotated[str, typer.Argument(help="Number or name of the storefront.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the keys that work, without their secrets."""

    async def find(engine: AsyncEngine) -> list[KeyEntry]:
        return await list_keys(engine, (await find_storefront(engine, storefront)).storefront_id)

    found = with_database(data_dir, find)
    if as_json:
        _print_json([{**key._asdict(), "created_at": key.created_at.isoformat()} for key in found])
        return
    table = Table("id", "kind", "begins with", "origins", "made")
    for key in found:
        origins = ", ".join(key.origins) if key.origins else "any"
        table.add_row(str(key.key_id), key.kind, key.prefix + "…", escape(origins), f"{key.created_at:%Y-%m-%d}")
    console.print(table)


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[int, typer.Argument(help="Its number in `footfall keys list`.")], data_dir: DataDir = None
) -> None:
    """End a key. The service forgets it within seconds."""
    with_database(data_dir, lambda engine: revoke_key(engine, key_id))
    console.print(f"Key {key_id} is revoked.", highlight=False)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def main() -> None:
    """Entry point: errors that a user can do something about are one line, not a traceback."""
    try:
        app()
    except FootfallError as error:
        _fail(error.detail)
    except (EmbeddedPostgresError, ImportFailed) as error:
        _fail(str(error))
    except (SQLAlchemyError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error)
        _fail(f"{cause.splitlines()[0] if cause else type(error).__name__}\n`footfall doctor` looks for the reason.")


def _fail(message: str) -> None:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
