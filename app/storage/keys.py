"""API keys: kept in Postgres as digests of their secrets, looked up in memory."""

import asyncio
import hashlib
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import ApiKey, KeyKind, Signer
from app.errors import Invalid, NotFound, Unavailable
from app.storage.key_copy import KeyCopy
from app.storage.storefronts import storefront_of
from app.storage.tables import api_key, storefront

# How long a revoked key may go on working, and a new one may wait until it works.
REFRESH_SECONDS = 5.0
# An unknown key makes us look again, but not more often than this: guessing must cost Postgres nothing.
MISS_REFRESH_SECONDS = 1.0
# How long a sender whose key is known waits while we look whether it still works.
KNOWN_WAIT_SECONDS = 0.5
SECRET_BYTES = 24  # 192 random bits
PREFIX_CHARACTERS = 14  # `ff_server_` and four more
OVERLAP_MAX_HOURS = 90 * 24  # longer than any rotation takes; a forgotten secret should end at some time


class NewSecret(NamedTuple):
    """A secret at the only moment it can be seen."""

    key_id: int
    secret: str


async def create_key(
    engine: AsyncEngine, storefront_id: int, kind: KeyKind, origins: Sequence[str] | None = None
) -> NewSecret:
    """Make a key. Raises Invalid for an origin that is none."""
    secret = _new_secret(kind)
    statement = (
        api_key.insert()
        .values(
            storefront_id=storefront_id,
            kind=kind.value,
            digest=_digest(secret),
            prefix=secret[:PREFIX_CHARACTERS],
            origins=list(map(_origin, origins)) if origins else None,
        )
        .returning(api_key.c.key_id)
    )
    async with engine.begin() as connection:
        return NewSecret((await connection.execute(statement)).scalar_one(), secret)


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
            "digest": _digest(secret),
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


def _digest(secret: str) -> bytes:
    # The secrets are long and random, so a plain hash can't be guessed backwards; a slow one would slow ingestion.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class KnownSecret(NamedTuple):
    """One secret of a key. expires_at: None = never."""

    key: ApiKey
    digest: bytes
    expires_at: datetime | None

    @property
    def works(self) -> bool:
        return self.expires_at is None or self.expires_at > datetime.now(UTC)


class CachedKeys:
    """All keys in memory, read again every few seconds; fits `domain.storefront.KeyDirectory`.

    While Postgres is away the keys known last stay good; secrets that end meanwhile do end.
    """

    def __init__(self, engine: AsyncEngine, copy: Path | None = None) -> None:
        """copy: a file that keeps what is known, for a start while Postgres is away."""
        self._engine = engine
        self._copy = None if copy is None else KeyCopy(copy, KnownSecret)
        self._refreshing: asyncio.Task[None] | None = None
        # By digest, and by number of the key. Finding a digest takes a time that tells nothing of use: who chooses
        # a secret can't choose its digest, so no comparison of digests can be led on byte by byte.
        self._secrets: Mapping[bytes | int, Sequence[KnownSecret]] = {}
        self._read_at = self._failed_at = float("-inf")
        self._lock = asyncio.Lock()

    async def load_copy(self) -> None:
        """Know what was known before; the first use looks whether it is still so."""
        if self._copy is not None:
            self._secrets = _by_digest_and_key(await asyncio.to_thread(self._copy.load))

    def forget(self) -> None:
        """What is set up has changed: look again at the next use."""
        self._read_at = float("-inf")

    async def find(self, secret: str) -> ApiKey | None:
        """A key made just now is found within a second. Raises Unavailable while unknown keys can't be looked up."""
        found = await self._look_up(_digest(secret))
        return found[0].key if found else None

    async def find_signer(self, key_id: int, *, fresh: bool = False) -> Signer | None:
        """As `find`, by the key's number. fresh: known at most a second ago.

        Who asks for that holds a whole body meanwhile, and anybody can make us ask: so nobody waits for a turn.
        """
        asked = time.monotonic()
        if fresh and asked - self._read_at > MISS_REFRESH_SECONDS:
            if self._lock.locked():
                raise _unavailable()
            await self._read_again(asked)
        found = await self._look_up(key_id)
        return Signer(found[0].key, tuple(secret.digest for secret in found)) if found else None

    async def _look_up(self, name: bytes | int) -> list[KnownSecret]:
        """Those that work. A known one is looked for again now and then, an unknown one at once."""
        asked = time.monotonic()
        if name not in self._secrets:
            await self._read_again(asked)
        elif asked - self._read_at > REFRESH_SECONDS and not self._lock.locked():
            await self._refresh(asked)
        return [secret for secret in self._secrets.get(name, ()) if secret.works]

    async def _refresh(self, asked: float) -> None:
        """While Postgres is away, or does not answer in time, what was known stays good."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read_again(asked))
            self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait({self._refreshing}, timeout=KNOWN_WAIT_SECONDS)

    async def _read_again(self, asked: float) -> None:
        """Read all keys, unless that was done, or failed, since `asked`; at most once in MISS_REFRESH_SECONDS."""
        async with self._lock:
            if self._read_at >= asked:
                return
            if self._failed_at > asked - MISS_REFRESH_SECONDS:
                raise _unavailable()
            await asyncio.sleep(self._read_at + MISS_REFRESH_SECONDS - time.monotonic())
            started = time.monotonic()
            try:
                known = await _read_secrets(self._engine)
            except Exception as error:  # whatever the driver raises while Postgres is away
                self._failed_at = time.monotonic()
                raise _unavailable() from error
            self._secrets = _by_digest_and_key(known)
            if self._copy is not None:
                await asyncio.to_thread(self._copy.save, known)
            self._read_at = started


def _unavailable() -> Unavailable:
    return Unavailable("Keys can't be checked at the moment; send again.", retry_after_seconds=2)


def _by_digest_and_key(known: Iterable[KnownSecret]) -> Mapping[bytes | int, Sequence[KnownSecret]]:
    found: defaultdict[bytes | int, list[KnownSecret]] = defaultdict(list)
    for secret in known:
        found[secret.digest].append(secret)
        found[secret.key.key_id].append(secret)
    return dict(found)


async def _read_secrets(engine: AsyncEngine) -> list[KnownSecret]:
    """Every secret of the keys in use, those that have ended included."""
    of_key = (
        api_key.c[name] for name in ("key_id", "kind", "origins", "digest", "previous_digest", "previous_expires_at")
    )
    statement = select(storefront, *of_key).join(api_key).where(api_key.c.revoked_at.is_(None))
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    known = []
    for row in rows:
        origins = None if row.origins is None else frozenset(row.origins)
        key = ApiKey(row.key_id, KeyKind(row.kind), origins, storefront_of(row))
        known.append(KnownSecret(key, bytes(row.digest), None))
        if row.previous_digest is not None:
            known.append(KnownSecret(key, bytes(row.previous_digest), row.previous_expires_at))
    return known
