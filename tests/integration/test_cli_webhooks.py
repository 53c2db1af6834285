"""`footfall webhooks` as people and scripts use it."""

import io

import pytest

from app.storage.database import DatabaseUrl
from tests.integration.commands import Footfall
from tests.signed_webhooks import SECRET


@pytest.fixture
def shop(on_database: DatabaseUrl, footfall: Footfall) -> str:
    return str(footfall("storefront", "create", "Shop", "--json").json["storefront_id"])


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret, on standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))


def test_a_webhook_is_made_with_the_shop_systems_secret_and_shown_without_it(
    footfall: Footfall, shop: str, typed: None
) -> None:
    made = footfall("webhooks", "create", shop, "shopify", "--json")

    assert made.json == {"webhook_id": 1, "source": "shopify", "path": "/v1/webhooks/shopify?id=1"}
    [listed] = footfall("webhooks", "list", shop, "--json").json
    assert listed.keys() == {"webhook_id", "source", "created_at"}
    assert "/v1/webhooks/shopify?id=1" in footfall("webhooks", "list", shop).text


def test_a_secret_that_is_made_up_is_shown_once(footfall: Footfall, shop: str) -> None:
    made = footfall("webhooks", "create", shop, "woocommerce", "--generate", "--json").json

    assert len(made["secret"]) == 32
    assert made["secret"] not in footfall("webhooks", "list", shop).text
    assert made["secret"] not in footfall("webhooks", "list", shop, "--json").out


def test_a_person_is_told_the_path_and_the_secret(footfall: Footfall, shop: str) -> None:
    path, secret = footfall("webhooks", "create", shop, "woocommerce", "--generate").out.split()

    assert path == "/v1/webhooks/woocommerce?id=1"
    assert len(secret) == 32


@pytest.mark.parametrize("secret", ["", "too short", "x" * 201, "with\ta control character"])
def test_a_secret_that_can_be_guessed_or_typed_wrong_is_refused(
    footfall: Footfall, shop: str, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{secret}\n"))

    done = footfall("webhooks", "create", shop, "shopify")

    assert done.code == 1
    assert "16 to 200 printable characters" in done.text


def test_an_unknown_shop_system_is_refused(footfall: Footfall, shop: str, typed: None) -> None:
    done = footfall("webhooks", "create", shop, "native")

    assert done.code == 1
    assert "there are shopify, woocommerce" in done.text


def test_a_removed_webhook_is_gone_and_its_number_is_not_given_again(footfall: Footfall, shop: str) -> None:
    footfall("webhooks", "create", shop, "woocommerce", "--generate")
    footfall("webhooks", "remove", "1")

    assert footfall("webhooks", "list", shop, "--json").json == []
    assert footfall("webhooks", "remove", "1").code == 1
    assert footfall("webhooks", "create", shop, "woocommerce", "--generate", "--json").json["webhook_id"] == 2
