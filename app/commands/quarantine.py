"""`footfall quarantine`: looking at refused events, and taking them in after all."""

from datetime import datetime
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Column, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.commands.base import AsJson, DataDir, UsageError, console, errors, print_json, with_database, with_database_url
from app.domain.outcome import RejectReason, SinkUnavailable
from app.domain.storefront import Storefront
from app.replay.fix import Fix, parse_fix
from app.replay.replay import Replayed, replay
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.quarantine import QuarantineGroup, Selection, count_waiting, quarantine_groups
from app.storage.storefronts import find_storefront
from app.terminal import shown

GROUPS_SHOWN = REFUSALS_SHOWN = 100
STORE_TIMEOUT_SECONDS = 60  # nobody waits for a reply, so a slow disk may take its time

quarantine_app = typer.Typer(help="Events that were refused, kept whole.", no_args_is_help=True)

StorefrontArgument = Annotated[str, typer.Argument(help="Number or name of the storefront.")]
Reason = Annotated[RejectReason | None, typer.Option(help="Only those refused for this reason.")]
From = Annotated[str | None, typer.Option("--from", help="Received from this day or instant on.")]
To = Annotated[str | None, typer.Option(help="Received before this day or instant.")]


class Which(NamedTuple):
    """The choice as given, before the storefront is looked up."""

    storefront: str
    reason: RejectReason | None
    pointer: str | None
    start: str | None
    end: str | None


@quarantine_app.command("list")
def quarantine_list(
    storefront: StorefrontArgument,
    reason: Reason = None,
    from_: From = None,
    to: To = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show refused events by what is wrong with them, the most frequent first."""

    async def find(engine: AsyncEngine) -> list[QuarantineGroup]:
        selection = await _selection(engine, Which(storefront, reason, None, from_, to))
        return await quarantine_groups(engine, selection, GROUPS_SHOWN)

    found = with_database(data_dir, find)
    if as_json:
        print_json([_as_json(group) for group in found])
        return
    table = Table(  # to be read in 80 columns; --json has more
        Column("reason and place", overflow="fold"),
        Column("events", no_wrap=True, justify="right"),
        Column("replayed", no_wrap=True, justify="right"),
        Column("last received", no_wrap=True),
        Column("newest one", overflow="fold", ratio=1),
        box=SIMPLE_HEAD,
    )
    for group in found:
        table.add_row(
            f"{group.reason}\n{shown(group.pointer)}",
            str(group.event_count),
            str(group.replayed_count),
            f"{group.last_received_at:%Y-%m-%d %H:%M}",
            shown(group.example.decode(errors="backslashreplace")),
        )
    console.print(table)


@quarantine_app.command("replay")
def quarantine_replay(  # noqa: PLR0913, PLR0917  # each is an option
    storefront: StorefrontArgument,
    reason: Reason = None,
    pointer: Annotated[str | None, typer.Option(help="Only those with a fault at this place.")] = None,
    from_: From = None,
    to: To = None,
    rename: Annotated[list[str] | None, typer.Option(help="old=new; properties.price and /properties/price.")] = None,
    cast: Annotated[list[str] | None, typer.Option(help="field=number, string, boolean or time.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A field to leave out.")] = None,
    default: Annotated[list[str] | None, typer.Option(help="field=value, for events that lack it.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Store them; without it nothing is changed.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take refused events in again, with the times they came with. Renames first, then casts, drops, fills in
    defaults. Says what would happen; --apply does it. Running it twice stores nothing twice.
    """
    which = Which(storefront, reason, pointer, from_, to)
    fix = parse_fix(rename or (), cast or (), drop or (), default or ())
    done = with_database_url(data_dir, lambda engine, url: _replay(engine, url, which, fix, apply=apply))
    if as_json:
        print_json(_report(done))
    else:
        _print_report(done, applied=apply)


async def _replay(engine: AsyncEngine, url: DatabaseUrl, which: Which, fix: Fix, *, apply: bool) -> Replayed:
    selection = await _selection(engine, which)
    with Progress(console=errors, transient=True) as progress:
        task = progress.add_task("replaying" if apply else "trying", total=await count_waiting(engine, selection))

        def advance(count: int) -> None:
            progress.advance(task, count)

        if not apply:
            return await replay(engine, None, selection, fix, advance)
        async with create_ingest_pool(url, connections=1, timeout_seconds=STORE_TIMEOUT_SECONDS) as pool:
            sink = PostgresSink(pool)

            def progress_made(count: int) -> None:
                sink.forget_identities()  # an erasure may take some of them away at any time
                advance(count)

            try:
                return await replay(engine, sink.store, selection, fix, progress_made)
            except SinkUnavailable as error:
                raise UsageError(f"Postgres stopped storing ({error}). Run it again: it goes on from there.") from error


async def _selection(engine: AsyncEngine, which: Which) -> Selection:
    """Raises NotFound, or UsageError for a time that is none."""
    found = await find_storefront(engine, which.storefront)
    start, end = _instant(which.start, found), _instant(which.end, found)
    return Selection(found.storefront_id, which.reason, which.pointer, start, end)


def _instant(given: str | None, storefront: Storefront) -> datetime | None:
    """A day, or a time without offset, is meant where the storefront is."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise UsageError(f"{given!r} is no time; write 2026-11-21 or 2026-11-21T10:15:00Z.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(storefront.time_zone))


def _print_report(done: Replayed, *, applied: bool) -> None:
    if done.refused:
        table = Table("events", "reason", "pointer", "why", title="These stay in quarantine" if applied else None)
        for refusal, count in done.refused.most_common(REFUSALS_SHOWN):
            table.add_row(str(count), refusal.reason, shown(refusal.pointer), shown(refusal.detail))
        console.print(table)
    refused = done.refused.total()
    if applied:
        said = f"{done.stored} stored, {done.duplicates} known already, {refused} still refused."
    else:
        said = f"{done.accepted} would be stored, {refused} would still be refused. Nothing was changed; see --apply."
    console.print(said, highlight=False)


def _report(done: Replayed) -> dict[str, object]:
    refused = [
        {"reason": refusal.reason, "pointer": refusal.pointer, "detail": refusal.detail, "count": count}
        for refusal, count in done.refused.most_common()
    ]
    return {"accepted": done.accepted, "stored": done.stored, "duplicates": done.duplicates, "refused": refused}


def _as_json(group: QuarantineGroup) -> dict[str, object]:
    return {
        "reason": group.reason,
        "pointer": group.pointer,
        "format": group.format,
        "count": group.event_count,
        "replayed_count": group.replayed_count,
        "first_received_at": group.first_received_at.isoformat(),
        "last_received_at": group.last_received_at.isoformat(),
        "example": group.example.decode(errors="backslashreplace"),
    }
