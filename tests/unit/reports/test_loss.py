"""Loss: gaps in the numbers that browsers give their events, and nothing else, whatever came late or twice."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from app.domain.time_range import to_us
from app.reports.loss import LOSS, LossFigures, LossResult
from app.reports.slices import SliceQuery
from tests.unit.mirror.rows import FilledMirror, Row
from tests.unit.reports.asking import shop

BROWSER, SERVER = 1, 2
DAY_ONE = datetime(2026, 3, 1, tzinfo=UTC)
MARCH = {"from": "2026-03-01", "to": "2026-04-01"}

_storefront_ids = count(1)


@pytest.fixture(scope="module", params=[1024**2, 0], ids=["rows in memory", "rows on disk"])
def filled(request: pytest.FixtureRequest) -> Iterator[FilledMirror]:
    filled = FilledMirror(request.param)
    filled.execute(f"UPDATE follower SET as_of_us = {to_us(DAY_ONE + timedelta(days=400))}")
    yield filled
    filled.mirror.close()


class Shop:
    """Events go in, the report comes out; each test has a storefront of its own."""

    def __init__(self, filled: FilledMirror) -> None:
        self._filled, self._storefront_id = filled, next(_storefront_ids)

    def add(self, *numbers: int, day: float = 0, **fields: Any) -> None:
        """Events of these numbers, a second apart."""
        at = to_us(DAY_ONE + timedelta(days=day))
        rows = [
            Row(seq=number, occurred_at=at + number * 1_000_000, received_at=at, storefront_id=self._storefront_id)
            for number in numbers
        ]
        self._filled.add(*(replace(row, **fields) for row in rows))

    def report(self, **members: Any) -> LossResult:
        storefront = replace(shop(), storefront_id=self._storefront_id)
        with self._filled.scan(self._storefront_id) as scan:
            return LOSS.run(SliceQuery.model_validate({**MARCH, **members}), scan, storefront)


@pytest.fixture
def browsers(filled: FilledMirror) -> Shop:
    return Shop(filled)


def lost(figures: LossFigures) -> tuple[int, int]:
    """Received, lost."""
    return figures.received_count, figures.lost_count


def test_the_share_of_those_sent_that_never_came(browsers: Shop) -> None:
    browsers.add(1, 2, 5, visitor_id=1)
    browsers.add(1, 2, 3, 4, 6, visitor_id=2)
    result = browsers.report()
    assert lost(result) == (8, 3)
    assert result.lost_ratio == pytest.approx(3 / 11)


def test_nobody_numbered_means_no_share(browsers: Shop) -> None:
    assert (*lost(browsers.report()), browsers.report().lost_ratio) == (0, 0, None)


def test_only_numbered_events_of_browsers_count(browsers: Shop) -> None:
    browsers.add(1, 4, trust=SERVER)
    browsers.add(0)
    browsers.add(1, 4, visitor_id=None, customer_id=7)
    browsers.add(1, 4, is_bot=True)
    assert lost(browsers.report()) == (0, 0)
    assert lost(browsers.report(include_bots=True)) == (2, 2)


def test_a_gap_counts_with_the_event_behind_it_also_when_the_one_before_is_older_than_the_range(
    browsers: Shop,
) -> None:
    browsers.add(1, 2, day=-5)
    browsers.add(4, day=1)
    browsers.add(9, day=40)
    result = browsers.report(period="day")
    assert lost(result) == (1, 1)
    assert [lost(period) for period in (result.periods or [])[:3]] == [(0, 0), (1, 1), (0, 0)]


def test_late_events_take_back_what_was_lost(browsers: Shop) -> None:
    browsers.add(1, 4)
    assert lost(browsers.report()) == (2, 2)
    browsers.add(3, 2)
    assert lost(browsers.report()) == (4, 0)


def test_as_of_a_time_before_they_came_they_are_lost(browsers: Shop) -> None:
    browsers.add(1, 3)
    browsers.add(2, received_at=to_us(DAY_ONE + timedelta(days=3)))
    assert lost(browsers.report()) == (3, 0)
    assert lost(browsers.report(as_of="2026-03-02T00:00:00Z")) == (2, 1)


def test_by_any_dimension_or_property_of_the_event_behind_the_gap(browsers: Shop) -> None:
    browsers.add(1, 3, properties={"browser": "Firefox"}, visitor_id=1)
    browsers.add(1, 2, properties={"browser": "Safari"}, visitor_id=2)
    browsers.add(5, properties={"browser": "Safari"}, visitor_id=2, day=1)
    browsers.add(1, visitor_id=3, url="https://shop.example/a")
    found = browsers.report(property="browser", limit=1, period="day", to="2026-03-03")
    assert [(each.value, each.kind, *lost(each)) for each in found.groups or []] == [
        ("Safari", "value", 3, 2),
        ("(other)", "other", 2, 1),
        ("(not set)", "not_set", 1, 0),
    ]
    assert [lost(period) for period in (found.groups or [])[0].periods or []] == [(2, 0), (1, 2)]
    assert [(row["group"], row["received_count"], row["lost_count"]) for row in found.table().rows[:6]] == [
        (None, 6, 3),
        (None, 5, 1),
        (None, 1, 2),
        ("Safari", 3, 2),
        ("Safari", 2, 0),
        ("Safari", 1, 2),
    ]
    assert [each.value for each in browsers.report(dimension="page_path").groups or []] == ["/a", "(not set)"]
