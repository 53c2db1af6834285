"""Files of countries by address as MaxMind writes them (MaxMind DB, format 2.0), as small as they can be."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class _Uint16(NamedTuple):
    value: int


class _Uint64(NamedTuple):
    value: int


def write_countries(path: Path, countries: Mapping[int, str]) -> Path:
    """Of IPv4 addresses, by their first number: {81: "AT"} has 81.0.0.0/8 lie in Austria."""
    data, places = b"", {}
    for number, code in countries.items():
        places[number] = len(data)
        data += _encoded({"country": {"iso_code": code}})
    nodes: list[list[int | None]] = [[None, None]]
    for number in countries:
        node = 0
        for bit in range(7, 0, -1):
            side = number >> bit & 1
            if nodes[node][side] is None:
                nodes.append([None, None])
                nodes[node][side] = len(nodes) - 1
            node = nodes[node][side] or 0
        nodes[node][number & 1] = -1 - number  # a leaf
    path.write_bytes(_tree(nodes, places) + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _metadata(len(nodes)))
    return path


def _tree(nodes: list[list[int | None]], places: Mapping[int, int]) -> bytes:
    count = len(nodes)

    def record(to: int | None) -> bytes:
        if to is None:
            to = count
        elif to < 0:
            to = count + 16 + places[-1 - to]
        return to.to_bytes(3, "big")

    return b"".join(record(left) + record(right) for left, right in nodes)


def _metadata(node_count: int) -> bytes:
    return _encoded(
        {
            "binary_format_major_version": _Uint16(2),
            "binary_format_minor_version": _Uint16(0),
            "build_epoch": _Uint64(1_700_000_000),
            "database_type": "Countries",
            "description": {"en": "made for a test"},
            "ip_version": _Uint16(4),
            "languages": ["en"],
            "node_count": node_count,
            "record_size": _Uint16(24),
        }
    )


def _encoded(value: object) -> bytes:
    """A control byte of type and size (up to 28), then the value; types beyond 7 take a byte more."""
    match value:
        case str():
            return bytes([2 << 5 | len(value)]) + value.encode()
        case dict():
            members = b"".join(_encoded(name) + _encoded(member) for name, member in value.items())
            return bytes([7 << 5 | len(value)]) + members
        case list():
            return bytes([len(value), 11 - 7]) + b"".join(map(_encoded, value))
        case _Uint16(number):
            return bytes([5 << 5 | 2]) + number.to_bytes(2, "big")
        case _Uint64(number):
            return bytes([8, 9 - 7]) + number.to_bytes(8, "big")
        case int():
            return bytes([6 << 5 | 4]) + value.to_bytes(4, "big")
        case _:
            raise TypeError(value)
