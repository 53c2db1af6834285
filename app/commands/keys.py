"""`footfall keys`: making, showing, rotating and revoking keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.commands.base import AsJson, DataDir, console, errors, print_json, with_database
from app.domain.storefront import KeyKind
from app.storage.keys import (
    OVERLAP_MAX_HOURS,
    PREFIX_CHARACTERS,
    KeyEntry,
    NewSecret,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from app.storage.storefronts import find_storefront

keys_app = typer.Typer(help="Keys to send events and to ask for reports.", no_args_is_help=True)
SHOWN_ONCE = "Keep it now: it is not stored and can't be shown again."
KeyNumber = Annotated[int, typer.Argument(help="Its number in `footfall keys list`.")]


@keys_app.command("create")
def keys_create(
    storefront: Annotated[str, typer.Argument(help="Number or name of the storefront.")],
    kind: Annotated[
        KeyKind, typer.Option(help="write: for pages; server: for servers and imports; read: for reports.")
    ],
    origin: Annotated[
        list[str] | None, typer.Option(help="Origin that browsers may send from; may be repeated.")
    ] = None,
    chosen: Annotated[
        str | None,
        typer.Option("--as", help="Text of a write key: what the shop's present tracker calls it, such as G-ABC123."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key. It is shown once and can't be shown again."""

    async def make(engine: AsyncEngine) -> NewSecret:
        found = await find_storefront(engine, storefront)
        return await create_key(engine, found.storefront_id, kind, origin, chosen=chosen)

    made = with_database(data_dir, make)
    if as_json:
        print_json({"key": made.secret, "kind": kind.value, "key_id": made.key_id})
    else:
        _show(made, SHOWN_ONCE if chosen is None else "Clients send this text as their key.")


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
        print_json([_as_json(key) for key in found])
        return
    table = Table("id", "kind", "begins with", Column("origins", overflow="fold"), "made", "secret before it")
    for key in found:
        origins = ", ".join(key.origins) if key.origins else "any"
        made = f"{key.created_at:%Y-%m-%d}"
        table.add_row(str(key.key_id), key.kind, escape(_beginning(key)), escape(origins), made, _before(key))
    console.print(table)


@keys_app.command("rotate")
def keys_rotate(
    key_id: KeyNumber,
    overlap_hours: Annotated[
        int,
        typer.Option(
            min=0, max=OVERLAP_MAX_HOURS, help="How long the secret before it goes on working; 0 ends it now."
        ),
    ] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give a key a new secret; its number stays. The new secret is shown once and can't be shown again."""
    overlap = timedelta(hours=overlap_hours)
    made = with_database(data_dir, lambda engine: rotate_key(engine, key_id, overlap))
    if as_json:
        print_json({"key": made.secret, "key_id": made.key_id})
    else:
        _show(made)


@keys_app.command("revoke")
def keys_revoke(key_id: KeyNumber, data_dir: DataDir = None) -> None:
    """End a key with all its secrets. The service forgets it within seconds."""
    with_database(data_dir, lambda engine: revoke_key(engine, key_id))
    console.print(f"Key {key_id} is revoked.", highlight=False)


def _show(made: NewSecret, advice: str = SHOWN_ONCE) -> None:
    console.print(made.secret, highlight=False, markup=False, soft_wrap=True)
    errors.print(f"This is key {made.key_id}. {advice}", highlight=False)


def _as_json(key: KeyEntry) -> dict[str, object]:
    ends = key.previous_expires_at
    times = {"created_at": key.created_at.isoformat(), "previous_expires_at": ends and ends.isoformat()}
    return {**key._asdict(), **times}


def _beginning(key: KeyEntry) -> str:
    """A text of the operator's choice may be no longer than that."""
    return key.prefix if len(key.prefix) < PREFIX_CHARACTERS else f"{key.prefix}…"


def _before(key: KeyEntry) -> str:
    """What `keys list` says of the secret before the last rotation."""
    ends = key.previous_expires_at
    if ends is None:
        return ""
    return f"works until {ends:%Y-%m-%d %H:%M} UTC" if ends > datetime.now(UTC) else "ended"
