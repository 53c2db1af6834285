"""The alert rules ask for metrics that there are, and each leads to a section of the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "footfall-alerts.yaml"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def anchors() -> set[str]:
    """Of the README's headings, as they are made from their words."""
    headings = re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def sample_names() -> set[str]:
    families = Metrics().registry.collect()
    suffixes = {"counter": ("_total",), "histogram": ("_count", "_sum", "_bucket")}
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, ("",))}


def test_every_alert_asks_for_metrics_that_exist() -> None:
    asked = {name for rule in rules() for name in re.findall(r"footfall_\w+", rule["expr"])}

    assert asked
    assert asked <= sample_names()


def test_every_alert_has_a_section_in_the_runbook_and_says_what_is_wrong() -> None:
    for rule in rules():
        notes = rule["annotations"]
        assert notes["summary"], rule["alert"]
        assert notes["runbook"].removeprefix("README.md#") in anchors(), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]


def test_prometheus_understands_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    done = subprocess.run(
        [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
