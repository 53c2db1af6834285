"""The table of clients that are proven names the versions that are installed."""

import json
from pathlib import Path

from tests.documented import CLIENTS

HERE = Path(__file__).parent
NOT_CLIENTS = {"playwright-core"}


def test_the_table_of_clients_is_that_of_the_installed_versions() -> None:
    installed = json.loads((HERE / "package.json").read_text())["dependencies"]
    installed |= dict(line.split("==") for line in (HERE / "requirements.in").read_text().split())
    rows = [line.split("|") for line in (CLIENTS / "README.md").read_text().splitlines() if line.startswith("| `")]

    documented = {row[1].strip(" `"): row[2].strip() for row in rows}
    assert documented == {name: version for name, version in installed.items() if name not in NOT_CLIENTS}
