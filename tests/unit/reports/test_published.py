"""Which period a published funnel shows, when it is worked out again, and what its metrics say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import Storefront
from app.errors import Invalid
from app.metrics import Metrics
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.result import FunnelResult
from app.reports.funnel.steps import FunnelStep
from app.reports.funnel.value import StepValue
from app.reports.published import PublishedFunnels, last_complete_period
from app.storage.funnels import PublishedFunnel
from tests.fakes import FixedClock

SHOP = Storefront(1, "Käse & Co", "Europe/Berlin", "EUR", 1800, DEFAULT_STAGES)
LABELS = {"storefront": "Käse & Co", "funnel": "buyers"}
DEFINITION: dict[str, Any] = {
    "range": {"start": "2020-01-01T00:00:00Z", "end": "2020-02-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": "product_viewed"}]}, {"any_of": [{"event": "order_completed"}]}],
    "conversion_window_seconds": 3600,
}
NUMBERS = ("entered", "converted", "conversion_ratio", "period_start_timestamp_seconds")


def published(period: str = "day", shop: Storefront = SHOP, **definition: Any) -> PublishedFunnel:
    return PublishedFunnel(shop, "buyers", DEFINITION | definition, period)


class Reports:
    """Answers with the numbers that a test sets, or with an error."""

    def __init__(self) -> None:
        self.reached = [200, 50]
        self.values: list[dict[str, float | None]] = [{}, {}]
        self.asked: list[FunnelParams] = []
        self.error: Exception | None = None

    async def __call__(self, params: FunnelParams, _: Storefront) -> FunnelResult:
        self.asked.append(params)
        if self.error is not None:
            raise self.error
        entered = self.reached[0]
        steps = [
            FunnelStep.model_construct(
                step_number=index + 1,
                reached_count=count,
                conversion_ratio=count / entered if entered else None,
                value=[StepValue.model_construct(currency=name, sum=value) for name, value in values.items()],
            )
            for index, (count, values) in enumerate(zip(self.reached, self.values, strict=True))
        ]
        return FunnelResult.model_construct(steps=steps)


class Shown:
    """Published funnels with everything around them in a test's hands. Now is Monday, 2 March 2026, 12:00 UTC."""

    def __init__(self) -> None:
        self.funnels = [published()]
        self.reports = Reports()
        self.metrics = Metrics()
        self.clock = FixedClock()
        self._published = PublishedFunnels(self._load, self.reports, self.metrics, self.clock, retry_seconds=300)

    async def _load(self) -> list[PublishedFunnel]:
        return self.funnels

    async def refresh(self, *, after_seconds: float = 0) -> None:
        self.clock.advance(after_seconds)
        await self._published.refresh()

    def value(self, name: str, **more: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"footfall_funnel_{name}", LABELS | more)

    def series(self) -> set[str]:
        """Names of all that there is of funnels."""
        families = self.metrics.registry.collect()
        return {sample.name for family in families for sample in family.samples if "funnel" in sample.labels}


@pytest.fixture
def shown() -> Shown:
    return Shown()


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


