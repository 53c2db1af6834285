"""`footfall keys` as people and scripts use it."""

from datetime import UTC, datetime, timedelta

import pytest

from app.storage.database import DatabaseUrl
from tests.conftest import run_sql
from tests.integration.commands import Footfall


@pytest.fixture
def shop(on_database: DatabaseUrl, footfall: Footfall) -> str:
    return str(footfall("storefront", "create", "Shop", "--json").json["storefront_id"])


@pytest.fixture
def key_id(shop: str, footfall: Footfall) -> str:
    return str(footfall("keys", "create", shop, "--kind", "server", "--json").json["key_id"])


def test_a_rotated_key_keeps_its_number_and_shows_its_new_secret_once(footfall: Footfall, shop: str) -> None:
    made = footfall("keys", "create", shop, "--kind", "server", "--json").json

    rotated = footfall("keys", "rotate", str(made["key_id"]), "--json").json

    assert rotated["key_id"] == made["key_id"]
    assert rotated["key"].startswith("ff_server_")
    assert rotated["key"] != made["key"]
    assert made["key"] not in footfall("keys", "list", shop).text
    assert rotated["key"] not in footfall("keys", "list", shop).text


def test_a_new_secret_is_printed_alone(footfall: Footfall, key_id: str) -> None:
    done = footfall("keys", "rotate", key_id)

    assert done.code == 0
    assert done.out.startswith("ff_server_")
    assert len(done.out.split()) == 1
    assert f"This is key {key_id}." in done.text


def test_the_list_says_when_the_old_secret_ends(footfall: Footfall, shop: str, key_id: str) -> None:
    assert footfall("keys", "list", shop, "--json").json[0]["previous_expires_at"] is None
    footfall("keys", "rotate", key_id, "--overlap-hours", "2")

    [listed] = footfall("keys", "list", shop, "--json").json

    ends = datetime.fromisoformat(listed["previous_expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=5)
    assert f"works until {ends:%Y-%m-%d %H:%M} UTC" in footfall("keys", "list", shop).text


def test_the_list_says_that_the_old_secret_has_ended(footfall: Footfall, shop: str, key_id: str) -> None:
    footfall("keys", "rotate", key_id, "--overlap-hours", "0")

    assert "ended" in footfall("keys", "list", shop).text


def test_a_second_rotation_waits_for_the_end_of_the_first(
    on_database: DatabaseUrl, footfall: Footfall, key_id: str
) -> None:
    footfall("keys", "rotate", key_id)

    refused = footfall("keys", "rotate", key_id)
    run_sql(on_database, "UPDATE api_key SET previous_expires_at = now()")

    assert refused.code == 1
    assert "two secrets until" in refused.text
    assert footfall("keys", "rotate", key_id).code == 0


@pytest.mark.parametrize("hours", ["-1", "2161", "nan"])
def test_an_overlap_is_neither_negative_nor_endless(footfall: Footfall, key_id: str, hours: str) -> None:
    done = footfall("keys", "rotate", key_id, "--overlap-hours", hours)

    assert done.code in (1, 2)
    assert "Traceback" not in done.text


def test_a_revoked_key_is_gone_and_can_not_be_rotated(footfall: Footfall, shop: str, key_id: str) -> None:
    assert footfall("keys", "revoke", key_id).code == 0

    assert footfall("keys", "list", shop, "--json").json == []
    for command in ("rotate", "revoke"):
        done = footfall("keys", command, key_id)
        assert done.code == 1
        assert f"There is no key {key_id} in use" in done.text


def test_a_text_of_ones_own_is_shown_as_it_is(footfall: Footfall, shop: str) -> None:
    made = footfall("keys", "create", shop, "--kind", "write", "--as", "[red]G-1")

    assert made.out.strip() == "[red]G-1"
    assert "Clients send this text as their key." in made.text
    listed = footfall("keys", "list", shop).text
    assert "[red]G-1" in listed
    assert "[red]G-1…" not in listed
