"""What explains a step: what those who reached it had done and had been more, or less, often than those who did not.

Associated, not caused. The comparison looks ahead nowhere: everybody is looked at as of the moment they first stood at
the last step before the one to explain (one that can't be skipped), with what was known then. That is the events of the
person from one conversion window before the entry until that moment, and what the entry and that step's event say. What
came later belongs to the outcome: who went on at once had less time for other events than who stayed.

Attempts whose window is still open are left out, whether they have converted or not: were only those left out who may
yet convert, all who came lately would seem to convert. Attempts count as independent of each other: with sessions or
entries, where a person has several, the p-values are too small.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from app.domain.funnel import Count, FunnelDefinition, Order
from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.errors import FieldError, Invalid
from app.match.rules import Int64s
from app.mirror.scan import Scan
from app.reports.base import NEVER_US, ReportResult
from app.reports.conditions import Params
from app.reports.funnel.breakdown import SIGNIFICANT_BELOW
from app.reports.funnel.explain_events import Histories, count_events
from app.reports.funnel.explain_values import count_values
from app.reports.funnel.factors import Factor, factors_of
from app.reports.funnel.matching import Attempts, match_funnel
from app.reports.funnel.params import FunnelParams
from app.reports.funnel.questions import StepNumber
from app.reports.funnel.standing import Standing, stood_at
from app.reports.funnel.steps import label_of
from app.reports.funnel.traits import Counted, Skip, SkipReason, TraitKind, TraitOf
from app.reports.tables import Table, table_of

FACTORS_MAX = 100
SKIPPED_MAX = 100
SUPPORT_MAX = 1_000_000

Bools = npt.NDArray[np.bool_]


class ExplainQuery(Params):
    step: Annotated[
        StepNumber | None, Field(description="number of the step to explain, from 2; by default the last one")
    ] = None
    limit: Annotated[int, Field(ge=1, le=FACTORS_MAX, description="in each of the two lists")] = 20
    min_support_count: Annotated[
        int,
        Field(ge=1, le=SUPPORT_MAX, description="of attempts that have what is tested, and of those that lack it"),
    ] = 30


class ExplainParams(BaseModel):
    funnel: FunnelParams
    query: ExplainQuery


class Skipped(BaseModel):
    """no_comparison: nothing that enough of them have and enough lack."""

    kind: TraitKind
    name: str
    of: TraitOf | None
    reason: SkipReason


class ExplainResult(ReportResult):
    """Of those who reached step from_step_number, the converted reached the step to explain and the dropped did not.
    open_count: left out, as their window is still open; open_converted_count: of these, converted already.
    tested_count: what the p-values are adjusted for. more_likely, less_likely: significant ones, the surest first.
    skipped_count: also of those that the list has no room for."""

    step_number: int
    label: str
    from_step_number: int
    from_label: str
    population_count: int
    converted_count: int
    dropped_count: int
    conversion_ratio: float | None
    open_count: int
    open_converted_count: int
    tested_count: int
    more_likely: list[Factor]
    less_likely: list[Factor]
    skipped: list[Skipped]
    skipped_count: int

    def table(self) -> Table:
        """A row for each of those more likely and less likely; what was skipped is left out."""
        rows = [({"direction": "more_likely"}, each) for each in self.more_likely]
        rows += [({"direction": "less_likely"}, each) for each in self.less_likely]
        return table_of(Factor, rows, direction=str)


class ExplainReport:
    name = "explain"
    Params = ExplainParams
    Result = ExplainResult

    def run(self, params: ExplainParams, scan: Scan, storefront: Storefront) -> ExplainResult:
        definition, query = params.funnel.definition(storefront), params.query
        include_bots = params.funnel.include_bots
        step_index = _step_index(definition, query.step)
        from_index = _last_sure_step(definition, step_index)
        everybody = match_funnel(definition, scan, include_bots=include_bots)
        reached = everybody.only(everybody.reached(from_index))
        closes_us = _closes_us(reached)
        is_open = closes_us >= reached.now_us
        attempts = reached.only(~is_open)
        is_converted = attempts.depth > step_index
        standing = stood_at(attempts, from_index, scan.stop)
        counted, skipped = _count(attempts, standing, is_converted, scan, query.min_support_count, include_bots)
        population_count, converted_count = len(is_converted), int(is_converted.sum())
        tested = factors_of(counted, population_count, converted_count, query.min_support_count)
        significant = [each for each in tested if each.p_value_adjusted < SIGNIFICANT_BELOW]
        more_likely = [each for each in significant if each.odds_ratio > 1]
        less_likely = [each for each in significant if each.odds_ratio < 1]
        return ExplainResult(
            as_of=from_us(everybody.now_us),
            events_read=scan.events_read,
            step_number=step_index + 1,
            label=label_of(everybody, step_index),
            from_step_number=from_index + 1,
            from_label=label_of(everybody, from_index),
            population_count=population_count,
            converted_count=converted_count,
            dropped_count=population_count - converted_count,
            conversion_ratio=converted_count / population_count if population_count else None,
            open_count=int(is_open.sum()),
            open_converted_count=int((reached.depth[is_open] > step_index).sum()),
            tested_count=len(tested),
            # By the end of the interval that is nearest to no effect, so that few with a wild ratio don't come first.
            more_likely=sorted(more_likely, key=lambda each: -each.odds_ratio_low)[: query.limit],
            less_likely=sorted(less_likely, key=lambda each: each.odds_ratio_high)[: query.limit],
            skipped=[Skipped.model_validate(each._asdict()) for each in skipped[:SKIPPED_MAX]],
            skipped_count=len(skipped),
        ).stays_valid_until(_valid_until_us(everybody, closes_us[is_open], scan))


EXPLAIN = ExplainReport()


def _step_index(definition: FunnelDefinition, step_number: int | None) -> int:
    """Raises Invalid for a step that the funnel does not have, or that has none before it."""
    count = len(definition.steps)
    if count < 2:  # a step and one before it
        detail = "The funnel has one step; give it another one, to be reached or not."
    elif step_number == 1:
        detail = f"Everybody in the funnel has reached step 1; name one from 2 to {count}."
    elif step_number is not None and step_number > count:
        detail = f"The funnel has {count} steps."
    else:
        return (step_number or count) - 1
    raise Invalid("There is nothing to explain at this step.", errors=[FieldError(detail, "/query/step")])


def _last_sure_step(definition: FunnelDefinition, step_index: int) -> int:
    """The last one before it that is not optional: only who went on counts as having reached one that they skipped."""
    return max(index for index in range(step_index) if not definition.steps[index].optional)


def _closes_us(attempts: Attempts) -> Int64s:
    """Until when each could convert, whether or not it has: the window of its latest entry, or of its own."""
    definition, sequences = attempts.definition, attempts.sequences
    if definition.count is Count.ENTRIES:
        latest = attempts.positions(0)
    else:
        mask, times = sequences.mask, sequences.occurred_at_us
        begins = mask != 0 if definition.order is Order.ANY_ORDER else mask & np.uint64(1) != 0
        entries = np.flatnonzero(begins & (times >= definition.start_us) & (times < definition.end_us))
        following = np.searchsorted(entries, sequences.offsets[attempts.chains.actor + 1])
        latest = entries[following - 1]
    return attempts.times_us(latest) + definition.conversion_window_us


def _valid_until_us(everybody: Attempts, closes_us: Int64s, scan: Scan) -> int:
    """closes_us: of those left out as open, who come in with time."""
    asked_us = everybody.definition.as_of_us
    if asked_us is not None and asked_us <= scan.as_of_us:
        return NEVER_US
    return int(closes_us.min(initial=NEVER_US if asked_us is None else asked_us))


def _count(
    attempts: Attempts,
    standing: Standing,
    is_converted: Bools,
    scan: Scan,
    min_support_count: int,
    include_bots: bool,
) -> tuple[list[Counted], list[Skip]]:
    definition, events = attempts.definition, attempts.events
    entry_row, step_row = attempts.rows(standing.entry), attempts.rows(standing.step)
    histories = Histories(
        person=attempts.person[entry_row],
        from_us=attempts.times_us(standing.entry) - definition.conversion_window_us,
        until_us=attempts.times_us(standing.step),
        until_seq=events.seq[step_row],
    )
    parts = [
        count_events(
            histories,
            is_converted,
            definition,
            scan,
            min_support_count=min_support_count,
            include_bots=include_bots,
        )
    ]
    ofs = [(TraitOf.ENTRY, entry_row)] + [(TraitOf.STEP, step_row)] * bool((standing.step != standing.entry).any())
    for of, rows in ofs:
        row_numbers = events.row_number[rows]
        parts.append(count_values(row_numbers, of, is_converted, scan, min_support_count=min_support_count))
    return [each for counted, _ in parts for each in counted], [each for _, skipped in parts for each in skipped]