LAST_COMPLETE = [
    # period, window, now, start, end; in Berlin
    ("day", 3600, "2026-03-02T01:00+01:00", "2026-03-01T00:00+01:00", "2026-03-02T00:00+01:00"),
    ("day", 3601, "2026-03-02T01:00+01:00", "2026-02-28T00:00+01:00", "2026-03-01T00:00+01:00"),
    ("day", 7 * 86_400, "2026-03-12T12:00+01:00", "2026-03-04T00:00+01:00", "2026-03-05T00:00+01:00"),
    ("day", 3600, "2026-03-30T01:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),  # of 23 hours
    ("week", 3600, "2026-03-09T00:59+01:00", "2026-02-23T00:00+01:00", "2026-03-02T00:00+01:00"),
    ("week", 3600, "2026-03-09T01:00+01:00", "2026-03-02T00:00+01:00", "2026-03-09T00:00+01:00"),
    ("month", 86_400, "2026-03-01T23:00+01:00", "2026-01-01T00:00+01:00", "2026-02-01T00:00+01:00"),
    ("month", 86_400, "2026-03-02T00:00+01:00", "2026-02-01T00:00+01:00", "2026-03-01T00:00+01:00"),
    ("month", 3600, "2026-01-15T00:00+01:00", "2025-12-01T00:00+01:00", "2026-01-01T00:00+01:00"),
]


@pytest.mark.parametrize(("period", "window_seconds", "now", "start", "end"), LAST_COMPLETE)
def test_a_period_is_complete_when_the_window_of_its_last_entry_is_over(
    period: str, window_seconds: int, now: str, start: str, end: str
) -> None:
    found = last_complete_period(published(period, conversion_window_seconds=window_seconds), local(now))

    assert (found.start, found.end) == (local(start), local(end))


def test_the_window_is_seven_days_when_the_definition_names_none() -> None:
    funnel = published()
    del funnel.definition["conversion_window_seconds"]

    assert last_complete_period(funnel, local("2026-03-12T12:00+01:00")).end == local("2026-03-05T00:00+01:00")


async def test_the_metrics_are_those_of_the_last_complete_period(shown: Shown) -> None:
    await shown.refresh()

    assert shown.reports.asked[0].range.start == local("2026-03-01T00:00+01:00")
    assert shown.reports.asked[0].range.end == local("2026-03-02T00:00+01:00")
    assert shown.value("entered") == 200
    assert shown.value("converted") == 50
    assert shown.value("conversion_ratio") == 0.25
    assert [shown.value("reached", step=step) for step in ("1", "2", "3")] == [200, 50, None]
    assert shown.value("period_start_timestamp_seconds") == local("2026-03-01T00:00+01:00").timestamp()
    assert shown.value("refreshed_timestamp_seconds") == datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
    assert shown.value("refresh_failures_total") == 0


async def test_where_nobody_entered_there_is_no_ratio(shown: Shown) -> None:
    shown.reports.reached = [0, 0]
    await shown.refresh()

    assert shown.value("entered") == 0
    assert shown.value("conversion_ratio") is None


async def test_values_are_shown_per_step_and_currency(shown: Shown) -> None:
    shown.reports.values = [{"EUR": 12.5, "USD": 3.0}, {"EUR": 10.0, "USD": None}]
    await shown.refresh()

    assert shown.value("value", step="1", currency="EUR") == 12.5
    assert shown.value("value", step="1", currency="USD") == 3.0
    assert shown.value("value", step="2", currency="EUR") == 10.0
    assert shown.value("value", step="2", currency="USD") is None  # larger than a double


async def test_five_currencies_are_shown_at_most_the_storefronts_own_among_them(shown: Shown) -> None:
    shown.reports.values = [dict.fromkeys(("AAA", "AAB", "AAC", "AAD", "AAE", "EUR"), 1.0), {"AAA": 1.0}]
    await shown.refresh()

    shown_in = {name for name in shown.reports.values[0] if shown.value("value", step="1", currency=name) is not None}
    assert shown_in == {"EUR", "AAA", "AAB", "AAC", "AAD"}


async def test_questions_about_other_times_are_left_out(shown: Shown) -> None:
    shown.funnels = [published(as_of="2020-01-15T00:00:00Z", include_bots=True)]
    await shown.refresh()

    assert shown.reports.asked[0].as_of is None
    assert shown.reports.asked[0].include_bots


async def test_it_is_worked_out_again_after_an_hour_and_not_before(shown: Shown) -> None:
    await shown.refresh()
    await shown.refresh(after_seconds=3599)
    assert len(shown.reports.asked) == 1

    await shown.refresh(after_seconds=1)
    assert len(shown.reports.asked) == 2


async def test_it_is_worked_out_at_once_when_a_later_period_is_complete(shown: Shown) -> None:
    shown.clock.advance(11.9 * 3600)  # 00:54 in Berlin
    await shown.refresh()
    await shown.refresh(after_seconds=400)

    assert [each.range.start.day for each in shown.reports.asked] == [1, 2]


CHANGED = [
    published("week"),
    published(include_bots=True),
    published(shop=replace(SHOP, stages=DEFAULT_STAGES[:3])),
    published(shop=replace(SHOP, time_zone="UTC")),
]


@pytest.mark.parametrize("changed", CHANGED, ids=("period", "definition", "stages", "time zone"))
async def test_it_is_worked_out_at_once_when_it_has_changed(shown: Shown, changed: PublishedFunnel) -> None:
    await shown.refresh()
    shown.funnels = [changed]
    await shown.refresh()

    assert len(shown.reports.asked) == 2


async def test_steps_that_it_no_longer_has_are_gone(shown: Shown) -> None:
    shown.reports.reached, shown.reports.values = [9, 8, 7], [{}, {}, {}]
    await shown.refresh()
    shown.reports.reached, shown.reports.values = [9, 8], [{}, {}]
    await shown.refresh(after_seconds=3600)

    assert [shown.value("reached", step=step) for step in ("2", "3")] == [8, None]


async def test_nothing_is_left_of_a_funnel_that_is_no_longer_published(shown: Shown) -> None:
    await shown.refresh()
    shown.funnels = []
    await shown.refresh()

    assert shown.series() == set()


async def test_a_failure_keeps_the_numbers_and_counts(shown: Shown) -> None:
    await shown.refresh()
    before = [shown.value(name) for name in (*NUMBERS, "refreshed_timestamp_seconds")]
    shown.reports.error = Invalid("There is no stage 'loyalty'.")
    await shown.refresh(after_seconds=3600)

    assert [shown.value(name) for name in (*NUMBERS, "refreshed_timestamp_seconds")] == before
    assert shown.value("refresh_failures_total") == 1


async def test_one_that_has_never_been_worked_out_shows_no_numbers(shown: Shown) -> None:
    shown.reports.error = TimeoutError()
    await shown.refresh()

    assert shown.value("refreshed_timestamp_seconds") == 0
    assert shown.value("refresh_failures_total") == 1
    assert [shown.value(name) for name in NUMBERS] == [None, None, None, None]


async def test_the_others_go_on_beside_one_that_fails(shown: Shown) -> None:
    shown.funnels.insert(0, PublishedFunnel(SHOP, "broken", {"steps": []}, "day"))
    await shown.refresh()

    assert shown.value("entered") == 200
    failures = shown.metrics.funnel_refresh_failures.labels("Käse & Co", "broken")
    assert failures._value.get() == 1


async def test_pauses_between_attempts_grow_up_to_an_hour(shown: Shown) -> None:
    shown.reports.error = TimeoutError()
    attempts: list[int] = []
    for minute in range(0, 241, 5):
        await shown.refresh(after_seconds=300 if minute else 0)
        if len(shown.reports.asked) > len(attempts):
            attempts.append(minute)

    assert attempts == [0, 5, 15, 35, 75, 135, 195]


async def test_a_failure_is_logged_once_and_so_is_the_recovery(shown: Shown, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    shown.reports.error = TimeoutError()
    for _ in range(3):
        await shown.refresh(after_seconds=timedelta(hours=1).total_seconds())
    shown.reports.error = None
    await shown.refresh(after_seconds=timedelta(hours=1).total_seconds())

    assert [getattr(record, "action", None) for record in caplog.records] == ["job_failed", "job_recovered"]
    assert getattr(caplog.records[0], "job", None) == "published funnel 1/buyers"
