"""Compiled code is kept apart for each state of the sources, and nothing else is touched."""

from pathlib import Path

import pytest

from app import compiled_code
from app.compiled_code import cache_folder


def test_the_same_sources_have_the_same_folder(tmp_path: Path) -> None:
    assert cache_folder(tmp_path) == cache_folder(tmp_path)
    assert cache_folder(tmp_path).parent == tmp_path


def test_other_sources_have_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_folder(tmp_path)
    monkeypatch.setattr(compiled_code, "SOURCES", ("match",))
    assert cache_folder(tmp_path) != before


def test_what_lies_beside_it_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    cache_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
