"""`footfall ledger`: holds the ledger against the events that are really stored."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.commands.base import AsJson, DataDir, console, print_json, with_database
from app.storage.ledger import AuditResult, audit

ledger_app = typer.Typer(help="What was received, and what became of it.", no_args_is_help=True)


@ledger_app.callback()
def ledger() -> None:
    """What was received, and what became of it."""


@ledger_app.command("audit")
def ledger_audit(
    hours: Annotated[int, typer.Option(help="How far back to look.", min=1, max=24 * 366 * 10)] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count the events of every minute and compare. Exit code 1 when some differ."""
    end = datetime.now(UTC) + timedelta(minutes=1)

    async def compare(engine: AsyncEngine) -> AuditResult:
        return await audit(engine, end - timedelta(hours=hours), end)

    result = with_database(data_dir, compare)
    if as_json:
        differences = [{**d._asdict(), "minute": d.minute.isoformat()} for d in result.differences]
        print_json({"events_count": result.events_count, "differences": differences})
    else:
        _show(result)
    raise typer.Exit(1 if result.differences else 0)


def _show(result: AuditResult) -> None:
    if not result.differences:
        console.print(f"All {result.events_count} events are where the ledger says.", highlight=False)
        return
    table = Table("storefront", "minute (UTC)", "in the ledger", "stored")
    for row in result.differences:
        minute = f"{row.minute.astimezone(UTC):%Y-%m-%d %H:%M}"
        table.add_row(str(row.storefront_id), minute, str(row.claimed_count), str(row.found_count))
    console.print(table)
