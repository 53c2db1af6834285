"""Settings have safe defaults, and contradictions or misspellings stop the service at its start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.config import Role, Settings, Worker, unknown_variables


def test_everything_has_a_default() -> None:
    settings = Settings.model_validate({})

    assert settings.database_url is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.buffer_max_events >= settings.request_max_events


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_PORT", "9000")
    monkeypatch.setenv("FOOTFALL_DATA_DIR", "elsewhere")
    monkeypatch.setenv("FOOTFALL_MIGRATE_ON_START", "false")

    settings = Settings.model_validate({})

    assert (settings.port, settings.data_dir) == (9000, Path("elsewhere"))
    assert settings.migrate_on_start is False


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_PORT", "9000")

    assert Settings.model_validate({"port": 9001}).port == 9001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65_536),
        ("log_level", "loud"),
        ("flush_writers", 0),
        ("request_max_bytes", 10),
        ("flush_timeout_seconds", 0),
    ],
)
def test_impossible_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({name: value})

    assert refused.value.errors()[0]["loc"] == (name,)


@pytest.mark.parametrize(
    "contradiction",
    [{"request_max_events": 20, "buffer_max_events": 10}, {"buffer_max_bytes": 1024 * 1024}],
)
def test_limits_that_contradict_each_other_are_refused(contradiction: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="a full request never fits"):
        Settings.model_validate(contradiction)


@pytest.mark.parametrize("role", [Role.ALL, Role.REPORT])
def test_several_workers_are_for_collecting_only_and_the_error_says_so(role: Role) -> None:
    advice = "FOOTFALL_WORKERS=2 needs FOOTFALL_ROLE=collect: .* in a process of their own with FOOTFALL_ROLE=report"
    with pytest.raises(ValidationError, match=advice):
        Settings.model_validate({"role": role, "workers": 2})


def test_a_worker_has_a_folder_of_its_own_and_its_share_of_the_rate_limits() -> None:
    given = {"role": "collect", "workers": 4, "data_dir": "data", "key_events_per_second": 100}
    settings = Settings.model_validate({**given, "address_requests_per_second": 10, "spool_max_bytes": 2**30})

    own = Worker(3, 4, settings.data_dir).settings(settings)

    assert own.data_dir == Path("data/worker-3")
    assert (own.key_events_per_second, own.address_requests_per_second) == (25, 2.5)
    assert own.spool_max_bytes == 2**30


def test_the_database_password_is_not_shown() -> None:
    settings = Settings.model_validate({"database_url": "postgresql://footfall:hunter2@db/footfall"})

    assert "hunter2" not in f"{settings!r} {settings}"


def test_misspelled_variables_are_found() -> None:
    environ = {"FOOTFALL_PORT": "1", "FOOTFALL_PROT": "1", "footfall_hots": "1", "PATH": "", "FOOTFALLS": ""}

    assert unknown_variables(environ) == ["FOOTFALL_PROT", "footfall_hots"]


def test_trusted_proxies_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.7,2001:db8::/32")

    networks = Settings.model_validate({}).trusted_proxies

    assert [str(network) for network in networks] == ["10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32"]


def test_a_trusted_proxy_that_is_no_network_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"trusted_proxies": "proxy.example"})
