"""The hot path's counters look to Prometheus as its own client's do."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.tallies import TalliedCounter, TalliedHistogram

BUCKETS = (0.001, 0.5, 10)


def exposed(registry: CollectorRegistry) -> set[object]:
    """Every sample; those on when a series was made, which only the client's own have, left out."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (
            family.name,
            family.type,
            family.documentation,
            sample.name,
            tuple(sorted(sample.labels.items())),
            sample.value,
        )
        for family in families
        for sample in family.samples
        if not family.name.endswith("_created")
    }


def test_a_histogram_reads_as_the_clients_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallied = TalliedHistogram("took_seconds", "How long.", ["step"], BUCKETS, ours)
    histogram = Histogram("took_seconds", "How long.", ["step"], buckets=BUCKETS, registry=theirs)
    for value in (0.0, 0.001, 0.0011, 0.5, 9.99, 10.0, 11.0, 1e9):
        tallied.labels("decode").observe(value)
        histogram.labels("decode").observe(value)
    tallied.labels("never")
    histogram.labels("never")

    assert exposed(ours) == exposed(theirs)


def test_a_counter_reads_as_the_clients_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallied = TalliedCounter("events", "How many.", ["outcome"], ours)
    counter = Counter("events", "How many.", ["outcome"], registry=theirs)
    for series in (tallied.labels("stored"), counter.labels("stored")):
        series.inc()
        series.inc(41)
    tallied.labels("none")
    counter.labels("none")

    assert exposed(ours) == exposed(theirs)


def test_asking_for_a_series_again_gives_the_same_one() -> None:
    tallied = TalliedCounter("events", "How many.", ["outcome"], CollectorRegistry())

    tallied.labels("stored").inc()

    assert tallied.labels("stored").value == 1
