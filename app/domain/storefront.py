"""A storefront and the keys that open it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from app.domain.stages import Stage


class KeyKind(StrEnum):
    WRITE = "write"  # public, sits in pages: may only send events
    SERVER = "server"  # secret: sends events that are trusted
    READ = "read"  # secret: asks for reports
    ADMIN = "admin"  # secret: also changes what is set up


@dataclass(slots=True, frozen=True)
class Storefront:
    """time_zone: IANA name, in which reports bucket days. currency: ISO 4217. retention_days: None keeps all."""

    storefront_id: int
    name: str
    time_zone: str
    currency: str
    session_timeout_seconds: int
    stages: tuple[Stage, ...]
    retention_days: int | None = None


@dataclass(slots=True, frozen=True)
class ApiKey:
    """origins: where browsers may send from, None = anywhere."""

    key_id: int
    kind: KeyKind
    origins: frozenset[str] | None
    storefront: Storefront


class Signer(NamedTuple):
    """A key with the SHA-256 digests of the secrets that work: two while it is being rotated."""

    key: ApiKey
    digests: tuple[bytes, ...]


@dataclass(slots=True, frozen=True)
class Webhook:
    """A shop system that signs what it sends.

    source: name of its wire format. key: stands for it where a key is asked for; below 0, where no key has its number.
    """

    source: str
    key: ApiKey
    secret: bytes = field(repr=False)


class KeyDirectory(Protocol):
    def known(self, secret: str) -> ApiKey | None:
        """As `find`, at once; None also when that takes a look at what may have changed."""
        ...

    async def find(self, secret: str) -> ApiKey | None:
        """The key with this secret; None for a text that is no secret, or no longer one.

        Raises errors.Unavailable while that can't be told; `find_signer` too.
        """
        ...

    async def find_signer(self, key_id: int, *, fresh: bool = False) -> Signer | None:
        """The key with this number, and what its signatures are checked with; None when no secret of it works.

        fresh: as things are now or were a second ago, not as they were known some seconds ago.
        """
        ...

    async def find_webhook(self, webhook_id: int, *, fresh: bool = False) -> Webhook | None:
        """The webhook with this number. Otherwise as `find_signer`."""
        ...

    def forget(self) -> None:
        """What is set up has changed: look again at the next use."""
        ...
