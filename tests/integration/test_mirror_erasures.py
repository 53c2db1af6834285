"""The mirror follows erasures, and its file is written anew so that the erased bytes are gone from it too."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.mirror.follow import Mirror
from app.mirror.scan import Subject, open_scan
from app.storage.database import DatabaseUrl
from tests.conftest import run_sql
from tests.integration.mirror_rows import add, log_in, mirror_at, read, store, transaction, visitors

ERASE = "INSERT INTO erasure (storefront_id, {columns}) VALUES (1, {values})"


def erase(database: DatabaseUrl, columns: str, values: str) -> None:
    run_sql(database, ERASE.format(columns=columns, values=values))


def distinctive(database: DatabaseUrl, visitor_id: int, count: int = 3000) -> None:
    """Events whose names tell whose they are; enough that they are compressed in more than one way."""
    names = f"'visitor-{visitor_id}-' || n"
    run_sql(
        database,
        f"""
        INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq,
                           trust, event_name, url, properties)
        SELECT 1, gen_random_uuid(), '2025-03-01Z', '2025-03-01Z', now(), {visitor_id}, n, 0, 1, 'page_viewed', {names},
               '{{}}'
        FROM generate_series(1, {count}) AS n
        """,
    )


@pytest.fixture
def mirror(tmp_path: Path, database: DatabaseUrl) -> Iterator[Mirror]:
    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        yield mirror


def test_visitors_and_customers_that_are_erased_go_with_their_links(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1, 2, 3)
    run_sql(database, "UPDATE event SET customer_id = 9, visitor_id = NULL WHERE visitor_id = 3")
    for visitor_id in (1, 2):
        log_in(database, visitor_id, 9)
    log_in(database, 2, 8)
    mirror.catch_up()

    erase(database, "visitor_ids, customer_ids", "'{1}', '{9}'")

    assert mirror.catch_up().event_count == 2
    assert visitors(mirror) == [2, 2]
    assert read(mirror, "SELECT visitor_id, customer_id FROM visitor_link") == [(2, 8)]


def test_a_shared_visitors_events_go_only_within_the_time_they_count_for(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1, event_name="at_noon")
    store(database, 1, event_name="of_another_customer")
    store(database, 1, event_name="later")
    run_sql(database, "UPDATE event SET customer_id = 5 WHERE event_name = 'of_another_customer'")
    run_sql(database, "UPDATE event SET occurred_at = '2025-04-01Z' WHERE event_name = 'later'")
    mirror.catch_up()

    erase(database, "shared_visitor_ids, shared_since, shared_until", "'{1}', '{-infinity}', '{2025-04-01Z}'")
    mirror.catch_up()

    left = "SELECT name FROM event JOIN event_name USING (name_id) ORDER BY name"
    assert read(mirror, left) == [("later",), ("of_another_customer",)]


def test_what_has_expired_goes_from_its_storefront(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1, 2)
    run_sql(database, "UPDATE event SET storefront_id = 2 WHERE visitor_id = 2")
    mirror.catch_up()

    erase(database, "occurred_before", "'2025-03-01T00:00:00Z'")
    assert mirror.catch_up().event_count == 2
    erase(database, "occurred_before", "'2025-03-01T00:00:01Z'")

    assert mirror.catch_up().event_count == 1
    assert visitors(mirror) == [2]


def test_events_that_came_before_the_erasure_was_seen_go_too(mirror: Mirror, database: DatabaseUrl) -> None:
    mirror.catch_up()
    store(database, 1, 2)
    erase(database, "visitor_ids", "'{1}'")

    assert mirror.catch_up().event_count == 1
    assert visitors(mirror) == [2]


def test_what_came_in_between_goes_when_the_erasure_is_finished(mirror: Mirror, database: DatabaseUrl) -> None:
    erase(database, "visitor_ids", "'{1}'")
    mirror.catch_up()
    with transaction(database) as late:
        add(late, 1)
        mirror.catch_up()
        late.commit()
    assert mirror.catch_up().event_count == 1

    run_sql(database, "UPDATE erasure SET finished_at = now(), xid = pg_current_xact_id()")

    assert mirror.catch_up().event_count == 0


def test_a_mirror_built_anew_follows_only_erasures_under_way(tmp_path: Path, database: DatabaseUrl) -> None:
    store(database, 1, 2)
    erase(database, "visitor_ids", "'{1}'")
    erase(database, "visitor_ids, finished_at", "'{2}', now()")

    with mirror_at(tmp_path / "new.duckdb", database) as mirror:
        assert mirror.catch_up().event_count == 1
        assert visitors(mirror) == [2]


def test_the_file_written_anew_has_no_bytes_of_the_erased_and_goes_on_where_it_was(
    tmp_path: Path, database: DatabaseUrl
) -> None:
    path = tmp_path / "mirror.duckdb"
    distinctive(database, 1)
    distinctive(database, 2)
    log_in(database, 2, 8)
    with mirror_at(path, database) as mirror:
        mirror.catch_up()
        erase(database, "visitor_ids", "'{1}'")
        mirror.catch_up()
    assert b"visitor-1-" in path.read_bytes()

    with mirror_at(path, database) as mirror:
        assert mirror.rewrite()
        store(database, 3)
        assert mirror.catch_up().event_count == 3002
        assert not mirror.rewrite()
    assert b"visitor-1-" not in path.read_bytes()
    assert b"visitor-2-" in path.read_bytes()
    assert [file.name for file in tmp_path.glob("mirror*")] == ["mirror.duckdb"]

    with mirror_at(path, database) as mirror:
        assert mirror.catch_up().event_count == 3002
        assert read(mirror, "SELECT visitor_id, customer_id FROM visitor_link") == [(2, 8)]


def test_what_is_stored_while_the_file_is_written_is_in(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1, 2)
    mirror.catch_up()
    erase(database, "visitor_ids", "'{1}'")
    mirror.catch_up()
    ended = threading.Event()

    def rewrite() -> None:
        mirror.rewrite()
        ended.set()

    with mirror.cursor() as report:  # holds the exchange up
        threading.Thread(target=rewrite).start()
        for visitor_id in range(3, 20):
            store(database, visitor_id)
            mirror.catch_up()
        assert report.execute("SELECT count(*) FROM event").fetchall() == [(18,)]
    assert ended.wait(10)

    assert visitors(mirror) == list(range(2, 20))
    assert mirror.progress is not None
    assert mirror.progress.event_count == 18


def test_the_file_is_not_written_anew_again_within_the_hour(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1, 2)
    mirror.catch_up()
    erase(database, "visitor_ids", "'{1}'")
    mirror.catch_up()
    assert mirror.rewrite_when_due()

    erase(database, "visitor_ids", "'{2}'")
    mirror.catch_up()

    assert not mirror.rewrite_when_due()


def test_a_file_left_half_written_is_removed(tmp_path: Path, database: DatabaseUrl) -> None:
    left = tmp_path / "mirror.duckdb.new"
    left.write_bytes(b"half")

    with mirror_at(tmp_path / "mirror.duckdb", database):
        assert not left.exists()


def urls(mirror: Mirror) -> list[str]:
    """Those of the column in memory."""
    with open_scan(mirror, 1) as scan:
        return sorted(scan.column(Subject("url", is_dimension=True)).texts)


def test_what_is_erased_goes_from_the_columns_in_memory(mirror: Mirror, database: DatabaseUrl) -> None:
    distinctive(database, 1, count=1)
    distinctive(database, 2, count=1)
    mirror.catch_up()
    with open_scan(mirror, 1) as under_way:
        assert urls(mirror) == ["visitor-1-1", "visitor-2-1"]
        erase(database, "visitor_ids", "'{1}'")
        mirror.catch_up()
        assert urls(mirror) == ["visitor-2-1"]
        assert len(under_way.column(Subject("url", is_dimension=True)).texts) == 2
    distinctive(database, 3, count=1)
    mirror.catch_up()
    assert urls(mirror) == ["visitor-2-1", "visitor-3-1"]


def test_a_file_written_anew_keeps_the_row_numbers(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1, 2, 3)
    mirror.catch_up()
    erase(database, "visitor_ids", "'{2}'")
    mirror.catch_up()
    generation = mirror.columns.generation
    assert mirror.rewrite()
    store(database, 4)
    mirror.catch_up()
    assert read(mirror, "SELECT visitor_id, row_number FROM event ORDER BY ALL") == [(1, 0), (3, 2), (4, 3)]
    assert mirror.columns.generation > generation


def test_closing_ends_a_rewrite_that_waits(tmp_path: Path, database: DatabaseUrl) -> None:
    store(database, 1)
    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        mirror.catch_up()
        erase(database, "visitor_ids", "'{1}'")
        mirror.catch_up()
        with mirror.cursor():
            rewriting = threading.Thread(target=mirror.rewrite)
            rewriting.start()
            mirror.close()
            rewriting.join(10)
        assert not rewriting.is_alive()
    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        assert visitors(mirror) == []
