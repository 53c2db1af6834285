"""Every metric of the service. Labels take values from closed sets only: never a visitor or raw path, and a storefront
only where an operator has published a funnel of it."""

import platform
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.tallies import TalliedCounter, TalliedHistogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DELAY_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
_BATCH_EVENTS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000, 5000)


class Metrics:
    """One set of metrics with a registry of its own, so that several apps can live in one process (tests)."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second time series for every counter, which nobody looks at
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.events = TalliedCounter(
            "footfall_ingest_events",
            "What became of every event received; operators: stored should dominate.",
            ["format", "outcome"],
            registry=registry,
        )
        self.rejections = Counter(
            "footfall_ingest_rejections",
            "Refused events by reason; operators: which kind of sender is broken, and how.",
            ["format", "reason"],
            registry=registry,
        )
        self.customers_refused = Counter(
            "footfall_customers_refused",
            "Customer ids such as `null` or `guest` taken out; operators: which kind of sender makes one of everybody.",
            ["format"],
            registry=registry,
        )
        self.redacted = Counter(
            "footfall_redacted",
            "E-mail addresses and card numbers taken out of events; operators: which shop sends what it should not.",
            ["kind"],
            registry=registry,
        )
        self.step_seconds = TalliedHistogram(
            "footfall_ingest_step_duration_seconds",
            "Time per request and ingestion step (decode, pipeline, commit); developers: which step got slow.",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.event_delay_seconds = TalliedHistogram(
            "footfall_event_delay_seconds",
            "Received minus occurred, oldest event of each request; dashboard builders: how late events arrive.",
            [],
            buckets=_DELAY_SECONDS,
            registry=registry,
        )
        self.stage_events = TalliedCounter(
            "footfall_stage_events",
            "Events received per default stage of the journey; operators: is one stage suddenly silent.",
            ["stage"],
            registry=registry,
        )
        self.buffer_events = Gauge(
            "footfall_buffer_events",
            "Events waiting for their commit; operators: are we keeping up.",
            registry=registry,
        )
        self.buffer_oldest_age_seconds = Gauge(
            "footfall_buffer_oldest_age_seconds",
            "How long the oldest waiting event has waited; operators: is Postgres hanging.",
            registry=registry,
        )
        self.flush_seconds = Histogram(
            "footfall_flush_duration_seconds",
            "Time of one grouped commit; operators: is Postgres the limit.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.flush_batch_events = Histogram(
            "footfall_flush_batch_events",
            "Events per grouped commit; developers: does grouping work.",
            buckets=_BATCH_EVENTS,
            registry=registry,
        )
        self.flush_failures = Counter(
            "footfall_flush_failures",
            "Grouped commits that failed; operators: alert on any increase.",
            ["reason"],
            registry=registry,
        )
        self.spool_events = Gauge(
            "footfall_spool_events",
            "Events on disk that wait for Postgres; operators: is Postgres away, do they drain.",
            registry=registry,
        )
        self.spool_bytes = Gauge(
            "footfall_spool_bytes",
            "Size of the spool's file; operators: how much of spool_max_bytes is left.",
            registry=registry,
        )
        self.spool_oldest_age_seconds = Gauge(
            "footfall_spool_oldest_age_seconds",
            "How long the oldest spooled event has waited; operators: alert when it grows while Postgres is well.",
            registry=registry,
        )
        self.spool_replayed = Counter(
            "footfall_spool_replayed_events",
            "Spooled events that have been stored since; operators: is the spool draining.",
            registry=registry,
        )
        self.spool_lost_events = Gauge(
            "footfall_spool_lost_events",
            "Spooled events that a damaged file did not give back, since the service started; operators: alert on any.",
            registry=registry,
        )
        self.ledger_imbalance = Gauge(
            "footfall_ledger_imbalance_events",
            "Events of the last 6 hours that are lost or counted twice; operators: alert on any.",
            registry=registry,
        )
        self.ledger_audit_difference = Gauge(
            "footfall_ledger_audit_difference_events",
            "By how many stored events table and ledger differed at the last hourly audit; operators: alert on any.",
            registry=registry,
        )
        self.partitions_ahead_months = Gauge(
            "footfall_partitions_ahead_months",
            "Whole months after the running one that have partitions; operators: alert below 2.",
            registry=registry,
        )
        self.mirror_lag_seconds = Gauge(
            "footfall_mirror_lag_seconds",
            "Time since the mirror last held everything Postgres had; operators: alert above a minute.",
            registry=registry,
        )
        self.mirror_events = Gauge(
            "footfall_mirror_events",
            "Events in the mirror; operators: compare with the event table.",
            registry=registry,
        )
        self.removed_events = Counter(
            "footfall_removed_events",
            "Stored events deleted on purpose, by this process; operators: does retention work.",
            ["cause"],
            registry=registry,
        )
        self.erasures_open = Gauge(
            "footfall_erasures_open",
            "Erasures of persons that are under way; operators: alert when above 0 for an hour.",
            registry=registry,
        )
        self.postgres_restarts = Gauge(
            "footfall_postgres_restarts",
            "Dead embedded Postgres started again, since the service started; operators: alert on any change.",
            registry=registry,
        )
        self.report_seconds = Histogram(
            "footfall_report_duration_seconds",
            "Time to work a report out; operators: which dashboard hurts.",
            ["report"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.report_cache = Counter(
            "footfall_report_cache",
            "Answers of reports that were at hand, worked out, or known to the client; operators: what polling costs.",
            ["outcome"],
            registry=registry,
        )
        # Published funnels have a storefront and a funnel in their labels: operators name both and choose each funnel,
        # and FOOTFALL_PUBLISHED_FUNNELS_MAX bounds them. Currencies come from events; reports/published.py bounds them.
        of_funnel = ["storefront", "funnel"]
        self.funnel_entered = Gauge(
            "footfall_funnel_entered",
            "Who entered a published funnel in its last complete period; shopkeepers: is there enough to go by.",
            of_funnel,
            registry=registry,
        )
        self.funnel_converted = Gauge(
            "footfall_funnel_converted",
            "Who of them reached its last step; shopkeepers: how is the shop doing.",
            of_funnel,
            registry=registry,
        )
        self.funnel_conversion_ratio = Gauge(
            "footfall_funnel_conversion_ratio",
            "Converted by entered, absent when nobody entered; shopkeepers: alert when it falls.",
            of_funnel,
            registry=registry,
        )
        self.funnel_reached = Gauge(
            "footfall_funnel_reached",
            "Who of them reached each step, by its number; shopkeepers: at which step are they lost.",
            [*of_funnel, "step"],
            registry=registry,
        )
        self.funnel_value = Gauge(
            "footfall_funnel_value",
            "Sum of the funnel's value at each step, per currency; shopkeepers: what is a step worth.",
            [*of_funnel, "step", "currency"],
            registry=registry,
        )
        self.funnel_period_start = Gauge(
            "footfall_funnel_period_start_timestamp_seconds",
            "Start of the period that a published funnel shows; shopkeepers: of which day are the numbers.",
            of_funnel,
            registry=registry,
        )
        self.funnel_refreshed = Gauge(
            "footfall_funnel_refreshed_timestamp_seconds",
            "When a published funnel was worked out last, 0: not yet; operators: alert when hours ago.",
            of_funnel,
            registry=registry,
        )
        self.funnel_refresh_failures = Counter(
            "footfall_funnel_refresh_failures",
            "Failed attempts to work out a published funnel, which keeps its last numbers; operators: see the log.",
            of_funnel,
            registry=registry,
        )
        self.http_seconds = TalliedHistogram(
            "footfall_http_request_duration_seconds",
            "The service as clients see it, by route template.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.connections_cut = Counter(
            "footfall_connections_cut",
            "Connections ended from our side; operators: slow or hostile clients, or connections_max too low.",
            ["reason"],
            registry=registry,
        )
        self.limited = Counter(
            "footfall_ingest_limited_requests",
            "Requests refused by a rate limit, of their key or of their network; operators: who sends too fast.",
            ["limit"],
            registry=registry,
        )
        self.shed = Counter(
            "footfall_ingest_shed_requests",
            "Requests refused before their body was read; operators: is the service overloaded.",
            ["reason"],
            registry=registry,
        )
        self.worker_up = Gauge(
            "footfall_worker_up",
            "Whether a worker answers the one that was asked, 1 or 0; operators: alert on 0.",
            ["worker"],
            registry=registry,
        )
        self.build_info = Gauge(
            "footfall_build_info",
            "Always 1; the labels say what is running.",
            ["version", "python"],
            registry=registry,
        )

    def announce(self, version: str) -> None:
        """Touch every label value once, so that zeros exist before the first event."""
        self.build_info.labels(version, platform.python_version()).set(1)
        for counter, values in (
            (self.redacted, ("email", "card")),
            (self.removed_events, ("erasure", "retention")),
            (self.report_cache, ("hit", "miss", "not_modified")),
        ):
            for value in values:
                counter.labels(value)

    def announce_ingest(
        self,
        *,
        formats: Iterable[str],
        outcomes: Iterable[str],
        reasons: Iterable[str],
        stages: Iterable[str],
        steps: Iterable[str],
        failures: Iterable[str],
    ) -> None:
        """As `announce`, for a process that takes events."""
        outcomes, reasons = tuple(outcomes), tuple(reasons)
        for format_name in formats:
            self.customers_refused.labels(format_name)
            for outcome in outcomes:
                self.events.labels(format_name, outcome)
            for reason in reasons:
                self.rejections.labels(format_name, reason)
        for stage in stages:
            self.stage_events.labels(stage)
        for step in steps:
            self.step_seconds.labels(step)
        for failure in failures:
            self.flush_failures.labels(failure)

    def leave_out(self, metrics: Iterable[Collector]) -> None:
        """What this process does not look after: a zero would be taken for an answer."""
        for metric in metrics:
            self.registry.unregister(metric)

    @property
    def of_tables(self) -> tuple[Collector, ...]:
        """What one process finds out for all."""
        return (self.ledger_imbalance, self.ledger_audit_difference, self.partitions_ahead_months)

    @property
    def of_reports(self) -> tuple[Collector, ...]:
        return (
            self.mirror_lag_seconds,
            self.mirror_events,
            self.report_seconds,
            self.report_cache,
            *self._of_funnels,
            self.funnel_refreshed,
            self.funnel_refresh_failures,
        )

    @property
    def _of_funnels(self) -> tuple[Gauge, ...]:
        """The numbers of those that are published."""
        return (
            self.funnel_entered,
            self.funnel_converted,
            self.funnel_conversion_ratio,
            self.funnel_reached,
            self.funnel_value,
            self.funnel_period_start,
        )

    def watch_buffer(self, events: Callable[[], float], oldest_age_seconds: Callable[[], float]) -> None:
        self.buffer_events.set_function(events)
        self.buffer_oldest_age_seconds.set_function(oldest_age_seconds)

    def watch_spool(
        self,
        *,
        events: Callable[[], float],
        size_bytes: Callable[[], float],
        oldest_age_seconds: Callable[[], float],
        lost: Callable[[], float],
    ) -> None:
        self.spool_events.set_function(events)
        self.spool_bytes.set_function(size_bytes)
        self.spool_oldest_age_seconds.set_function(oldest_age_seconds)
        self.spool_lost_events.set_function(lost)

    def watch_mirror(self, lag_seconds: Callable[[], float], events: Callable[[], float]) -> None:
        self.mirror_lag_seconds.set_function(lag_seconds)
        self.mirror_events.set_function(events)

    def announce_funnel(self, storefront: str, funnel: str) -> None:
        """One more is published, and not worked out yet."""
        self.funnel_refreshed.labels(storefront, funnel).set(0)
        self.funnel_refresh_failures.labels(storefront, funnel)

    def clear_funnel(self, storefront: str, funnel: str) -> None:
        """Take away its numbers, the new ones may have other steps and currencies."""
        for numbers in self._of_funnels:
            numbers.remove_by_labels({"storefront": storefront, "funnel": funnel})

    def forget_funnel(self, storefront: str, funnel: str) -> None:
        """It is no longer published."""
        self.clear_funnel(storefront, funnel)
        self.funnel_refreshed.remove(storefront, funnel)
        self.funnel_refresh_failures.remove(storefront, funnel)
