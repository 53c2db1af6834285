"""The first event of a person ever: what brought them, however long before they entered a funnel."""

import numpy as np

from app.match.first import keep_firsts, no_firsts
from app.match.rules import Int64s
from app.mirror.scan import Scan
from app.reports.funnel.matching import Attempts, persons_of
from app.reports.timelines import first_touches


def first_touch_rows(attempts: Attempts, scan: Scan, *, include_bots: bool) -> Int64s:
    """Per attempt the row_number of the first event, of any name, of the person who entered.

    First by time, seq, then the order of storing: what an event is to the steps decides nothing here, so that a person
    has the same first touch in every funnel.
    """
    entered = attempts.person[attempts.rows(attempts.positions(0))]
    persons, of_attempt = np.unique(entered, return_inverse=True)
    if not len(persons):
        return np.zeros(0, np.int64)
    definition, links = attempts.definition, scan.links()
    if definition.as_of_us is None:
        found = first_touches(scan, persons, definition.end_us, include_bots=include_bots)
        if found is not None:
            return found[of_attempt]
    lowest, highest = int(persons[0]), int(persons[-1])
    place = np.full(highest - lowest + 1, -1, np.int32)
    place[persons - lowest] = np.arange(len(persons))
    firsts = no_firsts(len(persons))
    for events in scan.every_event(definition.end_us, include_bots=include_bots, as_of_us=definition.as_of_us):
        person = persons_of(events, links)
        keep_firsts(firsts, lowest, place, person, events.occurred_at_us, events.seq, events.stored, events.row_number)
    return firsts.row_number[of_attempt]
