"""The mirror follows a real Postgres: nothing is lost, nothing is copied twice, nobody waits."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from app.domain.time_range import from_us
from app.mirror import follow
from app.mirror.follow import Mirror
from app.mirror.scan import open_scan
from app.storage.database import DatabaseUrl
from tests.conftest import run_sql
from tests.integration.mirror_rows import add, execute, log_in, mirror_at, read, store, transaction, visitors


@pytest.fixture
def mirror(tmp_path: Path, database: DatabaseUrl) -> Iterator[Mirror]:
    with mirror_at(tmp_path / "mirror.duckdb", database) as mirror:
        yield mirror


def test_what_is_committed_is_copied_once(mirror: Mirror, database: DatabaseUrl) -> None:
    for visitor_id in range(1, 4):
        store(database, visitor_id, visitor_id)
        assert mirror.catch_up().event_count == 2 * visitor_id
        assert mirror.catch_up().event_count == 2 * visitor_id
    assert visitors(mirror) == [1, 1, 2, 2, 3, 3]


def test_a_transaction_held_open_across_a_catch_up_loses_no_row_and_holds_nobody_up(
    mirror: Mirror, database: DatabaseUrl
) -> None:
    with transaction(database) as early, transaction(database) as late:
        add(early, 1)  # has the lower transaction id, but commits last
        add(late, 2)
        late.commit()
        mirror.catch_up()
        assert visitors(mirror) == [2]
        store(database, 3)
        mirror.catch_up()
        assert visitors(mirror) == [2, 3]
        add(early, 4)
        early.commit()
        store(database, 5)
        mirror.catch_up()
        assert visitors(mirror) == [1, 2, 3, 4, 5]
        mirror.catch_up()
        assert visitors(mirror) == [1, 2, 3, 4, 5]


def test_transactions_that_commit_in_any_order_are_each_copied_when_they_do(
    mirror: Mirror, database: DatabaseUrl
) -> None:
    with transaction(database) as a, transaction(database) as b, transaction(database) as c:
        for connection, visitor_id in ((a, 1), (b, 2), (c, 3)):
            add(connection, visitor_id)
        for connection, copied in ((b, [2]), (c, [2, 3]), (a, [1, 2, 3])):
            connection.commit()
            mirror.catch_up()
            assert visitors(mirror) == copied


def test_a_transaction_that_has_no_id_yet_at_the_first_look_is_not_lost(mirror: Mirror, database: DatabaseUrl) -> None:
    with transaction(database) as connection:
        execute(connection, "SELECT 1")
        mirror.catch_up()
        add(connection, 1)
        mirror.catch_up()
        assert visitors(mirror) == []
        connection.commit()
        mirror.catch_up()
        assert visitors(mirror) == [1]


def test_rolled_back_rows_never_appear(mirror: Mirror, database: DatabaseUrl) -> None:
    with transaction(database) as connection:
        add(connection, 1)
        mirror.catch_up()
        connection.rollback()
        store(database, 2)
        add(connection, 3)
        execute(connection, "SAVEPOINT before")
        add(connection, 4)
        execute(connection, "ROLLBACK TO before")
        connection.commit()
    mirror.catch_up()
    assert visitors(mirror) == [2, 3]


def test_rows_of_a_subtransaction_are_copied_with_their_transaction(mirror: Mirror, database: DatabaseUrl) -> None:
    with transaction(database) as connection:
        add(connection, 1)
        execute(connection, "SAVEPOINT one")
        add(connection, 2)
        mirror.catch_up()
        execute(connection, "RELEASE one")
        connection.commit()
    mirror.catch_up()
    assert visitors(mirror) == [1, 2]


def test_a_large_commit_is_copied_whole_and_in_order(mirror: Mirror, database: DatabaseUrl) -> None:
    with transaction(database) as connection:
        execute(
            connection,
            """
            INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position,
                               seq, trust, event_name, properties)
            SELECT 1, gen_random_uuid(), '2025-03-01Z', '2025-03-01Z', now(), n, n, 0, 1, 'name ' || n % 50, '{}'
            FROM generate_series(1, 100000) AS n
            """,
        )
        connection.commit()
    assert mirror.catch_up().event_count == 100_000
    query = """
        SELECT count(*), count(DISTINCT stored), bool_and(name = 'name ' || visitor_id % 50)
        FROM event JOIN event_name USING (name_id)
    """
    assert read(mirror, query) == [(100_000, 100_000, True)]
    assert read(mirror, "SELECT visitor_id FROM event ORDER BY stored LIMIT 3") == [(1,), (2,), (3,)]


def links(mirror: Mirror) -> list[tuple[int, int, str, str]]:
    """Visitor, customer, and the dates of the first and the last event of each run."""
    query = """
        SELECT visitor_id, customer_id, make_timestamp(since_us)::DATE::VARCHAR, make_timestamp(until_us)::DATE::VARCHAR
        FROM visitor_link ORDER BY visitor_id, place
    """
    return [(visitor_id, customer_id, *times) for visitor_id, customer_id, *times in read(mirror, query)]


def test_links_follow_the_events_that_name_both_whenever_they_come(mirror: Mirror, database: DatabaseUrl) -> None:
    mirror.catch_up()
    for at in ("2025-03-02Z", "2025-03-08Z", "2025-03-01Z"):
        log_in(database, 7, 3, at)
        mirror.catch_up()
    assert links(mirror) == [(7, 3, "2025-03-01", "2025-03-08")]

    log_in(database, 7, 4, "2025-03-05Z")
    mirror.catch_up()

    assert links(mirror) == [
        (7, 3, "2025-03-01", "2025-03-02"),
        (7, 4, "2025-03-05", "2025-03-05"),
        (7, 3, "2025-03-08", "2025-03-08"),
    ]


def test_a_mirror_that_begins_has_the_same_links(mirror: Mirror, database: DatabaseUrl) -> None:
    for customer_id, at in ((3, "2025-03-02Z"), (4, "2025-03-05Z"), (3, "2025-03-08Z"), (3, "2025-03-01Z")):
        log_in(database, 7, customer_id, at)
    mirror.catch_up()
    assert links(mirror) == [
        (7, 3, "2025-03-01", "2025-03-02"),
        (7, 4, "2025-03-05", "2025-03-05"),
        (7, 3, "2025-03-08", "2025-03-08"),
    ]


def test_a_link_that_is_undone_goes_at_the_next_look(mirror: Mirror, database: DatabaseUrl) -> None:
    log_in(database, 7, 3, "2025-03-02Z")
    log_in(database, 7, 4, "2025-03-05Z")
    mirror.catch_up()
    run_sql(database, "INSERT INTO visitor_unlink VALUES (7, 4, 1, '2025-03-06Z')")
    mirror.catch_up()
    assert links(mirror) == [(7, 3, "2025-03-02", "2025-03-02")]


def test_logins_at_the_same_instant_count_in_the_order_of_what_the_sender_calls_the_customers(
    mirror: Mirror, database: DatabaseUrl
) -> None:
    mirror.catch_up()
    run_sql(database, "INSERT INTO customer (storefront_id, customer_key) VALUES (1, 'zoë'), (1, 'ben')")
    for customer_id in (1, 2):
        log_in(database, 7, customer_id)
        mirror.catch_up()
    assert [customer_id for _, customer_id, *_ in links(mirror)] == [2, 1]


def test_many_threads_copy_nothing_twice_and_each_gets_what_was_stored_before_it_asked(
    mirror: Mirror, database: DatabaseUrl
) -> None:
    def store_and_look(visitor_id: int) -> bool:
        store(database, visitor_id)
        mirror.catch_up()
        return visitor_id in visitors(mirror)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(store_and_look, range(80)))
    assert visitors(mirror) == list(range(80))
    assert mirror.progress is not None
    assert mirror.progress.event_count == 80


def test_as_of_lies_before_everything_that_is_not_in(mirror: Mirror, database: DatabaseUrl) -> None:
    """Somebody stores without a pause; whatever was received before as_of is in."""
    stop = threading.Event()

    def store_on() -> None:
        visitor_id = 0
        while not stop.is_set():
            store(database, visitor_id := visitor_id + 1)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store_on)
        looks: list[tuple[int, set[int]]] = []
        deadline = time.monotonic() + 30
        while len(looks) < 30 and time.monotonic() < deadline:
            looks.append((mirror.catch_up().as_of_us, set(visitors(mirror))))
        stop.set()
        writing.result()
    with transaction(database) as connection:
        committed = execute(connection, "SELECT visitor_id, received_at FROM event ORDER BY visitor_id")
    for as_of_us, seen in looks:
        # A commit follows its now() at once, and the writer's next now() follows the commit.
        surely_in = [v for (v, _), (_, after) in pairwise(committed) if after <= from_us(as_of_us)]
        assert seen.issuperset(surely_in)
    assert [as_of for as_of, _ in looks] == sorted(as_of for as_of, _ in looks)


def test_where_nothing_has_happened_a_look_asks_nothing_else_and_the_time_goes_on(
    mirror: Mirror, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, 1)
    before = mirror.catch_up()
    monkeypatch.setattr(follow, "copy_rows", lambda *_: pytest.fail("events were asked for"))
    after = mirror.catch_up()
    assert (after.event_count, after.as_of_us > before.as_of_us) == (before.event_count, True)
    with open_scan(mirror, 1) as scan:
        assert scan.as_of_us == after.as_of_us


def test_a_scan_goes_by_the_file_where_the_follower_has_not_noted_yet_what_it_saw(
    mirror: Mirror, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, 1)
    first = mirror.catch_up()
    with open_scan(mirror, 1) as scan:
        assert scan.as_of_us == first.as_of_us
    store(database, 2)
    seen_before = mirror.seen
    mirror.catch_up()
    monkeypatch.setattr(mirror, "seen", seen_before)  # as in the moment between the commit and its being noted
    with open_scan(mirror, 1) as scan:
        assert scan.as_of_us > first.as_of_us


def test_a_scan_sees_one_state_whatever_is_added_meanwhile(mirror: Mirror, database: DatabaseUrl) -> None:
    mirror.catch_up()
    with open_scan(mirror, 1) as scan:
        store(database, 1)
        progress = mirror.catch_up()
        assert scan._cursor.execute("SELECT count(*) FROM event").fetchall() == [(0,)]
        assert scan.as_of_us < progress.as_of_us


def test_after_its_connection_was_cut_the_follower_goes_on_where_it_was(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1)
    mirror.catch_up()
    with transaction(database) as connection:
        cut = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND datname = current_database()
        """
        assert execute(connection, cut) == [(True,)]
    store(database, 2)
    with pytest.raises(Exception, match="server"):
        mirror.catch_up()
    assert mirror.catch_up().event_count == 2
    assert visitors(mirror) == [1, 2]


