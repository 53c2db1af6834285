"""Why actors stopped at a step (semantics, section 3, rule 9): one reason for each who dropped.

The reason is about the next step that is not optional (the last one where all that follow are), and about the events of
the actor that match it, as the reported chain sees them; e is the chain's event for the step at which it stopped. What
counts is the first of these that is true:

- excluded: an event was early enough and else right, but an excluded event came before it (which, and when).
- too_late: an event came after e, but after the window or `within` had ended; by how much, the first of them. Events
  are known until now, not only to the end of the window.
- too_early: an event came after e, sooner than `not_before` allows.
- other_same: an event came in time, but with another value of `same`, or none. For all other reasons only events with
  the values of the chain count.
- not_next: an event came in time, but the steps are strict and another event came between.
- before: an event came before e only (since the start of the range; of an attempt, since its entry), and is not part
  of the chain itself.
- never: none of these.

In any order the reason is about all steps that are missing, and an event is before when it came before the chain's
first one. A session is looked at to its own end, and no further than the end of the range and the window.
"""

from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.funnel import Actor, Count, FunnelDefinition, Order
from app.match.reasons import TOO_LATE, UInt8s, Whys, why_stopped
from app.match.rules import NEVER, Int64s, UInt64s
from app.mirror.columns import Subject
from app.mirror.scan import TIME_MAX_US, Scan
from app.reports.funnel.matching import Attempts, match_funnel


class ReasonName(StrEnum):
    """In the order of the codes."""

    EXCLUDED = "excluded"
    TOO_LATE = "too_late"
    TOO_EARLY = "too_early"
    OTHER_SAME = "other_same"
    NOT_NEXT = "not_next"
    BEFORE = "before"
    NEVER = "never"


REASONS = tuple(ReasonName)


class Reasons(NamedTuple):
    """One element per attempt. code: place in REASONS. late_us: of those too late. excluded_row: row_number of the
    excluded event, or -1. missing: in any order the steps without an event, as bits."""

    code: UInt8s
    late_us: Int64s
    excluded_row: Int64s
    missing: UInt64s


def find_reasons(stopped: Attempts, scan: Scan, *, include_bots: bool) -> Reasons:
    """stopped: attempts that have all dropped."""
    targets = next_steps(stopped.definition)[stopped.depth]
    parts = (stopped.sequences, stopped.lanes, stopped.rules, stopped.chains)
    whys = why_stopped(targets, *parts, scan.stop)
    _find_later(stopped, targets, whys, scan, include_bots=include_bots)
    row = np.full(len(whys.code), -1, np.int64)
    has_row = whys.excluded_position >= 0
    row[has_row] = stopped.events.row_number[stopped.rows(whys.excluded_position[has_row])]
    return Reasons(whys.code, whys.late_us, row, whys.missing)


def next_steps(definition: FunnelDefinition) -> Int64s:
    """By depth, the index of the step that a reason is about; the last element stands for those who converted."""
    count = len(definition.steps)
    required = [index for index, step in enumerate(definition.steps) if not step.optional]
    found = [next((index for index in required if index >= depth), count - 1) for depth in range(count)]
    return np.array([*found, count - 1], np.int64)


def _find_later(stopped: Attempts, targets: Int64s, whys: Whys, scan: Scan, *, include_bots: bool) -> None:
    """What came after everything that the funnel itself had to read is too late for everybody."""
    definition = stopped.definition
    if definition.actor is Actor.SESSION:
        return
    in_any_order = definition.order is Order.ANY_ORDER
    last, entry = last_positions(stopped), stopped.positions(0)
    for index, step in enumerate(definition.steps):
        has_no_event = (whys.missing >> np.uint64(index)) & np.uint64(1) == 1 if in_any_order else targets == index
        may_be_later = whys.code >= TOO_LATE if in_any_order else whys.code > TOO_LATE
        asked = np.flatnonzero(has_no_event & may_be_later)
        if not len(asked):
            continue
        within_us = NEVER if step.within_us is None else step.within_us
        due_us = np.minimum(
            stopped.times_us(entry[asked]) + definition.conversion_window_us, stopped.times_us(last[asked]) + within_us
        )
        late_us = _first_later_us(stopped.only(asked), index, scan, include_bots=include_bots) - due_us
        found = late_us < NEVER // 2
        known = np.where(whys.code[asked] == TOO_LATE, whys.late_us[asked], NEVER)
        whys.late_us[asked[found]] = np.minimum(late_us, known)[found]
        whys.code[asked[found]] = TOO_LATE


def _first_later_us(asking: Attempts, step_index: int, scan: Scan, *, include_bots: bool) -> Int64s:
    """Per attempt when its actor did the step first after the last window had closed; NEVER: not until now.

    A funnel of this step alone, in which every event counts, finds all of them.
    """
    definition = asking.definition
    step = replace(definition.steps[step_index], within_us=None, not_before_us=0, optional=False)
    alone = FunnelDefinition(
        steps=(step,),
        start_us=definition.last_us + 1,
        end_us=TIME_MAX_US - 1,
        conversion_window_us=0,
        actor=definition.actor,
        count=Count.ENTRIES,
        persons=definition.persons if definition.actor is Actor.ACCOUNT else (),  # else all have passed them
        as_of_us=definition.as_of_us,
    )
    later = match_funnel(alone, scan, include_bots=include_bots)
    who, who_later = _same_numbers(
        [actor_ids(asking), actor_ids(later)],
        *([_codes(attempts, name, scan) for attempts in (asking, later)] for name in definition.same),
    )
    first_us = np.full(max(who.max(initial=0), who_later.max(initial=0)) + 1, NEVER, np.int64)
    np.minimum.at(first_us, who_later[who_later >= 0], later.times_us(later.positions(0))[who_later >= 0])
    return np.where(who >= 0, first_us[who], NEVER)


def actor_ids(attempts: Attempts) -> Int64s:
    """Per attempt the account, or the person, negative for customers."""
    rows = attempts.rows(attempts.positions(0))
    is_account = attempts.definition.actor is Actor.ACCOUNT
    return attempts.events.account_id[rows] if is_account else attempts.person[rows]


def _codes(attempts: Attempts, property_name: str, scan: Scan) -> Int64s:
    """Of the property, per attempt that of its entry; -1: not set."""
    rows = attempts.rows(attempts.positions(0))
    codes = scan.column(Subject(property_name)).codes[attempts.events.row_number[rows]]
    return codes.astype(np.int64)


def _same_numbers(ids: list[Int64s], *codes: list[Int64s]) -> tuple[Int64s, Int64s]:
    """One number per element of either array of ids: the same where id and codes are; -1 where a code is not set."""
    length = len(ids[0])
    _, number = np.unique(np.concatenate(ids), return_inverse=True)
    is_set = np.ones(len(number), np.bool_)
    for pair in codes:
        code = np.concatenate(pair)
        is_set &= code >= 0
        _, number = np.unique(number * (code.max(initial=0) + 2) + code + 1, return_inverse=True)
    number = np.where(is_set, number, -1)
    return number[:length], number[length:]


def last_positions(attempts: Attempts) -> Int64s:
    """Per attempt the position of its chain's last event."""
    chains = attempts.chains
    found: npt.NDArray[np.int64] = chains.position[chains.start + chains.depth - 1]
    return found
