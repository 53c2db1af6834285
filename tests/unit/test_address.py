"""Only proxies of our own are believed about where a request came from."""

from ipaddress import ip_address, ip_network

import pytest

from app.address import client_address, prefix_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:aaaa::/48"))


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"shop.example"), *((b"x-forwarded-for", value.encode()) for value in values)]


def test_without_trusted_proxies_the_peer_counts_whatever_it_says() -> None:
    assert client_address("192.0.2.7", forwarded("198.51.100.1"), ()) == ip_address("192.0.2.7")


def test_a_peer_that_is_no_trusted_proxy_is_not_believed() -> None:
    assert client_address("192.0.2.7", forwarded("198.51.100.1"), PROXIES) == ip_address("192.0.2.7")


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (forwarded("198.51.100.1"), "198.51.100.1"),
        (forwarded("203.0.113.9, 198.51.100.1"), "198.51.100.1"),  # the sender made up the first
        (forwarded("198.51.100.1, 10.1.1.1"), "198.51.100.1"),  # through two proxies of ours
        (forwarded("203.0.113.9", "198.51.100.1"), "198.51.100.1"),  # in two headers
        (forwarded("198.51.100.1:4711"), "198.51.100.1"),
        (forwarded("[2001:db8::7]:443"), "2001:db8::7"),
        (forwarded("2001:db8::7"), "2001:db8::7"),
        (forwarded("::ffff:198.51.100.1"), "198.51.100.1"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_of_ours_counts(
    headers: list[tuple[bytes, bytes]], address: str
) -> None:
    assert client_address("10.0.0.1", headers, PROXIES) == ip_address(address)


@pytest.mark.parametrize("headers", [forwarded(), forwarded("unknown"), forwarded(""), forwarded("198.51.100.1, x")])
def test_where_a_proxy_does_not_know_it_counts_itself(headers: list[tuple[bytes, bytes]]) -> None:
    assert client_address("10.0.0.1", headers, PROXIES) == ip_address("10.0.0.1")


def test_requests_from_inside_have_the_address_of_the_first_of_ours() -> None:
    assert client_address("10.0.0.1", forwarded("10.9.9.9"), PROXIES) == ip_address("10.9.9.9")


def test_a_peer_without_an_address_has_none() -> None:
    assert client_address("/run/footfall.sock", forwarded("198.51.100.1"), PROXIES) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [("198.51.100.77", "198.51.100.0/24"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48")],
)
def test_a_network_shares_one_limit(address: str, network: str) -> None:
    assert prefix_of(ip_address(address)) == ip_network(network)
