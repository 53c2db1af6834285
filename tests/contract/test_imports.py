"""Who may import whom. The directions among our own parts are in pyproject.toml, [tool.importlinter]."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported_packages(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, top-level package) of every import in the folder, those inside functions included."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            else:
                continue
            yield from ((path.relative_to(ROOT).as_posix(), name.partition(".")[0]) for name in names)


def test_the_parts_import_only_in_the_agreed_directions() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("domain", {"app"}),
        ("match", {"app", "numba", "numpy"}),
    ],
)
def test_a_pure_part_needs_no_more_than_its_few_libraries(part: str, allowed: set[str]) -> None:
    foreign = {
        (path, package)
        for path, package in imported_packages(ROOT / "app" / part)
        if package not in sys.stdlib_module_names | allowed
    }

    assert foreign == set()
