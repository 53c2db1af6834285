"""A visitor without an id is the same all day, and nobody's afterwards."""

from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from typing import Any

from app.ingest.cookieless import CookielessKeys

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PROXIES = (ip_network("10.0.0.0/8"),)


class SaltPerDay:
    def of(self, day: date) -> bytes:
        return day.isoformat().encode()


KEYS = CookielessKeys(SaltPerDay(), PROXIES)


def key(
    *,
    storefront_id: int = 1,
    at: datetime = NOON,
    address: str | None = "192.0.2.7",
    user_agent: bytes = b"Firefox",
    forwarded: bytes = b"",
) -> str | None:
    scope: dict[str, Any] = {
        "client": (address, 4711) if address else None,
        "headers": [(b"x-forwarded-for", forwarded), (b"user-agent", user_agent)],
    }
    return KEYS.key_of(storefront_id, scope, at)


def test_a_key_says_that_it_is_good_for_a_day() -> None:
    made = key()

    assert made is not None
    assert made.startswith("day-")
    assert len(made) == 36


def test_a_browser_is_the_same_visitor_until_midnight() -> None:
    assert key(at=NOON + timedelta(hours=11)) == key()


def test_tomorrow_it_is_another() -> None:
    assert key(at=NOON + timedelta(hours=12)) != key()


def test_storefronts_do_not_see_each_others_visitors() -> None:
    assert key(storefront_id=2) != key()


def test_another_browser_at_the_same_address_is_another_visitor() -> None:
    assert key(user_agent=b"Safari") != key()


def test_of_an_address_only_the_network_counts() -> None:
    assert key(address="192.0.2.99") == key()
    assert key(address="192.0.3.7") != key()
    assert key(address="2001:db8:1::1") == key(address="2001:db8:1:2::3")
    assert key(address="2001:db8:1::1") != key(address="2001:db8:2::1")


def test_behind_a_trusted_proxy_the_address_that_it_names_counts() -> None:
    assert key(address="10.1.1.1", forwarded=b"192.0.2.7") == key()
    assert key(address="198.51.100.1", forwarded=b"192.0.2.7") != key()


def test_without_an_address_there_is_no_key() -> None:
    assert key(address=None) is None
