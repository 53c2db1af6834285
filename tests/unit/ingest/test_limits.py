"""Rate limits: a burst is free, debts are paid off before the next request, and memory is bounded."""

from ipaddress import ip_network
from typing import Any

import pytest

from app.config import Settings
from app.domain.storefront import ApiKey, KeyKind, Storefront
from app.errors import TooMany
from app.ingest import limits
from app.ingest.limits import BURST_SECONDS, RateLimits, TokenBuckets
from app.metrics import Metrics

RATE = 10.0
BURST = RATE * BURST_SECONDS
NOW = 1_000.0


@pytest.fixture
def buckets() -> TokenBuckets:
    return TokenBuckets(RATE)


def test_a_burst_is_let_in(buckets: TokenBuckets) -> None:
    for _ in range(int(BURST)):
        assert buckets.wait_seconds("ana", NOW) == 0
        buckets.spend("ana", 1, NOW)

    buckets.spend("ana", 1, NOW)
    assert buckets.wait_seconds("ana", NOW) > 0


def test_a_request_may_cost_more_than_there_is_and_is_paid_off_at_the_rate(buckets: TokenBuckets) -> None:
    buckets.spend("ana", BURST + 30, NOW)

    assert buckets.wait_seconds("ana", NOW) == pytest.approx(3)
    assert buckets.wait_seconds("ana", NOW + 2) == pytest.approx(1)
    assert buckets.wait_seconds("ana", NOW + 3) == pytest.approx(0)


def test_rest_earns_no_more_than_a_burst(buckets: TokenBuckets) -> None:
    buckets.spend("ana", 1, NOW)
    buckets.spend("ana", BURST + RATE, NOW + 3600)

    assert buckets.wait_seconds("ana", NOW + 3600) == pytest.approx(1)


def test_one_owner_does_not_use_up_what_others_have(buckets: TokenBuckets) -> None:
    buckets.spend("ana", 1_000, NOW)

    assert buckets.wait_seconds("ben", NOW) == 0


def test_idle_buckets_are_forgotten_and_debts_are_not(buckets: TokenBuckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS_MAX", 100)
    for number in range(99):
        buckets.spend(number, 1, NOW)
    buckets.spend("debtor", 1_000, NOW)

    buckets.spend("new", 1, NOW + 60)

    assert len(buckets) == 2
    assert buckets.wait_seconds("debtor", NOW + 60) > 0


def test_there_are_never_more_buckets_than_the_limit(buckets: TokenBuckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS_MAX", 100)
    for number in range(1_000):
        buckets.spend(number, 1_000, NOW)
        assert len(buckets) <= 100


def key_of(kind: KeyKind, key_id: int = 1) -> ApiKey:
    return ApiKey(key_id, kind, None, Storefront(1, "Shop", "UTC", "EUR", 1800, ()))


def request_from(address: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"client": (address, 4711), "headers": [*headers]}


def rate_limits(**settings: object) -> RateLimits:
    return RateLimits(Settings.model_validate(settings), Metrics())


def is_admitted(limits: RateLimits, key: ApiKey, request: dict[str, Any]) -> bool:
    try:
        limits.admit(key, request)
    except TooMany:
        return False
    return True


def test_by_default_nothing_is_limited() -> None:
    limits_off, key = rate_limits(), key_of(KeyKind.WRITE)

    for _ in range(1_000):
        limits_off.admit(key, request_from("192.0.2.7"))
        limits_off.spend(key, 1_000)


@pytest.mark.parametrize("kind", [KeyKind.WRITE, KeyKind.SERVER])
def test_a_key_that_sent_too_many_events_is_told_when_to_come_back(kind: KeyKind) -> None:
    limited, key = rate_limits(key_events_per_second=10), key_of(kind)

    limited.admit(key, request_from("192.0.2.7"))
    limited.spend(key, 99)
    with pytest.raises(TooMany) as refusal:
        limited.admit(key, request_from("192.0.2.7"))

    assert refusal.value.headers["Retry-After"] == "5"  # 100 events take 10 s, of which a burst of 5 s is free
    limited.admit(key_of(kind, key_id=2), request_from("192.0.2.7"))


def test_requests_in_which_no_event_is_found_cost_one() -> None:
    limited, key = rate_limits(key_events_per_second=1), key_of(KeyKind.WRITE)

    answers = [is_admitted(limited, key, request_from("192.0.2.7")) for _ in range(10)]

    assert answers[:5] == [True] * 5
    assert not answers[9]


def test_a_network_that_sent_too_many_requests_is_refused_and_its_neighbour_is_not() -> None:
    limited, key = rate_limits(address_requests_per_second=2), key_of(KeyKind.WRITE)
    answers = [is_admitted(limited, key, request_from(f"192.0.2.{number}")) for number in range(15)]

    assert answers[:10] == [True] * 10
    assert not answers[14]
    assert is_admitted(limited, key, request_from("192.0.3.7"))


def test_servers_are_not_limited_by_their_network() -> None:
    limited, key = rate_limits(address_requests_per_second=2), key_of(KeyKind.SERVER)

    assert all(is_admitted(limited, key, request_from("192.0.2.7")) for _ in range(50))


def test_behind_a_trusted_proxy_each_client_has_its_own_limit() -> None:
    limited = rate_limits(address_requests_per_second=2, trusted_proxies=(ip_network("10.0.0.0/8"),))
    key = key_of(KeyKind.WRITE)

    assert all(
        is_admitted(limited, key, request_from("10.0.0.1", (b"x-forwarded-for", f"198.51.{number}.1".encode())))
        for number in range(50)
    )
