"""What is committed builds anywhere: no package registry, no path of one machine, no big file."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_MAX_BYTES = 1_500_000  # what a reviewer's clone should have to carry at most
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|index-url[ =]+\S*://")
MACHINE_PATH = re.compile(r"(?<![\w.}>-])/(?:home|root|tmp|Users|work)/\w+")


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """Every file that git has or would take."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in files if path.is_file()]


def matches(files: list[Path], pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    return [
        (path.relative_to(ROOT).as_posix(), found.group())
        for path in files
        for found in pattern.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    ]


def test_no_file_names_a_package_registry(committed: list[Path]) -> None:
    assert matches(committed, REGISTRY) == []


def test_no_file_names_a_path_of_one_machine(committed: list[Path]) -> None:
    assert matches(committed, MACHINE_PATH) == []


def test_no_file_is_big(committed: list[Path]) -> None:
    assert [path.name for path in committed if path.stat().st_size >= FILE_MAX_BYTES] == []
