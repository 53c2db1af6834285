"""Asks the tests about mutants: each in a process of its own, where it takes the place of its module."""

import gc
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest

from tests.mutation.mutants import Mutant

FORK = multiprocessing.get_context("fork")


class Fate(Enum):
    """By exit code."""

    SURVIVED = 0
    BY_UNIT_TESTS = 1
    BY_ORACLE = 2
    TIMED_OUT = -signal.SIGXCPU


class Stage(NamedTuple):
    """Tests of one folder. {module}: the mutant's, whose own tests notice most. cpu_seconds: several times what the
    slowest takes; a test that needs more does not end."""

    folder: str
    tests: tuple[str, ...]
    cpu_seconds: int
    killed: Fate


OWN = "test_{module}.py"

STAGES = (
    # Those that take no time come first; at once with them, the folder would be asked in its own order.
    Stage("tests/unit/match", (OWN, "test_chains.py", "test_attempts.py", "test_parts.py"), 3, Fate.BY_UNIT_TESTS),
    Stage("tests/unit/match", ("",), 3, Fate.BY_UNIT_TESTS),
    Stage(
        "tests/unit/reports", (OWN, "test_reasons.py", "test_timelines.py", "test_funnel_match.py"), 300, Fate.BY_ORACLE
    ),
)
OPTIONS = ("-q", "-x", "-n0", "--tb=no", "--assert=plain", "--timeout=600")
WITHOUT = ("-p", "no:randomly", "-p", "no:cacheprovider")


def run_all(mutants: Sequence[Mutant], stages: Sequence[Stage], jobs: int) -> Iterator[tuple[Mutant, Fate]]:
    """In the order in which they end."""
    waiting = list(reversed(mutants))
    running: dict[Any, tuple[Any, Mutant]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            process = FORK.Process(target=_ask, args=(mutant, stages))
            process.start()
            running[process.sentinel] = process, mutant
        for sentinel in wait(list(running)):
            process, mutant = running.pop(sentinel)
            process.join()
            yield mutant, Fate(process.exitcode)


def _ask(mutant: Mutant, stages: Sequence[Stage]) -> None:
    """Ends the process; its exit code is the fate."""
    fate = stages[0].killed  # where the mutant can't even be imported
    try:
        _prepare()
        _take_place(mutant)
        fate = next((stage.killed for stage in stages if not _passes(stage, mutant.path.stem)), Fate.SURVIVED)
    finally:
        os._exit(fate.value)  # without waiting for threads, which may hang


def _prepare() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    np.seterr(over="ignore")  # as in compiled code
    gc.freeze()  # pytest collects garbage more than once; what was there before takes longer than most tests do
    profile = hypothesis.settings(deadline=None, derandomize=True, database=None, phases=[hypothesis.Phase.generate])
    hypothesis.settings.register_profile("mutants", profile)
    hypothesis.settings.load_profile("mutants")


def _take_place(mutant: Mutant) -> None:
    name = ".".join(mutant.path.with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, mutant.path)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(mutant.source, mutant.path, "exec"), module.__dict__)


def _passes(stage: Stage, module: str) -> bool:
    # Fixtures from above the folder would start a whole service.
    tests = [Path(stage.folder, test.format(module=module)) for test in stage.tests]
    arguments = [*OPTIONS, *WITHOUT, f"--confcutdir={stage.folder}", *(str(test) for test in tests if test.exists())]
    return pytest.main(arguments, plugins=[Limit(stage.cpu_seconds)]) == pytest.ExitCode.OK


class Limit:
    """Ends the process when a test does not end."""

    def __init__(self, cpu_seconds: int) -> None:
        self.cpu_seconds = cpu_seconds

    def pytest_runtest_setup(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + self.cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
