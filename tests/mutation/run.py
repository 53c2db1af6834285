"""Asks the tests about one mutant: in a process of its own, where the mutant takes the place of the module."""

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
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest

from tests.mutation.mutants import Mutant

FORK = multiprocessing.get_context("fork")


class Stage(NamedTuple):
    """cpu_seconds: several times what the tests take; whoever needs more is in an endless loop."""

    tests: tuple[str, ...]
    cpu_seconds: int


STAGES = (
    Stage(("tests/unit/match",), 5),
    Stage(("tests/unit/reports/test_funnel_match.py",), 900),
)


class Fate(Enum):
    SURVIVED = 0
    KILLED_AT_ONCE = 1
    KILLED_BY_ORACLE = 2
    TIMED_OUT = -signal.SIGXCPU


def run_all(mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, Fate]]:
    """As they end."""
    waiting, running = list(reversed(mutants)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            process = FORK.Process(target=_ask, args=(mutant,))
            process.start()
            running[process.sentinel] = process, mutant
        for sentinel in wait(list(running)):
            process, mutant = running.pop(sentinel)  # type: ignore[index]  # sentinels are numbers
            process.join()
            yield mutant, Fate(process.exitcode)


def _ask(mutant: Mutant) -> None:
    """Ends the process; its exit code is the fate."""
    fate = Fate.KILLED_AT_ONCE
    try:
        _silence()
        np.seterr(over="ignore")  # as in compiled code
        hypothesis.settings.register_profile(
            "mutants", deadline=None, derandomize=True, database=None, phases=(hypothesis.Phase.generate,)
        )
        hypothesis.settings.load_profile("mutants")
        _take_place(mutant)
        fate = _fate()
    finally:
        os._exit(fate.value)  # threads may hang


def _fate() -> Fate:
    for stage, killed in zip(STAGES, (Fate.KILLED_AT_ONCE, Fate.KILLED_BY_ORACLE), strict=True):
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + stage.cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        folder = Path(stage.tests[0])
        options = ["-q", "-x", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=no", "--assert=plain"]
        # Without the fixtures of all tests, which would start a service.
        options.append(f"--confcutdir={folder if folder.is_dir() else folder.parent}")
        if pytest.main([*options, *stage.tests]) != pytest.ExitCode.OK:
            return killed
    return Fate.SURVIVED


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _take_place(mutant: Mutant) -> None:
    name = ".".join(mutant.path.with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, mutant.path)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(mutant.source, mutant.path, "exec"), module.__dict__)
