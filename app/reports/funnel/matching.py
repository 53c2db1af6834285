"""From a funnel definition to one result per actor: scan and match, shared by every report that is a funnel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.funnel import Actor, Count, Exclusion, FunnelDefinition, Order
from app.match.actors import group_by_actor, person_ids
from app.match.chains import match_chains
from app.match.gates import blank_persons, resolve
from app.match.orders import NO_REPORTS, OrderIds, OrderReports, find_reports
from app.match.picking import in_order
from app.match.rules import NEVER, Chains, Exclusions, Int64s, Lanes, Rules, Sequences, UInt64s
from app.match.sessions import split_sessions
from app.mirror.columns import Subject
from app.mirror.scan import Links, Matches, Scan, Whose
from app.reports.funnel.targets import Targets, targets_of
from app.reports.timelines import pick_wanted

NO_LANES = Lanes(*(np.zeros(0, np.int64) for _ in Lanes._fields))


@dataclass(frozen=True)
class Attempts:
    """One element per actor who entered (count = entries: per attempt), from which every answer is computed.

    now_us: what is open at this time is in progress.
    """

    definition: FunnelDefinition
    events: Matches
    find_person: Callable[[], Int64s]
    sequences: Sequences
    lanes: Lanes
    rules: Rules
    chains: Chains
    now_us: int

    @property
    def depth(self) -> npt.NDArray[np.int32]:
        """Steps reached, from 1."""
        return self.chains.depth

    @cached_property
    def person(self) -> Int64s:
        """By row of `events`; negative for customers."""
        return self.find_person()

    @cached_property
    def is_open(self) -> npt.NDArray[np.bool_]:
        """Whether it could still go further."""
        return (self.depth < len(self.definition.steps)) & (self.chains.open_until_us >= self.now_us)

    @property
    def is_past(self) -> bool:
        """Whether a time was asked for that has come, so that what was open then stays so."""
        return self.now_us == self.definition.as_of_us

    def positions(self, step_index: int) -> Int64s:
        """Per attempt the position of its event for the step in `sequences`; -1: not reached, or skipped."""
        found = np.full(len(self.depth), -1, np.int64)
        reached = self.reached(step_index)
        found[reached] = self.positions_of(reached, step_index)
        return found

    def only(self, chosen: npt.NDArray[np.bool_] | Int64s) -> "Attempts":
        """Some of them, by their numbers or a truth value each."""
        chains = self.chains
        some = Chains(
            chains.actor[chosen],
            chains.depth[chosen],
            chains.open_until_us[chosen],
            chains.start[chosen],
            chains.position,
        )
        return replace(self, chains=some)

    def reached(self, step_index: int) -> Int64s:
        """The attempts that reached the step."""
        return np.flatnonzero(self.depth > step_index)

    def positions_of(self, attempts: Int64s | slice, step_index: int) -> Int64s:
        """Of attempts that reached the step, the position of its event; -1: skipped."""
        return self.chains.position[self.chains.start[attempts] + step_index]

    def times_us(self, positions: Int64s) -> Int64s:
        return self.sequences.occurred_at_us[positions]

    def rows(self, positions: Int64s) -> Int64s:
        """Rows of `events`."""
        return self.sequences.row[positions]


def match_funnel(
    definition: FunnelDefinition, scan: Scan, *, include_bots: bool = False, whose: Whose | None = None
) -> Attempts:
    """Raises Invalid when the definition has more conditions than can be asked at once.

    whose: only events that name one of these.
    """
    targets = targets_of(definition)
    needs_all = definition.order is Order.STRICT or definition.actor is Actor.SESSION
    end_us = max([definition.last_us + 1, *(each.end_us for each in definition.persons)])
    all_from_us = definition.start_us if needs_all else None
    grouped = None
    if definition.as_of_us is None and definition.actor is not Actor.ACCOUNT and whose is None:
        grouped = _from_memory(targets, scan, end_us, all_from_us, include_bots=include_bots)
    if grouped is None:
        events = scan.matches(
            targets.wanted,
            end_us,
            include_bots=include_bots,
            every_event_from_us=all_from_us,
            with_account=definition.actor is Actor.ACCOUNT,
            as_of_us=definition.as_of_us,
            whose=whose,
        )
        grouped = _grouped(targets, events, persons_of(events, scan.links()))
    events, find_person, sequences = grouped
    sequences = _sequences(definition, targets, events, sequences, scan)
    steps = sequences.mask
    if not targets.are_steps_alone:
        steps = steps & np.uint64((1 << targets.step_count) - 1)
    rules = _rules(definition, _exclusions(definition, sequences.mask))
    lanes = _lanes(definition.same, sequences._replace(mask=steps), events, scan) if definition.same else NO_LANES
    sequences = sequences._replace(mask=steps)
    chains = match_chains(sequences, lanes, rules, scan.stop)
    now_us = scan.as_of_us if definition.as_of_us is None else min(definition.as_of_us, scan.as_of_us)
    return Attempts(definition, events, find_person, sequences, lanes, rules, chains, now_us)


def persons_of(events: Matches, links: Links) -> Int64s:
    """The person behind each event, see `person_ids`."""
    return person_ids(
        events.visitor_id,
        events.customer_id,
        events.occurred_at_us,
        links.visitor_id,
        links.customer_id,
        links.linked_at_us,
    )


class _Grouped(NamedTuple):
    """Events, whose they are, and how they follow each other; masks of what they can match."""

    events: Matches
    find_person: Callable[[], Int64s]
    sequences: Sequences


def _from_memory(
    targets: Targets, scan: Scan, end_us: int, all_from_us: int | None, *, include_bots: bool
) -> _Grouped | None:
    found = pick_wanted(scan, targets.wanted, end_us, every_event_from_us=all_from_us, include_bots=include_bots)
    if found is None:
        return None
    picked, rows = found
    events = Matches(
        picked.row_number, picked.occurred_at_us, picked.mask, lambda name: getattr(rows, name)[picked.row_number]
    )
    sequences = in_order(picked, step_mask(picked.mask, targets), rows.seq, rows.stored)
    return _Grouped(events, lambda: np.repeat(picked.person, np.diff(picked.offsets)), sequences)


def _grouped(targets: Targets, events: Matches, person: Int64s) -> _Grouped:
    can_match = step_mask(events.mask, targets)
    sequences = group_by_actor(person, events.occurred_at_us, events.seq, events.stored, can_match)
    return _Grouped(events, lambda: person, sequences)


def _sequences(
    definition: FunnelDefinition, targets: Targets, events: Matches, sequences: Sequences, scan: Scan
) -> Sequences:
    """The actors' events in order; bit t of the mask set = the event matches target t. sequences: the persons'."""
    if not targets.are_steps_alone:
        resolved = _resolved(definition, targets, events, sequences, scan)
        sequences = sequences._replace(mask=resolved)
    if definition.actor is Actor.SESSION:
        timeout_us = definition.session_timeout_us
        return sequences._replace(offsets=split_sessions(sequences.offsets, sequences.occurred_at_us, timeout_us))
    if definition.actor is Actor.ACCOUNT:
        mask_by_row = np.empty_like(sequences.mask)
        mask_by_row[sequences.row] = sequences.mask
        named = np.flatnonzero(events.account_id)
        grouped = group_by_actor(
            events.account_id[named],
            events.occurred_at_us[named],
            events.seq[named],
            events.stored[named],
            step_mask(events.mask[named], targets),
        )
        rows = named[grouped.row]
        return grouped._replace(row=rows, mask=mask_by_row[rows])
    return sequences


def step_mask(mask: UInt64s, targets: Targets) -> UInt64s:
    """Per event the steps it can match, gates and filters aside: what the order of ties goes by."""
    if targets.are_steps_alone:
        return mask
    steps = np.zeros_like(mask)
    for bit, target in enumerate(targets.bit_target):
        if target < targets.step_count:
            steps |= ((mask >> np.uint64(bit)) & np.uint64(1)) << np.uint64(target)
    return steps


def _resolved(
    definition: FunnelDefinition, targets: Targets, events: Matches, sequences: Sequences, scan: Scan
) -> UInt64s:
    """What the events match in the light of what their persons did before, and did at all."""
    mask = events.mask[sequences.row]
    reports = _order_reports(targets, events, sequences._replace(mask=mask), scan)
    wanted = unwanted = 0
    for place, each in enumerate(definition.persons):
        target = targets.first_filter + place
        outside = (sequences.occurred_at_us < each.start_us) | (sequences.occurred_at_us >= each.end_us)
        for bit in (bit for bit, of in enumerate(targets.bit_target) if of == target):
            mask[outside] &= ~np.uint64(1 << bit)
        wanted |= each.did << target
        unwanted |= (not each.did) << target
    resolved = resolve(sequences.offsets, mask, targets.bits(), reports)
    if definition.persons:
        steps = (1 << targets.step_count) - 1
        blank_persons(sequences.offsets, resolved, wanted, unwanted, steps)
    return resolved


def _order_reports(targets: Targets, events: Matches, sequences: Sequences, scan: Scan) -> OrderReports:
    """Where it matters which order an event reports; else none."""
    if not targets.once_bits:
        return NO_REPORTS
    known = scan.order_ids()
    return find_reports(sequences, events.row_number, OrderIds(known.row_number, known.ids.codes), targets.order_bits)


def _rules(definition: FunnelDefinition, exclusions: Exclusions) -> Rules:
    return Rules(
        step_count=len(definition.steps),
        start_us=definition.start_us,
        end_us=definition.end_us,
        window_us=definition.conversion_window_us,
        is_strict=definition.order is Order.STRICT,
        is_any_order=definition.order is Order.ANY_ORDER,
        counts_entries=definition.count is Count.ENTRIES,
        within_us=np.array([NEVER if s.within_us is None else s.within_us for s in definition.steps], np.int64),
        not_before_us=np.array([step.not_before_us for step in definition.steps], np.int64),
        optional=np.array([step.optional for step in definition.steps], np.bool_),
        exclusions=exclusions,
    )


def _exclusions(definition: FunnelDefinition, mask: UInt64s) -> Exclusions:
    step_count = len(definition.steps)
    found = [
        np.flatnonzero((mask >> np.uint64(step_count + place)) & np.uint64(1))
        for place in range(len(definition.exclude))
    ]
    return exclusions_at(definition.exclude, found, step_count)


def exclusions_at(exclude: Sequence[Exclusion], found: Sequence[Int64s], step_count: int) -> Exclusions:
    """found: the positions of each one's events."""
    limits = sorted({each.before_step for each in exclude if _spans_steps(each)} | {step_count})
    return Exclusions(
        after_step=np.array([each.after_step for each in exclude], np.int32),
        before_step=np.array([each.before_step for each in exclude], np.int32),
        offsets=np.cumsum([0, *map(len, found)]).astype(np.int64),
        position=np.concatenate([np.zeros(0, np.int64), *found]),
        taint=np.array(
            [limits.index(e.before_step) if _spans_steps(e) else len(limits) - 1 for e in exclude], np.int32
        ),
        limits=np.array(limits, np.int32),
    )


