"""Files with events or keys in them are for the service's own user."""

from pathlib import Path

from app.server import make_private


def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    private = ("mirror.duckdb", "mirror.duckdb.wal", "spool.sqlite", "spool.sqlite-wal", "spool.damaged-1", "keys.json")
    for name in (*private, "postgres.log"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)

    make_private(tmp_path)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {**dict.fromkeys(private, 0o600), "postgres.log": 0o644}
