"""The address a request came from, behind proxies too. Looked at and forgotten: it is never logged or stored."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What one customer of a provider usually has to hand; finer limits are evaded by changing addresses.
IPV4_PREFIX = 24
IPV6_PREFIX = 48


def client_address(
    peer: str, headers: Iterable[tuple[bytes, bytes]], trusted_proxies: Sequence[Network]
) -> Address | None:
    """The right-most address of X-Forwarded-For that is no trusted proxy; only trusted proxies are asked for it.

    peer: the other end of the connection. None when that is no address (a Unix socket).
    """
    address = _parsed(peer)
    if address is None or not _is_trusted(address, trusted_proxies):
        return address
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
    for text in reversed(forwarded.split(",")):
        before = _parsed(text.strip())
        if before is None:  # the proxy did not know, or somebody made it up
            return address
        address = before
        if not _is_trusted(address, trusted_proxies):
            return address
    return address


def is_trusted_peer(peer: str, trusted_proxies: Sequence[Network]) -> bool:
    """Whether the other end of the connection is a trusted proxy."""
    address = _parsed(peer)
    return address is not None and _is_trusted(address, trusted_proxies)


def prefix_of(address: Address) -> Network:
    """The network that shares one limit."""
    return ip_network((address, IPV4_PREFIX if address.version == 4 else IPV6_PREFIX), strict=False)


def _is_trusted(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _parsed(text: str) -> Address | None:
    """Some proxies add a port: `192.0.2.7:443`, `[2001:db8::7]:443`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
