"""`footfall import csv` into a running service."""

from pathlib import Path

import pytest

from app.storage.database import DatabaseUrl
from tests.integration.commands import Footfall
from tests.integration.serving import footfall_json, serving

MAPPING = """
[time]
column = "when"
[event]
name = "shop_visited"
[fields]
customer_id = "customer"
"""
VISITS = "when;customer\n2026-03-02 12:00;70\n2026-03-02 12:00;70\n2026-03-02 13:00;Jürgen\nnever;71\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The file to import, and how."""
    (tmp_path / "visits.csv").write_text(VISITS, encoding="utf-8")
    (tmp_path / "visits.toml").write_text(MAPPING, encoding="utf-8")
    return [str(tmp_path / "visits.csv"), "--mapping", str(tmp_path / "visits.toml")]


def test_an_import_that_is_run_again_stores_nothing_twice(
    database: DatabaseUrl, tmp_path: Path, footfall: Footfall, files: list[str]
) -> None:
    with serving(tmp_path / "serve", database_url=database.libpq) as service:
        shop = str(footfall_json(service.environment, "storefront", "create", "Shop")["storefront_id"])
        key = footfall_json(service.environment, "keys", "create", shop, "--kind", "server")["key"]
        first, again = (footfall("import", "csv", *files, "--key", key, "--url", service.url) for _ in range(2))

    assert "stored │ 3" in first.text
    assert "stored │ 0" in again.text
    assert "duplicates │ 3" in again.text
    assert "visits.csv, line 5: 'never' is no time" in again.text
    assert (first.code, again.code) == (1, 1)  # one line was not imported


def test_a_dry_run_needs_no_key_and_no_service(footfall: Footfall, files: list[str]) -> None:
    done = footfall("import", "csv", *files, "--dry-run")

    assert "3 shop_visited" in done.text
    assert "3 events, 1 unreadable lines" in done.text
    assert done.code == 1


def test_without_a_key_nothing_is_sent(footfall: Footfall, files: list[str]) -> None:
    done = footfall("import", "csv", *files)

    assert done.code == 1
    assert "Give a server key with --key" in done.text
