"""Webhooks of shop systems: made, listed, removed, and read for the checking of signatures.

Their secrets are kept as they are. The shop system signs with the secret itself, so whoever checks a signature needs
the same; a digest, as of our own keys, would not do. They are shown to nobody, and reports can't read them.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import ApiKey, KeyKind, Webhook
from app.errors import Invalid, NotFound
from app.storage.storefronts import storefront_of
from app.storage.tables import storefront, webhook

SECRET_BYTES = 24  # 192 random bits
# Shopify's have 32 or 64 characters. Shorter ones can be guessed by trying, with a request that was overheard.
SECRET_MIN, SECRET_MAX = 16, 200


async def create_webhook(engine: AsyncEngine, storefront_id: int, source: str, secret: str) -> int:
    """The number of the new webhook. Raises Invalid for a secret that is none."""
    if not SECRET_MIN <= len(secret) <= SECRET_MAX or not secret.isprintable():
        raise Invalid(f"A webhook's secret has {SECRET_MIN} to {SECRET_MAX} printable characters.")
    values = {"storefront_id": storefront_id, "source": source, "secret": secret}
    statement = webhook.insert().values(values).returning(webhook.c.webhook_id)
    async with engine.begin() as connection:
        return int((await connection.execute(statement)).scalar_one())


def new_secret() -> str:
    """For a shop system that takes any."""
    return secrets.token_urlsafe(SECRET_BYTES)


class WebhookEntry(NamedTuple):
    """A webhook as lists show it."""

    webhook_id: int
    source: str
    created_at: datetime


async def list_webhooks(engine: AsyncEngine, storefront_id: int) -> list[WebhookEntry]:
    """Oldest first."""
    columns = [webhook.c[name] for name in WebhookEntry._fields]
    statement = select(*columns).where(webhook.c.storefront_id == storefront_id).order_by(webhook.c.webhook_id)
    async with engine.connect() as connection:
        return [WebhookEntry(*row) for row in await connection.execute(statement)]


async def remove_webhook(engine: AsyncEngine, webhook_id: int) -> None:
    """Its number is not given again. Raises NotFound."""
    async with engine.begin() as connection:
        removed = await connection.execute(webhook.delete().where(webhook.c.webhook_id == webhook_id))
    if not removed.rowcount:
        raise NotFound(f"There is no webhook {webhook_id}; `footfall webhooks list STOREFRONT` shows those there are.")


async def read_webhooks(engine: AsyncEngine) -> Mapping[int, Webhook]:
    """All of them, by number."""
    statement = select(storefront, webhook.c.webhook_id, webhook.c.source, webhook.c.secret).join(webhook)
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return {
        row.webhook_id: Webhook(
            row.source, ApiKey(-row.webhook_id, KeyKind.SERVER, None, storefront_of(row)), row.secret.encode()
        )
        for row in rows
    }
