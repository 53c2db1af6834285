"""Which country a request came from: by a header that a trusted proxy sets, or by a file of MaxMind's.

The address is looked up and forgotten.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import Scope

from app.address import client_address, is_trusted_peer
from app.config import Settings
from app.domain.context import Sender
from app.errors import FootfallError
from app.ingest.formats.native_event import LANGUAGE_MAX, USER_AGENT_MAX

if TYPE_CHECKING:
    from maxminddb import Reader

_is_code = re.compile("[A-Z]{2}").fullmatch
_NO_COUNTRY = frozenset({"XX", "T1", "ZZ"})  # what proxies say for an unknown one, and for the Tor network


class BadCountryFile(FootfallError):
    """The file of countries can't be read"""


def country_code(said: object) -> str | None:
    """Two capital letters; None for what is no country."""
    code = said.strip().upper() if isinstance(said, str) else ""
    return code if _is_code(code) and code not in _NO_COUNTRY else None


def sender_of(headers: Mapping[bytes, bytes], country: str | None) -> Sender:
    """What a browser says of itself, in the lengths in which an event may say it."""
    user_agent = headers.get(b"user-agent", b"")[:USER_AGENT_MAX]
    language = headers.get(b"accept-language", b"")[:LANGUAGE_MAX]
    return Sender(user_agent.decode("latin-1"), language.decode("latin-1"), country)


class Countries:
    """As the settings say; without any of them nothing is known. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._header = settings.country_header.lower().encode()
        self._trusted_proxies = settings.trusted_proxies
        self._file = _opened(settings.geoip_file) if settings.geoip_file else None

    def country_of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str | None:
        """The header counts when it comes from a trusted proxy: anybody else can write what he likes."""
        if scope["client"] is None or not (self._header or self._file):
            return None
        peer = scope["client"][0]
        if self._header in headers and is_trusted_peer(peer, self._trusted_proxies):
            return country_code(headers[self._header].decode("latin-1"))
        if self._file is None:
            return None
        address = client_address(peer, scope["headers"], self._trusted_proxies)
        return None if address is None else self._looked_up(address)

    def _looked_up(self, address: IPv4Address | IPv6Address) -> str | None:
        assert self._file is not None
        try:
            found = self._file.get(address)
        except ValueError:  # a file of IPv4 addresses only
            return None
        country = found.get("country") if isinstance(found, dict) else None
        return country_code(country.get("iso_code")) if isinstance(country, dict) else None


def _opened(path: Path) -> "Reader":
    import maxminddb  # noqa: PLC0415  # few have such a file

    try:
        return maxminddb.open_database(path)
    except maxminddb.InvalidDatabaseError as error:
        raise BadCountryFile(f"FOOTFALL_GEOIP_FILE: {path} is no MaxMind DB file.") from error
