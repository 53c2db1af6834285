"""Keys as ingestion and reports look them up: all in memory, read from Postgres now and then."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.storefront import ApiKey, KeyKind, Signer, Webhook
from app.errors import Unavailable
from app.storage.key_copy import KeyCopy
from app.storage.keys import digest_of
from app.storage.storefronts import storefront_of
from app.storage.tables import api_key, storefront
from app.storage.webhooks import read_webhooks

# How long a revoked key may go on working, and a new one may wait until it works.
REFRESH_SECONDS = 5.0
# An unknown key makes us look again, but not more often than this: guessing must cost Postgres nothing.
MISS_REFRESH_SECONDS = 1.0
# Requests with unknown keys that wait for that. Anybody can send them, and each takes the place of a true one.
WAITING_MAX = 50
# How long a sender whose key is known waits while we look whether it still works.
KNOWN_WAIT_SECONDS = 0.5


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
        # By number. Not in the copy on disk, which holds no secrets.
        self._webhooks: Mapping[int, Webhook] = {}
        self._read_at = self._failed_at = float("-inf")
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def load_copy(self) -> None:
        """Know what was known before; the first use looks whether it is still so."""
        if self._copy is not None:
            self._secrets = _by_digest_and_key(await asyncio.to_thread(self._copy.load))

    def forget(self) -> None:
        """What is set up has changed: look again at the next use."""
        self._read_at = float("-inf")

    def known(self, secret: str) -> ApiKey | None:
        """The key if it is at hand, and no look is due whether it still works."""
        if self._is_look_due(time.monotonic()):
            return None
        for found in self._secrets.get(digest_of(secret), ()):
            if found.works:
                return found.key
        return None

    async def find(self, secret: str) -> ApiKey | None:
        """A key made just now is found within a second. Raises Unavailable while unknown keys can't be looked up."""
        found = await self._look_up(digest_of(secret))
        return found[0].key if found else None

    async def find_signer(self, key_id: int, *, fresh: bool = False) -> Signer | None:
        """As `find`, by the key's number. fresh: known at most a second ago.

        Who asks for that holds a whole body meanwhile, and anybody can make us ask: so nobody waits for a turn.
        """
        if fresh:
            await self._freshen()
        found = await self._look_up(key_id)
        return Signer(found[0].key, tuple(secret.digest for secret in found)) if found else None

    async def find_webhook(self, webhook_id: int, *, fresh: bool = False) -> Webhook | None:
        """As `find_signer`."""
        if fresh:
            await self._freshen()
        await self._look_again(is_known=webhook_id in self._webhooks)
        return self._webhooks.get(webhook_id)

    async def _freshen(self) -> None:
        asked = time.monotonic()
        if asked - self._read_at > MISS_REFRESH_SECONDS:
            if self._lock.locked():
                raise _unavailable()
            await self._read_again(asked)

    async def _look_up(self, name: bytes | int) -> list[KnownSecret]:
        """Those that work."""
        await self._look_again(is_known=name in self._secrets)
        return [secret for secret in self._secrets.get(name, ()) if secret.works]

    async def _look_again(self, *, is_known: bool) -> None:
        """For what is known now and then, for what is unknown at once."""
        asked = time.monotonic()
        if not is_known:
            await self._wait_for_news(asked)
        elif self._is_look_due(asked):
            await self._refresh(asked)

    def _is_look_due(self, now: float) -> bool:
        return now - self._read_at > REFRESH_SECONDS and not self._lock.locked()

    async def _wait_for_news(self, asked: float) -> None:
        """Raises Unavailable, at once when too many wait already."""
        if self._waiting >= WAITING_MAX:
            raise _unavailable()
        self._waiting += 1
        try:
            await self._read_again(asked)
        finally:
            self._waiting -= 1

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
                webhooks = await read_webhooks(self._engine)
            except Exception as error:  # whatever the driver raises while Postgres is away
                self._failed_at = time.monotonic()
                raise _unavailable() from error
            self._secrets, self._webhooks = _by_digest_and_key(known), webhooks
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
