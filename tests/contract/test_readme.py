"""The README forgets nothing: a row for each setting and each metric, and none for what is gone."""

import re
from pathlib import Path

from app.config import ENV_PREFIX, Settings
from app.metrics import Metrics

README = Path(__file__).parents[2] / "README.md"


def documented(prefix: str) -> set[str]:
    """Names with the prefix in the first column of the tables; `footfall_x_total{label}` loses its labels."""
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    first_cells = [row.split("|")[1] for row in rows]
    return {name for cell in first_cells for name in re.findall(rf"`({prefix}\w+)(?:\{{[^`]*\}})?`", cell)}


def test_every_setting_has_a_row() -> None:
    settings = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}

    assert documented(ENV_PREFIX) == settings


def test_every_metric_has_a_row() -> None:
    families = [family for family in Metrics().registry.collect() if family.name.startswith("footfall_")]
    metrics = {family.name + ("_total" if family.type == "counter" else "") for family in families}

    assert documented("footfall_") == metrics
