"""Where a request comes from: by a header of those who may set it, or by its address, which nothing keeps."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.types import Scope

from app.config import Settings
from app.ingest.context.country import BadCountryFile, Countries
from tests.mmdb import write_countries

PROXY, VISITOR, OTHER = "10.0.0.7", "81.2.69.160", "93.184.216.34"


def request(peer: str | None, **headers: str) -> Scope:
    """headers: with _ for -."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": peer and (peer, 40_000), "headers": sent}


def country(settings: Settings, scope: Scope) -> str | None:
    return Countries(settings).country_of(scope, dict(scope["headers"]))


@pytest.fixture
def by_header() -> Settings:
    return Settings.model_validate({"country_header": "CF-IPCountry", "trusted_proxies": "10.0.0.0/8"})


@pytest.fixture
def by_file(tmp_path: Path) -> Settings:
    file = write_countries(tmp_path / "countries.mmdb", {81: "AT", 93: "US"})
    return Settings.model_validate({"geoip_file": file, "trusted_proxies": "10.0.0.0/8"})


@pytest.mark.parametrize(("sent", "told"), [("AT", "AT"), ("at", "AT"), ("XX", None), ("T1", None), ("<b>", None)])
def test_a_trusted_proxy_says_the_country(by_header: Settings, sent: str, told: str | None) -> None:
    assert country(by_header, request(PROXY, cf_ipcountry=sent)) == told


def test_nobody_else_may(by_header: Settings) -> None:
    assert country(by_header, request(VISITOR, cf_ipcountry="AT")) is None
    assert country(by_header, request(VISITOR, cf_ipcountry="AT", x_forwarded_for=PROXY)) is None
    assert country(by_header, request(None, cf_ipcountry="AT")) is None


def test_without_settings_nothing_is_known() -> None:
    assert country(Settings.model_validate({}), request(PROXY, cf_ipcountry="AT")) is None


def test_the_file_knows_addresses_behind_proxies_too(by_file: Settings) -> None:
    assert country(by_file, request(VISITOR)) == "AT"
    assert country(by_file, request(PROXY, x_forwarded_for=OTHER)) == "US"
    assert country(by_file, request(PROXY)) is None
    assert country(by_file, request("192.0.2.1")) is None
    assert country(by_file, request("2001:db8::1")) is None
    assert country(by_file, request("a socket")) is None


def test_the_header_goes_before_the_file(by_file: Settings) -> None:
    both = by_file.model_copy(update={"country_header": "X-Country"})

    assert country(both, request(PROXY, x_country="FR", x_forwarded_for=OTHER)) == "FR"
    assert country(both, request(PROXY, x_forwarded_for=OTHER)) == "US"


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "countries.mmdb"
    file.write_text("no countries")

    with pytest.raises(BadCountryFile, match="no MaxMind DB file"):
        Countries(Settings.model_validate({"geoip_file": file}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"country_header": "CF-IPCountry"}, "FOOTFALL_TRUSTED_PROXIES"),
        ({"country_header": "CF IPCountry", "trusted_proxies": "10.0.0.0/8"}, "pattern"),
        ({"geoip_file": "no/such/file.mmdb"}, "there is no file"),
    ],
)
def test_settings_that_can_not_work_are_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate(settings)
