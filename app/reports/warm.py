"""Compiles the matchers before the first report has to wait for them (some seconds, then cached on disk)."""

import numpy as np

from app.match.actors import group_by_actor, person_ids
from app.match.chains import match_chains
from app.match.first import keep_firsts, no_firsts
from app.match.gaps import missing_before
from app.match.gates import Bits, blank_persons, resolve
from app.match.orders import OrderIds, find_reports
from app.match.picking import Asked, Picked, Source, in_order, pick
from app.match.presence import Spans, mark_presence, no_presence
from app.match.reach import reach_of
from app.match.reasons import why_stopped
from app.match.rules import NEVER, Exclusions, Lanes, Rules
from app.match.sessions import split_sessions
from app.match.timelines import Rows, changed_visitors, first_rows, timelines_of


def compile_matchers() -> None:
    """Runs every compiled function once, on one event."""
    one, mask = np.ones(1, np.int64), np.ones(1, np.uint64)
    number, none = np.zeros(1, np.int32), np.zeros(0, np.int64)
    persons = person_ids(one, one, one, one, one, one)
    missing_before(one, number + 1, one)
    keep_firsts(no_firsts(1), 1, number, persons, one, number, one, one)
    sequences = group_by_actor(persons, one, number, one, mask)
    rows = Rows(one - 1, number, one, number, one, np.zeros(1, np.bool_))
    asked = Asked(mask, one, one, 0, 1, 1, True)
    timelines = timelines_of(persons, rows)
    in_order(pick([Source(timelines, none)], asked), mask, number, one)
    first_rows(timelines, persons, 1, 1, include_bots=True)
    twice = np.ones(2, np.int64)
    masks = twice.view(np.uint64)
    in_order(Picked(2 * np.arange(2), one, np.ones(1, np.bool_), twice - 1, twice, masks), masks, number, one)
    changed_visitors(one, one, one, none, none, none)
    reports = find_reports(sequences, one, OrderIds(number + 1, number), 1)
    resolved = resolve(sequences.offsets, sequences.mask, Bits(number, number - 1, 1, np.uint64(1)), reports)
    blank_persons(sequences.offsets, resolved, 1, 0, 1)
    split_sessions(sequences.offsets, sequences.occurred_at_us, 1)
    nothing = number[:0]
    exclusions = Exclusions(nothing, nothing, np.zeros(1, np.int64), none, nothing, number + 1)
    rules = Rules(1, 0, 2, 1, False, False, False, one * NEVER, one - 1, np.zeros(1, np.bool_), exclusions)
    lanes, stop = Lanes(none, none, none, none), np.zeros(1, np.uint8)
    mark_presence(no_presence(1, 1), Spans(1, np.arange(2), one, one, number), persons, one, number, number, stop)
    match_chains(sequences, lanes, rules._replace(is_strict=True), stop)
    chains = match_chains(sequences, lanes, rules, stop)
    reach_of(chains, number, 1, one, rules, 0)
    for in_any_order in (False, True):
        targets = np.zeros(len(chains.depth), np.int64)
        why_stopped(targets, sequences, lanes, rules._replace(is_any_order=in_any_order), chains, stop)
