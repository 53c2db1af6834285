"""What all commands share: settings, a database to work on, where output goes."""

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
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import ENV_PREFIX, Settings, unknown_variables
from app.errors import FootfallError
from app.outage import outage
from app.storage.database import DatabaseUrl, create_engine, migrate
from app.storage.embedded import EmbeddedPostgres

console = Console()
errors = Console(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the embedded Postgres, the mirror and logs live.", show_default=".footfall"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

# What holds up a start of Postgres is a server that hangs, or one that was killed: somebody waits for the answer.
ORPHANS_SECONDS = 5.0

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
        raise UsageError("; ".join(_fault(fault["loc"], fault["msg"]) for fault in error.errors())) from error


def _fault(place: tuple[str | int, ...], message: str) -> str:
    """A contradiction between settings names them itself."""
    said = message.removeprefix("Value error, ")  # pydantic's mark for what our own checks raise
    return f"{ENV_PREFIX}{'_'.join(map(str, place)).upper()}: {said}" if place else said


@contextmanager
def database(settings: Settings) -> Iterator[DatabaseUrl]:
    """The database's address; an embedded Postgres runs meanwhile when no other is set."""
    if settings.database_url is not None:
        url = DatabaseUrl.parse(settings.database_url.get_secret_value())
        try:
            yield url
        except (OSError, asyncpg.PostgresError) as error:
            trouble = outage(error) or f"can't be used: {error}"
            raise UsageError(f"Postgres at {url.place} (FOOTFALL_DATABASE_URL) {trouble}.") from error
        return
    with EmbeddedPostgres(settings.data_dir, orphans_seconds=ORPHANS_SECONDS) as postgres:
        yield DatabaseUrl.parse(postgres.url)


def with_database(data_dir: Path | None, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    """Run one piece of work on a database that is migrated first."""
    return with_database_url(data_dir, lambda engine, _url: work(engine))


def with_database_url(data_dir: Path | None, work: Callable[[AsyncEngine, DatabaseUrl], Awaitable[T]]) -> T:
    """As `with_database`, for work that opens connections of its own."""
    settings = load_settings(data_dir=data_dir)

    async def run(url: DatabaseUrl) -> T:
        engine = create_engine(url)
        try:
            return await work(engine, url)
        finally:
            await engine.dispose()

    with database(settings) as url:
        if settings.migrate_on_start:
            migrate(url)
        return asyncio.run(run(url))


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
