"""A storefront and the keys that open it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.domain.stages import Stage


class KeyKind(StrEnum):
    WRITE = "write"  # public, sits in pages: may only send events
    SERVER = "server"  # secret: sends events that are trusted
    READ = "read"  # secret: asks for reports
    ADMIN = "admin"  # secret: also changes what is set up


@dataclass(slots=True, frozen=True)
class Storefront:
    """time_zone: IANA name, in which reports bucket days. currency: ISO 4217."""

    storefront_id: int
    name: str
    time_zone: str
    currency: str
    session_timeout_seconds: int
    stages: tuple[Stage, ...]


@dataclass(slots=True, frozen=True)
class ApiKey:
    """origins: where browsers may send from, None = anywhere."""

    key_id: int
    kind: KeyKind
    origins: frozenset[str] | None
    storefront: Storefront


class KeyDirectory(Protocol):
    async def find(self, secret: str) -> ApiKey | None:
        """The key with this text; None for a text that is no key, or no longer one."""
        ...

    def forget(self) -> None:
        """What is set up has changed: look again at the next use."""
        ...
