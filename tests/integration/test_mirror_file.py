"""The mirror's file is disposable: lost, damaged, foreign or old, it is built anew from Postgres."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from app.errors import Unavailable
from app.mirror.schema import VERSION, MirrorInUse
from app.storage.database import DatabaseUrl
from tests.conftest import new_database, run_sql
from tests.integration.mirror_rows import MEMORY_BYTES, add, mirror_at, read, store, transaction, visitors


@pytest.fixture
def path(tmp_path: Path, database: DatabaseUrl) -> Path:
    """A mirror of two events and a link, closed."""
    store(database, 1, 2)
    run_sql(database, "UPDATE event SET customer_id = 9 WHERE visitor_id = 1")
    path = tmp_path / "mirror.duckdb"
    with mirror_at(path, database) as mirror:
        mirror.catch_up()
    return path


def test_a_mirror_opened_again_goes_on_where_it_was(path: Path, database: DatabaseUrl) -> None:
    store(database, 3, event_name="product_added")
    with mirror_at(path, database) as mirror:
        assert visitors(mirror) == [1, 2]
        assert mirror.catch_up().event_count == 3
        assert visitors(mirror) == [1, 2, 3]
        assert len(read(mirror, "FROM event_name")) == 2


def test_a_closed_mirror_looks_no_more(path: Path, database: DatabaseUrl) -> None:
    with mirror_at(path, database) as mirror:
        mirror.close()
        with pytest.raises(Unavailable, match="stopping"):
            mirror.catch_up()


def lose(path: Path) -> None:
    path.unlink()


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_off_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100_000])


def cut_after_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def damage_the_header(path: Path) -> None:
    damage(path, 4096, 12288)


def damage_the_blocks(path: Path) -> None:
    damage(path, 12288, path.stat().st_size)


def damage(path: Path, start: int, end: int) -> None:
    content = bytearray(path.read_bytes())
    content[start:end] = bytes(byte ^ 0x55 for byte in content[start:end])
    path.write_bytes(content)


def leave_a_broken_log(path: Path) -> None:
    path.with_name(path.name + ".wal").write_bytes(b"garbage" * 1000)


def make_it_of_another_version(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE follower SET version = ?", [VERSION + 1])


def make_its_tables_strange(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE follower; CREATE TABLE follower (something INTEGER)")


def empty_its_follower(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM follower")


def make_it_another_programs(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE event (something INTEGER)")


@pytest.mark.parametrize(
    "harm",
    [
        lose,
        fill_with_garbage,
        empty,
        cut_off_the_end,
        cut_after_the_header,
        damage_the_header,
        damage_the_blocks,
        leave_a_broken_log,
        make_it_of_another_version,
        make_its_tables_strange,
        empty_its_follower,
        make_it_another_programs,
    ],
)
def test_a_harmed_mirror_is_built_anew(path: Path, database: DatabaseUrl, harm: Callable[[Path], None]) -> None:
    store(database, 3)
    harm(path)
    with mirror_at(path, database) as mirror:
        with contextlib.suppress(Unavailable):  # for damage that shows only when it is read
            mirror.catch_up()
        assert mirror.catch_up().event_count == 3
        assert visitors(mirror) == [1, 2, 3]
        assert read(mirror, "SELECT visitor_id, customer_id FROM visitor_link") == [(1, 9)]
        assert read(mirror, "SELECT name FROM event_name") == [("product_viewed",)]
    with mirror_at(path, database) as mirror:
        assert visitors(mirror) == [1, 2, 3]


def test_a_file_of_another_version_is_not_read(path: Path, database: DatabaseUrl) -> None:
    make_it_of_another_version(path)
    with mirror_at(path, database) as mirror:
        assert visitors(mirror) == []


def test_a_mirror_of_another_database_is_built_anew(path: Path, postgres: DatabaseUrl, template: str) -> None:
    with new_database(postgres, template) as other:
        run_sql(other, "UPDATE instance SET instance_id = gen_random_uuid()")  # clones share the template's
        store(other, 7, event_name="product_added")
        with mirror_at(path, other) as mirror:
            assert mirror.catch_up().event_count == 1
            assert visitors(mirror) == [7]
            assert read(mirror, "SELECT name FROM event_name") == [("product_added",)]
            assert read(mirror, "FROM visitor_link") == []


def test_a_mirror_from_the_future_of_a_database_restored_from_a_backup_is_built_anew(
    path: Path, database: DatabaseUrl
) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE follower SET snapshot = '99000000:99000001:'")
        connection.execute("UPDATE event SET visitor_id = 77")
    with mirror_at(path, database) as mirror:
        assert mirror.catch_up().event_count == 2
        assert visitors(mirror) == [1, 2]


def test_a_transaction_open_while_the_mirror_is_closed_is_not_lost(path: Path, database: DatabaseUrl) -> None:
    with transaction(database) as connection:
        add(connection, 3)
        with mirror_at(path, database) as mirror:
            mirror.catch_up()
        connection.commit()
    with mirror_at(path, database) as mirror:
        mirror.catch_up()
        assert visitors(mirror) == [1, 2, 3]


OPEN = """
import sys
from pathlib import Path
from app.errors import FootfallError
from app.mirror.schema import open_mirror
try:
    open_mirror(Path(sys.argv[1]), memory_bytes=int(sys.argv[2]))
except FootfallError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def test_a_second_process_is_told_that_the_mirror_is_in_use_and_harms_nothing(
    path: Path, database: DatabaseUrl
) -> None:
    with mirror_at(path, database) as mirror:
        command = [sys.executable, "-c", OPEN, str(path), str(MEMORY_BYTES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith(MirrorInUse.__name__)
        assert "is held by another process" in done.stderr
        assert str(path) in done.stderr
        assert mirror.catch_up().event_count == 2
        assert visitors(mirror) == [1, 2]


def test_a_copy_of_the_file_is_a_mirror_as_good(path: Path, database: DatabaseUrl) -> None:
    copied = path.with_name("copy.duckdb")
    shutil.copy(path, copied)
    store(database, 3)
    with mirror_at(copied, database) as mirror:
        mirror.catch_up()
        assert visitors(mirror) == [1, 2, 3]
