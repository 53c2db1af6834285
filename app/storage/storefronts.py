"""Storefronts and API keys: kept in Postgres, looked up in memory."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import available_timezones

from sqlalchemy import Row, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.funnel import Condition, Operator
from app.domain.stages import DEFAULT_STAGES, Stage, StageRule
from app.domain.storefront import ApiKey, KeyKind, Storefront
from app.errors import FootfallError, Invalid, NotFound, Unavailable
from app.storage.tables import api_key, storefront

# How long a revoked key may go on working, and a new one may wait until it works.
REFRESH_SECONDS = 5.0
# An unknown key makes us look again, but not more often than this: guessing must cost Postgres nothing.
MISS_REFRESH_SECONDS = 1.0
SECRET_BYTES = 24  # 192 random bits
PREFIX_CHARACTERS = 14  # `ff_server_` and four more
NAME_MAX_CHARACTERS = 200


class AlreadyExists(FootfallError):
    """That name is taken"""

    status = 409
    type_slug = "already-exists"


async def create_storefront(engine: AsyncEngine, name: str, time_zone: str, currency: str) -> Storefront:
    """Add a storefront. Raises AlreadyExists, or Invalid for an unknown time zone or currency."""
    name = name.strip()
    if not 0 < len(name) <= NAME_MAX_CHARACTERS or not name.isprintable():
        raise Invalid(f"A storefront's name has 1 to {NAME_MAX_CHARACTERS} printable characters.")
    if time_zone not in available_timezones():
        raise Invalid(f"{time_zone!r} is no time zone; use an IANA name such as Europe/Berlin or UTC.")
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise Invalid(f"{currency!r} is no currency; use an ISO 4217 code such as EUR.")
    statement = storefront.insert().values(name=name, time_zone=time_zone, currency=currency).returning(storefront)
    try:
        async with engine.begin() as connection:
            row = (await connection.execute(statement)).one()
    except IntegrityError as error:
        raise AlreadyExists(
            f"There is a storefront named {name!r} already; `footfall storefront list` shows it."
        ) from error
    return _storefront(row)


async def save_stages(engine: AsyncEngine, storefront_id: int, stages: Sequence[Mapping[str, Any]] | None) -> None:
    """Replace a storefront's stages, checked JSON as `_stage` reads it; None: back to the default list."""
    statement = storefront.update().where(storefront.c.storefront_id == storefront_id).values(stages=stages)
    async with engine.begin() as connection:
        await connection.execute(statement)


async def list_storefronts(engine: AsyncEngine) -> list[Storefront]:
    async with engine.connect() as connection:
        return [
            _storefront(row)
            for row in await connection.execute(select(storefront).order_by(storefront.c.storefront_id))
        ]


async def find_storefront(engine: AsyncEngine, id_or_name: str) -> Storefront:
    """By number, or else by name. Raises NotFound."""
    for found in await list_storefronts(engine):
        if id_or_name in (str(found.storefront_id), found.name):
            return found
    raise NotFound(f"There is no storefront {id_or_name!r}; `footfall storefront list` shows those there are.")


async def create_key(
    engine: AsyncEngine, storefront_id: int, kind: KeyKind, origins: Sequence[str] | None = None
) -> str:
    """Make a key and return its text, which is stored nowhere: only its digest is. Raises Invalid for an origin."""
    secret = f"ff_{kind}_{secrets.token_urlsafe(SECRET_BYTES)}"
    statement = api_key.insert().values(
        storefront_id=storefront_id,
        kind=kind.value,
        digest=_digest(secret),
        prefix=secret[:PREFIX_CHARACTERS],
        origins=list(map(_origin, origins)) if origins else None,
    )
    async with engine.begin() as connection:
        await connection.execute(statement)
    return secret


def _origin(given: str) -> str:
    """As browsers write it."""
    origin = given.strip().lower().removesuffix("/")
    if not re.fullmatch(r"https?://[^/\s?#@]+", origin):
        raise Invalid(f"{given!r} is no origin; write it as https://shop.example, without a path.")
    return origin


class KeyEntry(NamedTuple):
    """A key as lists show it. prefix: its first characters."""

    key_id: int
    kind: str
    prefix: str
    origins: list[str] | None
    created_at: datetime