def test_a_failure_in_the_middle_of_a_copy_leaves_the_mirror_as_it_was(
    mirror: Mirror, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database, 1)
    mirror.catch_up()
    store(database, 2, event_name="a new name")

    def fail(*_: object) -> None:
        raise OSError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr("app.mirror.follow._count", fail)
        patched.setattr(mirror, "progress", None)
        with pytest.raises(OSError, match="out of luck"):
            mirror.catch_up()
    assert visitors(mirror) == [1]
    assert mirror.catch_up().event_count == 2
    names = read(mirror, "SELECT name FROM event JOIN event_name USING (name_id) ORDER BY visitor_id")
    assert names == [("product_viewed",), ("a new name",)]


def test_lag_is_the_time_since_the_last_look(mirror: Mirror) -> None:
    assert mirror.lag_seconds() == float("inf")
    before = time.monotonic()
    mirror.catch_up()
    assert mirror.lag_seconds() <= time.monotonic() - before


def test_rows_are_numbered_within_their_storefront_and_go_on_after_a_failure_and_a_restart(
    tmp_path: Path, database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("out of luck")

    path = tmp_path / "mirror.duckdb"
    with mirror_at(path, database) as mirror:
        store(database, 1, 2)
        mirror.catch_up()
        store(database, 3)
        with monkeypatch.context() as patched:
            patched.setattr("app.mirror.follow.follow_erasures", fail)
            with pytest.raises(OSError, match="out of luck"):
                mirror.catch_up()
        run_sql(database, "UPDATE event SET storefront_id = 2, xid = pg_current_xact_id() WHERE visitor_id = 3")
        mirror.catch_up()
        store(database, 4)
        mirror.catch_up()
    with mirror_at(path, database) as mirror:
        store(database, 5)
        mirror.catch_up()
        numbered = read(mirror, "SELECT storefront_id, row_number, visitor_id FROM event ORDER BY ALL")
    assert numbered == [(1, 0, 1), (1, 1, 2), (1, 2, 4), (1, 3, 5), (2, 0, 3)]


def test_the_time_of_receipt_is_copied(mirror: Mirror, database: DatabaseUrl) -> None:
    store(database, 1)
    run_sql(database, "UPDATE event SET received_at = '2025-03-01T00:00:05.000007Z', xid = pg_current_xact_id()")
    mirror.catch_up()
    assert read(mirror, "SELECT received_at_us - occurred_at_us FROM event") == [(5_000_007,)]
