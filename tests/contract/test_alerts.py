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


def labels_of_metrics() -> dict[str, set[str]]:
    """The labels of each metric, by its name."""
    labelled = (metric for metric in vars(Metrics()).values() if hasattr(metric, "_labelnames"))
    return {metric._name: set(metric._labelnames) for metric in labelled}


def kept_labels(expression: str) -> set[str]:
    """Those that an expression's results have: what it groups by, else those of its metrics."""
    if groups := re.findall(r"by \(([^)]*)\)", expression):
        return set.intersection(*({label.strip() for label in group.split(",")} for group in groups))
    labels = labels_of_metrics()
    asked = re.findall(r"footfall_\w+", expression)
    return set[str]().union(*(labels.get(name.removesuffix("_total"), set()) for name in asked))


def test_every_label_in_a_summary_is_one_that_the_alert_has() -> None:
    for rule in rules():
        shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert shown <= kept_labels(rule["expr"]), rule["alert"]


def test_every_group_is_by_labels_that_the_metrics_have() -> None:
    labels = labels_of_metrics()
    for rule in rules():
        groups = {label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
        for name in re.findall(r"footfall_\w+", rule["expr"]) if groups else ():
            assert groups <= labels[name.removesuffix("_total")], rule["alert"]


@pytest.mark.parametrize("name", ["footfall_funnel_conversion_ratio", "footfall_funnel_refreshed_timestamp_seconds"])
def test_alerts_of_published_funnels_say_which_funnel_of_which_storefront(name: str) -> None:
    [rule] = [rule for rule in rules() if name in rule["expr"]]

    assert {"storefront", "funnel"} <= set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))


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