async def list_keys(engine: AsyncEngine, storefront_id: int) -> list[KeyEntry]:
    """The keys that work, oldest first."""
    columns = (api_key.c.key_id, api_key.c.kind, api_key.c.prefix, api_key.c.origins, api_key.c.created_at)
    statement = (
        select(*columns)
        .where(api_key.c.storefront_id == storefront_id, api_key.c.revoked_at.is_(None))
        .order_by(api_key.c.key_id)
    )
    async with engine.connect() as connection:
        return [KeyEntry(*row) for row in await connection.execute(statement)]


async def revoke_key(engine: AsyncEngine, key_id: int) -> None:
    """Raises NotFound for a key that there is not, or that is revoked already."""
    statement = (
        api_key.update().where(api_key.c.key_id == key_id, api_key.c.revoked_at.is_(None)).values(revoked_at=func.now())
    )
    async with engine.begin() as connection:
        if not (await connection.execute(statement)).rowcount:
            raise NotFound(f"There is no key {key_id} in use; `footfall keys list STOREFRONT` shows those there are.")


def _digest(secret: str) -> bytes:
    # The secrets are long and random, so a plain hash can't be guessed backwards; a slow one would slow ingestion.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _storefront(row: Row[Any]) -> Storefront:
    return Storefront(
        storefront_id=row.storefront_id,
        name=row.name,
        time_zone=row.time_zone,
        currency=row.currency,
        session_timeout_seconds=row.session_timeout_seconds,
        stages=DEFAULT_STAGES if row.stages is None else tuple(map(_stage, row.stages)),
    )


def _stage(stored: Mapping[str, Any]) -> Stage:
    rules = (
        StageRule(rule["event"], tuple(map(_condition, rule.get("where", ()))), rule.get("after"))
        for rule in stored["rules"]
    )
    return Stage(stored["name"], tuple(rules))


def _condition(stored: Mapping[str, Any]) -> Condition:
    value = stored.get("value")
    return Condition(stored["property"], Operator(stored["op"]), tuple(value) if isinstance(value, list) else value)


class CachedKeys:
    """All keys in memory, read again every few seconds; fits `domain.storefront.KeyDirectory`.

    While Postgres is away the keys known last stay good.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._keys: dict[bytes, ApiKey] = {}
        self._read_at = self._failed_at = float("-inf")
        self._lock = asyncio.Lock()

    def forget(self) -> None:
        """What is set up has changed: look again at the next use."""
        self._read_at = float("-inf")

    async def find(self, secret: str) -> ApiKey | None:
        """A key made just now is found within a second. Raises Unavailable while unknown keys can't be looked up."""
        digest = _digest(secret)
        asked = time.monotonic()
        if digest not in self._keys:
            await self._read_again(asked)
        elif asked - self._read_at > REFRESH_SECONDS and not self._lock.locked():
            with contextlib.suppress(Unavailable):  # while Postgres is away, what was known stays good
                await self._read_again(asked)
        return self._keys.get(digest)

    async def _read_again(self, asked: float) -> None:
        """Read all keys, unless that was done, or failed, since `asked`; at most once in MISS_REFRESH_SECONDS."""
        async with self._lock:
            if self._read_at >= asked:
                return
            if self._failed_at > asked - MISS_REFRESH_SECONDS:
                raise Unavailable("Keys can't be checked at the moment; send again.", retry_after_seconds=2)
            await asyncio.sleep(self._read_at + MISS_REFRESH_SECONDS - time.monotonic())
            started = time.monotonic()
            try:
                self._keys = await _read_keys(self._engine)
            except Exception as error:  # whatever the driver raises while Postgres is away
                self._failed_at = time.monotonic()
                raise Unavailable("Keys can't be checked at the moment; send again.", retry_after_seconds=2) from error
            self._read_at = started


async def _read_keys(engine: AsyncEngine) -> dict[bytes, ApiKey]:
    of_key = (api_key.c.key_id, api_key.c.kind, api_key.c.digest, api_key.c.origins)
    statement = select(storefront, *of_key).join(api_key).where(api_key.c.revoked_at.is_(None))
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return {
        bytes(row.digest): ApiKey(
            key_id=row.key_id,
            kind=KeyKind(row.kind),
            origins=None if row.origins is None else frozenset(row.origins),
            storefront=_storefront(row),
        )
        for row in rows
    }
