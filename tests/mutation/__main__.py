"""`make mutants`: how many small changes to the matcher no test notices. Fails when there is one."""

import os

os.environ["NUMBA_DISABLE_JIT"] = "1"  # compiling takes longer than the tests do; numba reads it when imported

import asyncio  # noqa: F401  # imported once, before there are processes that would each do it
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated

import duckdb  # noqa: F401
import numba  # noqa: F401
import pyarrow as pa  # noqa: F401
import pydantic  # noqa: F401
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.run import STAGES, Fate, run_all

MATCHER = Path("app/match")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")  # mutants that change no answer, by reason


def main(
    modules: Annotated[list[str] | None, typer.Argument(help="Of app/match; without any, all.")] = None,
    jobs: Annotated[int, typer.Option(help="Mutants at once.")] = os.cpu_count() or 1,
    oracle: Annotated[bool, typer.Option(help="Ask the oracle about those that pass the unit tests.")] = True,
) -> None:
    """Change the matcher in every small way, one at a time; each change must fail a test."""
    console = Console(highlight=False)
    stages = [stage for stage in STAGES if oracle or stage.killed is not Fate.BY_ORACLE]
    paths = [path for path in sorted(MATCHER.glob("*.py")) if not modules or path.stem in modules]
    unchanged = Mutant(paths[0], 0, "", paths[0].read_text())
    if [fate for _, fate in run_all([unchanged], stages, 1)] != [Fate.SURVIVED]:
        sys.exit("The tests fail before anything is changed.")

    mutants = [mutant for path in track(paths, "Changing", console=console) for mutant in mutants_of(path)]
    equivalent = _equivalent(paths)
    asked = [mutant for mutant in mutants if mutant.change not in equivalent]
    fates = {path.stem: Counter[Fate]() for path in paths}
    for mutant, fate in track(run_all(asked, stages, jobs), "Asking the tests", len(asked), console=console):
        fates[mutant.path.stem][fate] += 1
        if fate is Fate.SURVIVED:
            console.print(f"{mutant.line_number:>4} {mutant.change}", markup=False, soft_wrap=True)

    _print_scores(console, mutants, fates)
    stale = equivalent - {mutant.change for mutant in mutants}
    for change in sorted(stale):
        console.print(
            f"Listed in {EQUIVALENT.name}, but there is no such mutant: {change}", markup=False, soft_wrap=True
        )
    sys.exit(bool(stale or any(of_module[Fate.SURVIVED] for of_module in fates.values())))


def _equivalent(paths: list[Path]) -> set[str]:
    groups = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    modules = {path.stem for path in paths}
    return {change for group in groups for change in group["changes"] if re.split("[.:]", change)[0] in modules}


def _print_scores(console: Console, mutants: list[Mutant], fates: dict[str, Counter[Fate]]) -> None:
    """Score: the share of those that fail a test among those that can."""
    shown = (Fate.BY_UNIT_TESTS, Fate.BY_ORACLE, Fate.TIMED_OUT, Fate.SURVIVED)
    columns = (fate.name.lower().removeprefix("by_").replace("_", " ") for fate in shown)
    table = Table("app/match", "mutants", "equivalent", *columns, "score", box=None, pad_edge=False)
    counts = Counter(mutant.path.stem for mutant in mutants)
    for name, of_module in [*fates.items(), ("all", sum(fates.values(), Counter[Fate]()))]:
        asked = of_module.total()
        if asked:
            count = counts[name] or counts.total()
            numbers = (of_module[fate] for fate in shown)
            score = f"{1 - of_module[Fate.SURVIVED] / asked:.1%}"
            table.add_row(name, *(f"{number:,}" for number in (count, count - asked, *numbers)), score)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
