"""`footfall webhooks`: shop systems that send their orders themselves."""

import sys
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from app.commands.base import AsJson, DataDir, UsageError, console, errors, print_json, with_database
from app.storage.storefronts import find_storefront
from app.storage.webhooks import WebhookEntry, create_webhook, list_webhooks, new_secret, remove_webhook

webhooks_app = typer.Typer(help="Shop systems that send their orders themselves, signed.", no_args_is_help=True)


@webhooks_app.command("create")
def webhooks_create(
    storefront: Annotated[str, typer.Argument(help="Number or name of the storefront.")],
    source: Annotated[str, typer.Argument(help="The shop system: shopify or woocommerce.")],
    generate: Annotated[
        bool, typer.Option("--generate", help="Make a secret up, for a system that takes any, and show it once.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take in what a shop system sends. Asks for the secret it signs with, or reads a line of standard input."""
    paths = _paths()
    if source not in paths:
        raise UsageError(f"{source!r} is no shop system that we know; there are {', '.join(paths)}.")
    secret = new_secret() if generate else _given_secret()

    async def make(engine: AsyncEngine) -> int:
        found = await find_storefront(engine, storefront)
        return await create_webhook(engine, found.storefront_id, source, secret)

    webhook_id = with_database(data_dir, make)
    path = f"{paths[source]}?id={webhook_id}"
    if as_json:
        made = {"webhook_id": webhook_id, "source": source, "path": path}
        print_json(made | ({"secret": secret} if generate else {}))
        return
    console.print(path, highlight=False, markup=False, soft_wrap=True)
    errors.print("This is where the shop system sends to, behind the address of this service.", highlight=False)
    if generate:
        errors.print("Its secret, which is not shown again:", highlight=False)
        console.print(secret, highlight=False, markup=False, soft_wrap=True)


def _paths() -> dict[str, str]:
    """By name of the shop system."""
    from app.ingest.formats import FORMATS

    return {each.name: each.paths[0] for each in FORMATS if each.webhook is not None}


def _given_secret() -> str:
    """Not as an option: those are seen in lists of processes and in the shell's history."""
    if sys.stdin.isatty():
        return str(typer.prompt("Secret that the shop system signs with", hide_input=True)).strip()
    return sys.stdin.readline().strip()


@webhooks_app.command("list")
def webhooks_list(
    storefront: Annotated[str, typer.Argument(help="Number or name of the storefront.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the webhooks of a storefront, without their secrets."""

    async def find(engine: AsyncEngine) -> list[WebhookEntry]:
        return await list_webhooks(engine, (await find_storefront(engine, storefront)).storefront_id)

    found = with_database(data_dir, find)
    if as_json:
        print_json([{**each._asdict(), "created_at": each.created_at.isoformat()} for each in found])
        return
    paths = _paths()
    table = Table("id", "shop system", "path", "made")
    for each in found:
        path = f"{paths.get(each.source, '')}?id={each.webhook_id}"
        table.add_row(str(each.webhook_id), each.source, path, f"{each.created_at:%Y-%m-%d}")
    console.print(table)


@webhooks_app.command("remove")
def webhooks_remove(
    webhook_id: Annotated[int, typer.Argument(help="Its number in `footfall webhooks list`.")], data_dir: DataDir = None
) -> None:
    """Take nothing more from a shop system. The service forgets it within seconds; what it sent stays."""
    with_database(data_dir, lambda engine: remove_webhook(engine, webhook_id))
    console.print(f"Webhook {webhook_id} is removed.", highlight=False)
