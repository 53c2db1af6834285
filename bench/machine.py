"""What a benchmark ran on, to be printed beside its figures."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

LIBRARIES = ("fastapi", "uvicorn", "sqlalchemy", "asyncpg", "msgspec", "duckdb", "numba", "numpy", "pyarrow")
WIDTH = 160  # characters


def describe_machine(*, postgres_version: str) -> dict[str, str]:
    """postgres_version: as the server in use reports it (`SHOW server_version`)."""
    return {
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgres": postgres_version,
        **{library: version(library) for library in LIBRARIES},
    }


def wide_console() -> Console:
    """Where no terminal says how wide it is, the tables still fit."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _cpu_model() -> str:
    """Linux names the model here; elsewhere, and on some ARM machines, the architecture has to do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
