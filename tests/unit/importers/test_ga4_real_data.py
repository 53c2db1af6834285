"""Twelve days of a real shop, against the figures that came with them."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.ga4_words import EVENT_NAMES
from app.importers.ga4 import GA4

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "ga4_export"

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the real GA4 export is not beside the repository"),
    pytest.mark.xdist_group("ga4_real_data"),
]


class _Properties(msgspec.Struct):
    order_id: str | None = None
    value: float | None = None


class _Event(msgspec.Struct):
    event_id: str
    event: str
    visitor_id: str
    properties: msgspec.Raw


@pytest.fixture(scope="module")
def truth() -> Any:
    return msgspec.json.decode((FOLDER / "truth.json").read_bytes())


def test_every_figure_of_the_import_is_the_true_one(truth: Any) -> None:
    files = [FOLDER / name for name in truth["files"]]
    decode = msgspec.json.Decoder(_Event).decode
    ids, visitors, names, orders = set(), set(), Counter[str](), []
    for item in GA4.read(files):
        event = decode(item)
        ids.add(event.event_id)
        visitors.add(event.visitor_id)
        names[event.event] += 1
        if event.event == "order_completed":
            orders.append(msgspec.json.decode(event.properties, type=_Properties))
    assert len(ids) == GA4.count(files) == 383_319
    assert len(visitors) == 33_083
    assert names == {EVENT_NAMES.get(name, name): count for name, count in truth["by_name"].items()}
    assert sum(order.value or 0 for order in orders) == 24_016.00
    assert len({order.order_id for order in orders if order.order_id}) == 394
    assert sum(order.order_id is None for order in orders) == 26


def test_a_second_run_gives_the_same_events(truth: Any) -> None:
    smallest = FOLDER / "events_20201225.parquet"
    assert list(GA4.read([smallest])) == list(GA4.read([smallest]))
