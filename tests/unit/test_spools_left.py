"""Which spools of earlier processes a process looks after: each is somebody's, and none is used by two."""

from pathlib import Path

import pytest

from app.collecting import spools_left
from app.config import Settings, Worker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory in which one process has collected, and later three workers."""
    for place in (tmp_path, *(tmp_path / f"worker-{number}" for number in (1, 2, 3))):
        place.mkdir(exist_ok=True)
        (place / "spool.sqlite").touch()
    return tmp_path


def left_to(worker: int, count: int, folder: Path) -> list[str]:
    """By the folders they are in. worker: 0 for the only process."""
    settings = Settings.model_validate({"data_dir": folder})
    if worker:
        of_all = Worker(worker, count, folder)
        return names(spools_left(of_all.settings(settings), of_all), folder)
    return names(spools_left(settings, None), folder)


def names(spools: list[Path], folder: Path) -> list[str]:
    return [str(spool.parent.relative_to(folder)) for spool in spools]


def test_the_first_worker_gets_what_no_worker_of_now_uses(folder: Path) -> None:
    assert left_to(1, 2, folder) == [".", "worker-3"]
    assert left_to(2, 2, folder) == []
    assert left_to(1, 3, folder) == ["."]


def test_one_process_gets_those_of_all_workers(folder: Path) -> None:
    assert left_to(0, 1, folder) == ["worker-1", "worker-2", "worker-3"]


def test_a_process_without_a_spool_gets_the_one_that_it_had(folder: Path) -> None:
    settings = Settings.model_validate({"data_dir": folder, "spool_max_bytes": 0})

    assert names(spools_left(settings, None), folder) == [".", "worker-1", "worker-2", "worker-3"]


def test_where_nothing_was_left_there_is_nothing(tmp_path: Path) -> None:
    assert spools_left(Settings.model_validate({"data_dir": tmp_path / "new"}), None) == []
