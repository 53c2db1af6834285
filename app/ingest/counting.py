"""Counts what became of a request's events, by outcome, reason and stage."""

from collections import Counter

from app.domain.outcome import Outcome, Rejection, RejectReason
from app.domain.stages import DEFAULT_STAGES
from app.ingest.content import Content
from app.ingest.formats.base import Decoded, IngestResult, RequestContext, WireFormat
from app.metrics import Metrics

# First stage that an event name means, for the metric that shows a stage gone silent.
STAGE_OF_EVENT = {rule.event_name: stage.name for stage in reversed(DEFAULT_STAGES) for rule in stage.rules}

INGEST_STEPS = ("decode", "pipeline", "commit")


class Counting:
    """Of one wire format. Keeps its metrics at hand: finding a labelled child costs more than counting."""

    def __init__(self, wire_format: WireFormat, metrics: Metrics) -> None:
        self._name = wire_format.name
        self._metrics = metrics
        self._outcomes = {outcome: metrics.events.labels(wire_format.name, outcome) for outcome in Outcome}
        self._seconds = {step: metrics.step_seconds.labels(step) for step in INGEST_STEPS}
        self._delay = metrics.event_delay_seconds.labels()
        self._stages = {name: metrics.stage_events.labels(stage) for name, stage in STAGE_OF_EVENT.items()}

    def count(self, content: Content, result: IngestResult, context: RequestContext, *, commit_seconds: float) -> None:
        self._seconds["commit"].observe(commit_seconds)
        if content.fault is None:
            self._seconds["decode"].observe(content.decode_seconds)
            self._seconds["pipeline"].observe(content.pipeline_seconds)
        self._count_outcomes(content.decoded, result, context)

    def _count_outcomes(self, decoded: Decoded, result: IngestResult, context: RequestContext) -> None:
        metrics, name, events = self._metrics, self._name, decoded.events
        for outcome in set(result.outcomes):
            counted_as = Outcome.BOT if context.is_bot and outcome is Outcome.STORED else outcome
            self._outcomes[counted_as].inc(result.count(outcome))
        for rejection in result.rejections:
            metrics.rejections.labels(name, rejection.reason).inc()
        if decoded.customers_refused:
            metrics.customers_refused.labels(name).inc(decoded.customers_refused)
        for kind, count in decoded.redacted.items():
            metrics.redacted.labels(kind).inc(count)
        for event_name, count in Counter([event.event_name for event in events]).items():
            if (stage := self._stages.get(event_name)) is not None:
                stage.inc(count)
        if events:
            oldest = min([event.occurred_at for event in events])
            self._delay.observe(max(0.0, (context.received_at - oldest).total_seconds()))


def result_of(decoded: Decoded, stored: list[Outcome]) -> IngestResult:
    """Puts the outcomes of the commit and the refusals together, by place in the request."""
    if len(stored) == decoded.received_count and Outcome.REJECTED not in stored:
        return IngestResult(stored, [event.event_id for event in decoded.events], [], decoded.for_reply)
    outcomes = [Outcome.REJECTED] * decoded.received_count
    event_ids: list[str | None] = [None] * decoded.received_count
    rejections = list(decoded.rejections)
    for index in decoded.no_consent:
        outcomes[index] = Outcome.NO_CONSENT
    for index, event, outcome in zip(decoded.indexes, decoded.events, stored, strict=True):
        outcomes[index] = outcome
        if outcome is Outcome.REJECTED:
            detail = "The database can't hold this event; it is kept for inspection."
            rejections.append(Rejection(index, RejectReason.UNSTORABLE, "", detail, b""))
        else:
            event_ids[index] = event.event_id
    return IngestResult(outcomes, event_ids, rejections, decoded.for_reply)
