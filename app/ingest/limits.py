"""Rate limits: events per key, requests per network. Checked before a body is read, paid after it is decoded."""

import math
import time
from collections.abc import Hashable
from itertools import islice

from starlette.types import Scope

from app.address import Network, client_address, prefix_of
from app.config import Settings
from app.domain.storefront import ApiKey, KeyKind
from app.errors import TooMany
from app.metrics import Metrics

BURST_SECONDS = 5.0  # of the rate, at once: pages send in bursts, and senders collect for a few seconds
BUCKETS_MAX = 100_000  # about 20 MB; beyond it the oldest are forgotten


class TokenBuckets:
    """One bucket per owner, filled at `rate` a second.

    A bucket is a single moment: when what its owner has used will be paid off. So one that was let in may go into
    debt, and a request is judged before anybody knows what it costs.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._paid_off_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._paid_off_at)

    def wait_seconds(self, owner: Hashable, now: float) -> float:
        """How long until this owner is let in; 0 when it is at once."""
        return max(0.0, self._paid_off_at.get(owner, 0.0) - BURST_SECONDS - now)

    def spend(self, owner: Hashable, amount: float, now: float) -> None:
        if owner not in self._paid_off_at and len(self._paid_off_at) >= BUCKETS_MAX:
            self._make_room(now)
        self._paid_off_at[owner] = max(self._paid_off_at.get(owner, 0.0), now) + amount / self._rate

    def _make_room(self, now: float) -> None:
        """Forget the idle ones; when few are, the oldest tenth too, or this would be done again and again."""
        self._paid_off_at = {owner: moment for owner, moment in self._paid_off_at.items() if moment > now}
        excess = len(self._paid_off_at) - BUCKETS_MAX * 9 // 10
        for owner in list(islice(self._paid_off_at, max(0, excess))):
            del self._paid_off_at[owner]


class RateLimits:
    """Those of the settings; 0 turns one off."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._trusted_proxies = settings.trusted_proxies
        self._keys = TokenBuckets(settings.key_events_per_second) if settings.key_events_per_second else None
        self._networks = (
            TokenBuckets(settings.address_requests_per_second) if settings.address_requests_per_second else None
        )
        self._refused = {limit: metrics.limited.labels(limit) for limit in ("key", "address")}

    def admit(self, key: ApiKey, scope: Scope) -> None:
        """Lets a request in, which costs its network a request, and its key an event already: so bodies in which none
        can be found cost something too. Raises TooMany (429)."""
        now = time.monotonic()
        if self._keys is not None and (wait := self._keys.wait_seconds(key.key_id, now)):
            raise self._too_many("key", "This key", wait)
        if self._networks is not None and (network := self._network(key, scope)) is not None:
            if wait := self._networks.wait_seconds(network, now):
                raise self._too_many("address", "Your network", wait)
            self._networks.spend(network, 1, now)
        self.spend(key, 1)

    def spend(self, key: ApiKey, event_count: int) -> None:
        """What a request that was let in costs its key, beyond the first event."""
        if self._keys is not None and event_count > 0:
            self._keys.spend(key.key_id, event_count, time.monotonic())

    def _network(self, key: ApiKey, scope: Scope) -> Network | None:
        """Where pages send from; servers are not limited by their address."""
        if key.kind is not KeyKind.WRITE or scope["client"] is None:
            return None
        address = client_address(scope["client"][0], scope["headers"], self._trusted_proxies)
        return None if address is None else prefix_of(address)

    def _too_many(self, limit: str, who: str, wait_seconds: float) -> TooMany:
        self._refused[limit].inc()
        return TooMany(f"{who} sends too fast; send more slowly.", retry_after_seconds=math.ceil(wait_seconds))
