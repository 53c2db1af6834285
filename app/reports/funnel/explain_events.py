"""Which events the persons of a funnel had done when they stood at a step, and how many of them converted."""

from collections.abc import Iterator
from heapq import nsmallest
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.funnel import FunnelDefinition
from app.match.presence import Spans, mark_presence, no_presence, spans_with
from app.match.rules import Int32s, Int64s
from app.mirror.columns import Column
from app.mirror.scan import Scan
from app.reports.funnel.matching import persons_of
from app.reports.funnel.next_events import EVENT
from app.reports.funnel.traits import Counted, Skip, SkipReason, Trait, TraitKind

EVENT_NAMES_MAX = 256  # tested; a bit each per attempt

Bools = npt.NDArray[np.bool_]


class Histories(NamedTuple):
    """Per attempt whose events are looked at, from when on, and before which event: its time and sequence number."""

    person: Int64s
    from_us: Int64s
    until_us: Int64s
    until_seq: Int32s


def count_events(
    histories: Histories,
    is_converted: Bools,
    definition: FunnelDefinition,
    scan: Scan,
    *,
    min_support_count: int,
    include_bots: bool,
) -> tuple[list[Counted], list[Skip]]:
    """Of every name but those that the steps name, whatever their conditions."""
    event = scan.column(EVENT)
    step_names = {alternative.event_name for step in definition.steps for alternative in step.any_of}
    codes, skipped = _names(event, step_names, min_support_count)
    if not len(histories.person) or not codes:
        return [], skipped
    kind_of_code = np.full(len(event.texts), -1, np.int32)
    kind_of_code[codes] = np.arange(len(codes))
    order = np.lexsort((histories.from_us, histories.person))
    sorted_columns: Iterator[Any] = (column[order] for column in histories)
    spans = _spans(Histories(*sorted_columns))
    present = no_presence(len(order), len(codes))
    links = scan.links()
    for events in scan.every_event(
        int(spans.until_us.max()) + 1,
        start_us=int(spans.from_us.min()),
        include_bots=include_bots,
        as_of_us=definition.as_of_us,
    ):
        person = persons_of(events, links)
        kind = kind_of_code[event.codes[events.row_number]]
        mark_presence(present, spans, person, events.occurred_at_us, events.seq, kind, scan.stop)
    converted = is_converted[order]
    counted = []
    for kind_number, code in enumerate(codes):
        have = spans_with(present, kind_number)
        trait = Trait(TraitKind.EVENT, event.texts[code])
        counted.append(Counted(trait, int(have.sum()), int((have & converted).sum())))
    return counted, skipped


def _names(event: Column, step_names: set[str], min_support_count: int) -> tuple[list[int], list[Skip]]:
    """Codes of the most frequent ones, and those beyond; what there are too few of in all is left out of both."""
    counts = np.bincount(event.codes[event.codes >= 0], minlength=len(event.texts))
    frequent = np.flatnonzero(counts >= min_support_count).tolist()
    named = [(-int(counts[code]), event.texts[code], code) for code in frequent]
    candidates = [each for each in named if each[1] not in step_names]
    chosen = nsmallest(EVENT_NAMES_MAX, candidates)
    beyond = {each[1] for each in candidates} - {each[1] for each in chosen}
    skipped = [Skip(TraitKind.EVENT, name, None, SkipReason.TOO_MANY_EVENTS) for name in sorted(beyond)]
    return [code for _, _, code in chosen], skipped


def _spans(histories: Histories) -> Spans:
    """histories: by person, then from_us."""
    lowest = int(histories.person[0])
    counts = np.bincount(histories.person - lowest)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Spans(lowest, offsets, histories.from_us, histories.until_us, histories.until_seq)
