"""No report waits for the compiler: what they all run is compiled when the service starts."""

import pkgutil
import subprocess
import sys
from importlib import import_module
from typing import Any

from numba.core.dispatcher import Dispatcher

import app.match
from app.reports.warm import compile_matchers
from tests.journeys import DAY, journey
from tests.unit.reports.asking import ADDED, ORDERED, VIEWED, ask
from tests.unit.reports.journey_mirror import JourneyMirror

ASKED: tuple[dict[str, Any], ...] = (
    {},
    {"order": "strict"},
    {"order": "any_order"},
    {"actor": "session"},
    {"actor": "account"},
    {"count": "entries"},
    {"same": ["sku"]},
    {"breakdown": {"property": "sku"}},
    {"breakdown": {"property": "sku", "of": "first_touch"}},
    {"exclude": [{"any_of": [{"event": "left"}], "after_step": 1, "before_step": 3}]},
)


def test_no_funnel_compiles_anything() -> None:
    """In a process of its own: others have compiled what they needed."""
    subprocess.run([sys.executable, "-m", __name__], check=True, timeout=300)  # our own code


def compiled() -> dict[str, set[str]]:
    """By function the types it is compiled for."""
    modules = [import_module(f"app.match.{each.name}") for each in pkgutil.iter_modules(app.match.__path__)]
    return {
        f"{module.__name__}.{name}": set(map(str, value.signatures))
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


def ask_everything() -> None:
    compile_matchers()
    at_start = compiled()
    mirror = JourneyMirror()
    for members in ASKED:
        events = [
            *journey("ana", (0, VIEWED), (1, ADDED), (1, ORDERED), (DAY, VIEWED)),
            *journey("ben", (0, VIEWED, {"sku": "a"}), (2, ADDED, {"sku": "a"})),
        ]
        ask(mirror, events, VIEWED, ADDED, ORDERED, **members)
        later = {name: types - at_start[name] for name, types in compiled().items() if types - at_start[name]}
        assert not later, (members, later)
    mirror.close()


if __name__ == "__main__":
    ask_everything()
