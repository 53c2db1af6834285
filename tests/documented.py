"""Tables of the documentation, for tests that keep it in step with the code."""

from pathlib import Path

CLIENTS = Path(__file__).parents[1] / "docs" / "clients"


def documented_words(file_name: str) -> dict[str, str]:
    """A family's own names of events and ours: rows that begin with a name in code, before the heading "Fields"."""
    text = (CLIENTS / file_name).read_text(encoding="utf-8").partition("## Fields")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): ours.strip(" `") for theirs, ours in rows for name in theirs.split(",")}
