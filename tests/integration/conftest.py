"""The command line on a database of the test's own."""

import sys
from pathlib import Path

import pytest

from app.cli import main
from app.commands.base import console
from app.storage.database import DatabaseUrl
from tests.integration.commands import Done, Footfall


@pytest.fixture
def footfall(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Footfall:
    """Runs a command in this process; its data directory and port are the test's own."""
    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["footfall", *arguments])
        with pytest.raises(SystemExit) as exit_info:
            main()
        captured = capsys.readouterr()
        code = exit_info.value.code
        return Done(code if isinstance(code, int) else 0, captured.out, " ".join((captured.out + captured.err).split()))

    return run


@pytest.fixture
def on_database(database: DatabaseUrl, monkeypatch: pytest.MonkeyPatch) -> DatabaseUrl:
    """The database that commands use."""
    monkeypatch.setenv("FOOTFALL_DATABASE_URL", database.libpq)
    return database
