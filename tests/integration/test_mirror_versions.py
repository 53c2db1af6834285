"""A storefront's version changes with everything the mirror takes in or gives up of it, and with nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.mirror.follow import Mirror
from app.storage.database import DatabaseUrl
from tests.conftest import run_sql
from tests.integration.mirror_rows import mirror_at, store

OTHERS_EVENT = """
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq,
                       trust, event_name, properties)
    VALUES (2, gen_random_uuid(), '2025-03-01Z', '2025-03-01Z', now(), 20, 0, 0, 1, 'product_viewed', '{}')
"""
UNLINK = "INSERT INTO visitor_unlink VALUES (1, 9, 1, '2025-03-01Z')"
ERASURE = "INSERT INTO erasure (storefront_id, visitor_ids) VALUES (1, '{1}')"


@pytest.fixture
def mirror(tmp_path: Path, database: DatabaseUrl) -> Iterator[Mirror]:
    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        store(database, 1)
        run_sql(database, OTHERS_EVENT)
        mirror.catch_up()
        yield mirror


def changed(mirror: Mirror) -> list[int]:
    """The storefronts whose version another look changes."""
    before = [mirror.versions.of(storefront_id) for storefront_id in (1, 2, 3)]
    mirror.catch_up()
    return [number for number, version in enumerate(before, start=1) if mirror.versions.of(number) != version]


def test_a_look_that_finds_nothing_new_changes_none(mirror: Mirror) -> None:
    assert changed(mirror) == []


def test_events_change_that_of_their_storefront(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1)
    assert changed(mirror) == [1]
    run_sql(database, OTHERS_EVENT)
    assert changed(mirror) == [2]
    assert changed(mirror) == []


def test_a_link_undone_changes_that_of_its_storefront(mirror: Mirror, database: DatabaseUrl) -> None:
    run_sql(database, UNLINK)
    assert changed(mirror) == [1]


def test_an_erasure_changes_all(mirror: Mirror, database: DatabaseUrl) -> None:
    run_sql(database, ERASURE)
    assert changed(mirror) == [1, 2, 3]


def test_a_mirror_that_is_built_anew_changes_all(mirror: Mirror) -> None:
    mirror._discard()
    assert changed(mirror) == [1, 2, 3]
