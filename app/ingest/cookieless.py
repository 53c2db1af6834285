"""A name for visitors whose browser keeps none: the same for one day, and traced back to nobody after it."""

import hmac
from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from starlette.types import Scope

from app.address import Network, client_address, prefix_of

KEY_PREFIX = "day-"
KEY_HEX_DIGITS = 32  # 128 bits: no two visitors of a day share them


class Salts(Protocol):
    """Where the secret of a day comes from."""

    def of(self, day: date) -> bytes: ...


class CookielessKeys:
    """Keys from what every request shows: the network it comes from and its browser. Neither is kept."""

    def __init__(self, salts: Salts, trusted_proxies: Sequence[Network]) -> None:
        self._salts = salts
        self._trusted_proxies = trusted_proxies

    def key_of(self, storefront_id: int, scope: Scope, received_at: datetime) -> str | None:
        """None when nobody can tell where the request comes from. received_at: in UTC."""
        headers = scope["headers"]
        peer = scope["client"]
        address = client_address(peer[0], headers, self._trusted_proxies) if peer else None
        if address is None:
            return None
        user_agent = next((value for name, value in headers if name == b"user-agent"), b"")
        said = f"{storefront_id} {prefix_of(address)} ".encode() + user_agent
        digest = hmac.new(self._salts.of(received_at.date()), said, "sha256").hexdigest()
        return KEY_PREFIX + digest[:KEY_HEX_DIGITS]
