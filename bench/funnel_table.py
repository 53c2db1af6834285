"""Figures of the funnel as a table: seconds, ratios beside their marks, and whether all counted the same."""

from rich.console import Console
from rich.table import Table

from bench.funnel import OURS, PEER_RUNS, RUNS, Figures, FunnelFigures
from bench.funnel_questions import BREAKDOWN, FOUR_STEPS, SIXTEEN_STEPS

PEER_MARKS = {(FOUR_STEPS.name, "ClickHouse"): 0.7}  # our time of theirs, at most
FOUR_STEPS_MARKS = {SIXTEEN_STEPS.name: 2.0, BREAKDOWN.name: 1.5}  # of the time of four steps, at most
CATCH_UP_MARK_SECONDS = 0.1


def print_funnel(console: Console, measured: FunnelFigures) -> None:
    console.print(_table(measured))
    runs = ", ".join(f"{runs} of {name}" for name, runs in PEER_RUNS.items())
    console.print(f"Seconds, medians of {RUNS} runs of {OURS} through HTTP, {runs}, in turns; x: {OURS}'s time of it.")
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    console.print(f"Marks in brackets. Peers: {versions}.")
    for figures in measured.figures:
        _print_counts(console, figures)
    console.print(
        f"Catching up with 1,000 new events: {measured.catch_up_seconds:.3f} s ({CATCH_UP_MARK_SECONDS}). "
        f"Building the mirror, first report included: {measured.mirror_build_seconds:.1f} s."
    )


def _table(measured: FunnelFigures) -> Table:
    four_steps = next(each.seconds[OURS] for each in measured.figures if each.question is FOUR_STEPS)
    table = Table(title=f"Funnels over {measured.event_count:,} events, window of 7 days")
    for heading in ("question", OURS, "slowest", "of 4 steps"):
        table.add_column(heading)
    for name in PEER_RUNS:
        table.add_column(name)
        table.add_column("x")
    for figures in measured.figures:
        name, ours = figures.question.name, figures.seconds[OURS]
        cells = [name, f"{ours:.3f}", f"{figures.slowest_seconds:.3f}"]
        cells.append(_marked(ours / four_steps, FOUR_STEPS_MARKS.get(name)))
        for peer in PEER_RUNS:
            theirs = figures.seconds.get(peer)
            cells.append("" if theirs is None else f"{theirs:.3f}")
            cells.append("" if theirs is None else _marked(ours / theirs, PEER_MARKS.get((name, peer))))
        table.add_row(*cells)
    return table


def _marked(ratio: float, mark: float | None) -> str:
    if mark is None:
        return f"{ratio:.2f}"
    return f"[{'green' if ratio <= mark else 'bold red'}]{ratio:.2f} ({mark})[/]"


def _print_counts(console: Console, figures: Figures) -> None:
    """Peers mean the same, so their counts are equal; where not, both are shown."""
    ours = figures.reached[OURS]
    differing = {name: counts for name, counts in figures.reached.items() if counts != ours}
    agreed = ", ".join(name for name in figures.reached if name not in differing)
    console.print(f"{figures.question.name}: {agreed} count {ours}", highlight=False)
    for name, counts in differing.items():
        console.print(f"{figures.question.name}: {name} counts {counts}", style="bold red", highlight=False)
