"""Published funnels: what saved funnels say of their last complete period, kept up to date as metrics.

Every process that answers reports does so by itself; they all show the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from app.clock import Clock
from app.domain.funnel import DEFAULT_CONVERSION_WINDOW_SECONDS
from app.domain.storefront import Storefront
from app.domain.time_range import EPOCH, instant
from app.jobs import attempt
from app.metrics import Metrics
from app.reports.funnel.params import FunnelParams, RangeParams
from app.reports.funnel.result import FunnelResult
from app.storage.funnels import PublishedFunnel

# Then it is worked out again though nobody changed it: for late events, new links of persons, erasures.
STALE = timedelta(hours=1)
# What a definition asks beyond its steps, or of another time.
NOT_PUBLISHED = frozenset({"range", "as_of", "breakdown", "compare", "trend", "between", "curve"})

CURRENCIES_MAX = 5  # of one funnel

Labels = tuple[str, str]  # storefront and funnel
Load = Callable[[], Awaitable[Sequence[PublishedFunnel]]]
Ask = Callable[[FunnelParams, Storefront], Awaitable[Any]]  # a FunnelResult


class PublishPeriod(StrEnum):
    """In the storefront's time zone. Weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def last_period(period: PublishPeriod, time_zone: str, ended_by: datetime) -> RangeParams:
    """The latest one that had ended at that time."""
    end = _first_day(period, ended_by.astimezone(ZoneInfo(time_zone)).date())
    start = _first_day(period, end - timedelta(days=1))
    return RangeParams(start=instant(start, time_zone), end=instant(end, time_zone))


def _first_day(period: PublishPeriod, day: date) -> date:
    if period is PublishPeriod.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period is PublishPeriod.MONTH else day


def last_complete_period(funnel: PublishedFunnel, now: datetime) -> RangeParams:
    """The latest whose entries have all had their whole conversion window; before that its numbers would still grow.

    With a window of 7 days, the last complete day has been over for 7 days.
    """
    window_seconds = funnel.definition.get("conversion_window_seconds", DEFAULT_CONVERSION_WINDOW_SECONDS)
    ended_by = now - timedelta(seconds=window_seconds)
    return last_period(PublishPeriod(funnel.period), funnel.storefront.time_zone, ended_by)


@dataclass(slots=True)
class _Refreshed:
    """What a funnel was asked for last, and when it is to be asked for again though nothing changed."""

    question: tuple[PublishedFunnel, RangeParams] | None = None
    due_at: datetime = EPOCH
    failures_in_row: int = 0


class PublishedFunnels:
    """load: what is published now. ask: for the report, within its limits. retry_seconds: after a first failure."""

    def __init__(self, load: Load, ask: Ask, metrics: Metrics, clock: Clock, *, retry_seconds: float) -> None:
        self._load = load
        self._ask = ask
        self._metrics = metrics
        self._clock = clock
        self._retry = timedelta(seconds=retry_seconds)
        self._known: dict[Labels, _Refreshed] = {}

    async def refresh(self) -> None:
        """One look at what is published; what has changed or is stale is worked out, one funnel at a time."""
        published = {(funnel.storefront.name, funnel.name): funnel for funnel in await self._load()}
        for labels in self._known.keys() - published.keys():
            del self._known[labels]
            self._metrics.forget_funnel(*labels)
        for labels in published.keys() - self._known.keys():
            self._known[labels] = _Refreshed()
            self._metrics.announce_funnel(*labels)
        for labels, funnel in published.items():
            await self._refresh_when_due(funnel, self._known[labels])

    async def _refresh_when_due(self, funnel: PublishedFunnel, known: _Refreshed) -> None:
        now = self._clock.now()
        question = (funnel, last_complete_period(funnel, now))
        if question == known.question and now < known.due_at:
            return
        known.question = question
        job = f"published funnel {funnel.storefront.storefront_id}/{funnel.name}"
        if await attempt(job, partial(self._show, *question), was_well=not known.failures_in_row):
            known.failures_in_row = 0
            known.due_at = now + STALE
        else:  # a report over its time limit is not to be asked for all the time
            self._metrics.funnel_refresh_failures.labels(funnel.storefront.name, funnel.name).inc()
            known.due_at = now + min(self._retry * 2 ** min(known.failures_in_row, 10), STALE)
            known.failures_in_row += 1

    async def _show(self, funnel: PublishedFunnel, period: RangeParams) -> None:
        """Raises what the report raises; then the metrics stay as they were."""
        asked = {name: value for name, value in funnel.definition.items() if name not in NOT_PUBLISHED}
        params = FunnelParams.model_validate({**asked, "range": period.model_dump()})
        result: FunnelResult = await self._ask(params, funnel.storefront)
        # No `await` from here on: whoever scrapes sees all old numbers or all new ones.
        labels, metrics = (funnel.storefront.name, funnel.name), self._metrics
        metrics.clear_funnel(*labels)
        _show_people(metrics, labels, result)
        _show_values(metrics, labels, result, funnel.storefront.currency)
        metrics.funnel_period_start.labels(*labels).set(period.start.timestamp())
        metrics.funnel_refreshed.labels(*labels).set(self._clock.now().timestamp())


def _show_people(metrics: Metrics, labels: Labels, result: FunnelResult) -> None:
    last = result.steps[-1]
    metrics.funnel_entered.labels(*labels).set(result.steps[0].reached_count)
    metrics.funnel_converted.labels(*labels).set(last.reached_count)
    if last.conversion_ratio is not None:
        metrics.funnel_conversion_ratio.labels(*labels).set(last.conversion_ratio)
    for step in result.steps:
        metrics.funnel_reached.labels(*labels, str(step.step_number)).set(step.reached_count)


def _show_values(metrics: Metrics, labels: Labels, result: FunnelResult, own_currency: str) -> None:
    """Anybody can send events with currencies nobody has heard of: the storefront's own comes first, and few others."""
    there = {value.currency for step in result.steps for value in step.value or ()}
    shown = sorted(there, key=lambda currency: (currency != own_currency, currency))[:CURRENCIES_MAX]
    for step in result.steps:
        for value in step.value or ():
            if value.currency in shown and value.sum is not None:
                metrics.funnel_value.labels(*labels, str(step.step_number), value.currency).set(value.sum)
