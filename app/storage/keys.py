"""API keys: made, rotated, listed and revoked. Postgres holds the digests of their secrets."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Update, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import KeyKind
from app.errors import Invalid, NotFound
from app.storage.tables import api_key

SECRET_BYTES = 24  # 192 random bits
CHOSEN_MAX = 200  # characters
PREFIX_CHARACTERS = 14  # `ff_server_` and four more
OVERLAP_MAX_HOURS = 90 * 24  # longer than any rotation takes; a forgotten secret should end at some time


class NewSecret(NamedTuple):
    """A secret at the only moment it can be seen."""

    key_id: int
    secret: str


async def create_key(
    engine: AsyncEngine,
    storefront_id: int,
    kind: KeyKind,
    origins: Sequence[str] | None = None,
    *,
    chosen: str | None = None,
) -> NewSecret:
    """Make a key. Raises Invalid for an origin that is none.

    chosen: the text of a write key, instead of one that we make up: what another maker's clients call their site.
    Raises Invalid for other kinds, and for a text that is another key's.
    """
    secret = _new_secret(kind) if chosen is None else _chosen(chosen, kind)
    statement = (
        api_key.insert()
        .values(
            storefront_id=storefront_id,
            kind=kind.value,
            digest=digest_of(secret),
            prefix=secret[:PREFIX_CHARACTERS],
            origins=list(map(_origin, origins)) if origins else None,
        )
        .returning(api_key.c.key_id)
    )
    async with engine.begin() as connection:
        if chosen is not None:
            await connection.execute(_release(digest_of(chosen)))
        try:
            return NewSecret((await connection.execute(statement)).scalar_one(), secret)
        except IntegrityError as error:
            raise Invalid(
                f"{secret!r} is the text of a key already; `footfall keys list` shows those of a storefront."
            ) from error


def _chosen(text: str, kind: KeyKind) -> str:
    if kind is not KeyKind.WRITE:
        raise Invalid(f"Only a write key, which is public, may have a text of your choice; a {kind} key is secret.")
    if not re.fullmatch(f"[!-~]{{1,{CHOSEN_MAX}}}", text) or text.startswith("ff_"):
        raise Invalid(
            f"A key's text has 1 to {CHOSEN_MAX} printable ASCII characters, no spaces, and does not begin with ff_."
        )
    return text


def _release(digest: bytes) -> Update:
    """A text that a revoked key had can be chosen again."""
    of_revoked = (api_key.c.digest == digest) & api_key.c.revoked_at.is_not(None)
    return api_key.update().where(of_revoked).values(digest=secrets.token_bytes(len(digest)))


async def rotate_key(engine: AsyncEngine, key_id: int, overlap: timedelta) -> NewSecret:
    """Give a key a new secret; the one before goes on working for `overlap`.

    Raises NotFound, or Invalid while the secret before the last is still at work: it would end before its time.
    """
    of_key = (api_key.c.key_id == key_id) & api_key.c.revoked_at.is_(None)
    columns = (api_key.c.kind, api_key.c.digest, api_key.c.previous_expires_at, func.now().label("now"))
    async with engine.begin() as connection:
        row = (await connection.execute(select(*columns).where(of_key).with_for_update())).one_or_none()
        if row is None:
            raise _no_such_key(key_id)
        if overlap and row.previous_expires_at is not None and row.previous_expires_at > row.now:
            raise Invalid(
                f"Key {key_id} has two secrets until {row.previous_expires_at:%Y-%m-%d %H:%M} UTC already. Wait until"
                " then; or, to end both at once, rotate with --overlap-hours 0."
            )
        secret = _new_secret(KeyKind(row.kind))
        changes = {
            "digest": digest_of(secret),
            "prefix": secret[:PREFIX_CHARACTERS],
            "previous_digest": row.digest,
            "previous_expires_at": row.now + overlap,
        }
        await connection.execute(api_key.update().where(of_key).values(changes))
    return NewSecret(key_id, secret)


def _origin(given: str) -> str:
    """As browsers write it."""
    origin = given.strip().lower().removesuffix("/")
    if not re.fullmatch(r"https?://[^/\s?#@]+", origin):
        raise Invalid(f"{given!r} is no origin; write it as https://shop.example, without a path.")
    return origin


class KeyEntry(NamedTuple):
    """A key as lists show it.

    prefix: the first characters of its newest secret. previous_expires_at: when the secret before that ends.
    """

    key_id: int
    kind: str
    prefix: str
    origins: list[str] | None
    created_at: datetime
    previous_expires_at: datetime | None


async def list_keys(engine: AsyncEngine, storefront_id: int) -> list[KeyEntry]:
    """The keys that work, oldest first."""
    columns = [api_key.c[name] for name in KeyEntry._fields]
    statement = (
        select(*columns)
        .where(api_key.c.storefront_id == storefront_id, api_key.c.revoked_at.is_(None))
        .order_by(api_key.c.key_id)
    )
    async with engine.connect() as connection:
        return [KeyEntry(*row) for row in await connection.execute(statement)]


async def revoke_key(engine: AsyncEngine, key_id: int) -> None:
    """End a key with all its secrets. Raises NotFound for one that there is not, or that is revoked already."""
    statement = (
        api_key.update().where(api_key.c.key_id == key_id, api_key.c.revoked_at.is_(None)).values(revoked_at=func.now())
    )
    async with engine.begin() as connection:
        if not (await connection.execute(statement)).rowcount:
            raise _no_such_key(key_id)


def _no_such_key(key_id: int) -> NotFound:
    return NotFound(f"There is no key {key_id} in use; `footfall keys list STOREFRONT` shows those there are.")


def _new_secret(kind: KeyKind) -> str:
    return f"ff_{kind}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(secret: str) -> bytes:
    # The secrets are long and random, so a plain hash can't be guessed backwards; a slow one would slow ingestion.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
