"""The stage table says that the data is made up, and shows what is missing as a dash."""

import io
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from app.demo.table import stage_table

START, END = datetime(2025, 5, 12, 10, tzinfo=UTC), datetime(2025, 5, 19, 10, tzinfo=UTC)


def step(label: str, reached: int, **known: object) -> dict[str, Any]:
    missing = dict.fromkeys(
        (
            "conversion_ratio",
            "step_conversion_ratio",
            "lost_count",
            "in_progress_count",
            "seconds_from_previous",
        )
    )
    return {"label": label, "reached_count": reached, **missing, **known}


def rendered(*steps: dict[str, Any]) -> list[str]:
    """Lines of the table on a screen of 80 characters, each with its cells one space apart."""
    report = {"as_of": "2025-05-19T10:00:01Z", "events_read": 43197, "seconds": 0.0512, "steps": steps}
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(stage_table(report, start=START, end=END))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_title_says_that_the_data_is_synthetic() -> None:
    assert rendered(step("awareness", 1))[0] == ("SYNTHETIC DATA: stages reached within a day, 12 May to 19 May 2025")


def test_caption_says_what_was_read_and_when() -> None:
    assert rendered(step("awareness", 1))[-1] == ("43,197 made-up events read in 0.051 s, as of 2025-05-19T10:00:01Z")


def test_a_stage_is_a_row_with_its_figures() -> None:
    first = step("awareness", 3000, conversion_ratio=1.0, lost_count=0, in_progress_count=1176)
    second = step(
        "consideration",
        1500,
        conversion_ratio=0.5,
        step_conversion_ratio=0.5,
        lost_count=1212,
        in_progress_count=1184,
        seconds_from_previous={"median": 95.0},
    )

    lines = rendered(first, second)

    assert "awareness 3,000 ██████████ 100.0% – 0 1,176 –" in lines
    assert "consideration 1,500 █████ 50.0% 50.0% 1,212 1,184 2 min" in lines


def test_times_come_in_a_unit_one_can_read() -> None:
    medians = {"a": 4.25, "b": 60.0, "c": 5400.0, "d": 129600.0}
    steps = [step(label, 1, seconds_from_previous={"median": median}) for label, median in medians.items()]

    lines = [line for line in rendered(*steps) if line[:2] in {"a ", "b ", "c ", "d "}]
    assert [line.rsplit(" ", 2)[1:] for line in lines] == [
        ["4", "s"],
        ["1", "min"],
        ["1.5", "h"],
        ["1.5", "d"],
    ]


def test_a_shop_nobody_entered_has_dashes_instead_of_ratios() -> None:
    assert "awareness 0 – – – – –" in rendered(step("awareness", 0))