def _spans_steps(exclusion: Exclusion) -> bool:
    """Whether a chain can have an excluded event in it and still go on, as far as the step before before_step."""
    return exclusion.before_step - exclusion.after_step > 1


def _lanes(same: tuple[str, ...], sequences: Sequences, events: Matches, scan: Scan) -> Lanes:
    """Lanes of events that match a step, by the values of the properties; one without a value has a lane of its own."""
    position = np.flatnonzero(sequences.mask)
    row_numbers = events.row_number[sequences.row[position]]
    lane, is_whole = np.zeros(len(position), np.int64), np.ones(len(position), np.bool_)
    for name in same:
        codes = scan.column(Subject(name)).codes[row_numbers]
        is_whole &= codes >= 0
        _, lane = np.unique(lane * (codes.max(initial=-1) + 2) + codes + 1, return_inverse=True)
    by_position = np.zeros(len(sequences.row), np.int64)
    by_position[position] = np.where(is_whole, lane, -1 - position)
    return lanes_of(position, by_position, sequences.offsets)


def lanes_of(position: Int64s, lane: Int64s, offsets: Int64s) -> Lanes:
    """position: those that are in a lane, ascending. lane: by position. offsets: of the actors."""
    actor_offsets = np.searchsorted(position, offsets)
    actor = np.repeat(np.arange(len(actor_offsets) - 1), np.diff(actor_offsets))
    order = np.lexsort((position, lane[position], actor))
    place = np.full(len(lane), -1, np.int64)
    place[position[order]] = np.arange(len(position))
    return Lanes(actor_offsets, position[order], lane, place)
