"""What is picked from persons' events held in order, and what decides between those at the same time."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from app.match import picking as module
from app.match.picking import Asked, Picked, Source, in_order, pick
from app.match.timelines import Timelines
from tests.unit.match.held import ADDED, BOUGHT, FOREVER, VIEWED, Event, timelines

NOBODY = np.zeros(0, np.int64)


def split_into(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "parts_of", lambda _: parts)


# What is picked


def asked(
    *names: tuple[int, int, int],
    every_from: int = FOREVER,
    end: int = FOREVER,
    row_count: int = FOREVER,
    include_bots: bool = False,
) -> Asked:
    """names: the mask of each, and from when to when it is wanted."""
    mask, start, to = np.array([*names, *[(0, 0, 0)] * (3 - len(names))], np.int64).T
    return Asked(mask.astype(np.uint64), start, to, every_from, end, row_count, include_bots)


def picked(held: Timelines, wanted: Asked, left_out: Sequence[int] = ()) -> dict[int, list[tuple[int, int, int]]]:
    """By person the row_number, time and mask of each event. left_out: places."""
    return by_person(pick([Source(held, np.array(left_out, np.int64))], wanted))


def by_person(found: Picked) -> dict[int, list[tuple[int, int, int]]]:
    columns = (found.row_number, found.occurred_at_us, found.mask)
    events = list(zip(*(column.tolist() for column in columns), strict=True))
    bounds = found.offsets.tolist()
    assert (bounds[0], bounds[-1], len(bounds)) == (0, len(events), len(found.person) + 1)
    assert found.is_tied.tolist() == are_tied(found.offsets.tolist(), found.occurred_at_us.tolist())
    return {person: events[bounds[i] : bounds[i + 1]] for i, person in enumerate(found.person.tolist())}


def are_tied(offsets: Sequence[int], at: Sequence[int]) -> list[bool]:
    return [len(set(at[start:end])) < end - start for start, end in pairwise(offsets)]


def numbers(held: Timelines, wanted: Asked, left_out: Sequence[int] = ()) -> list[int]:
    return [number for events in picked(held, wanted, left_out).values() for number, _, _ in events]


def test_events_of_wanted_names_are_picked_with_their_masks_and_persons_without_any_left_out() -> None:
    held = timelines(
        Event(1, 3, ADDED), Event(1, 4, BOUGHT), Event(1, 2, VIEWED), Event(2, 1, BOUGHT), Event(3, 1, ADDED)
    )
    wanted = asked((1, 0, FOREVER), (2, 0, FOREVER))
    assert picked(held, wanted) == {1: [(2, 2, 1), (0, 3, 2)], 3: [(4, 1, 2)]}


def test_a_name_is_wanted_from_a_time_on_and_not_any_more_at_another() -> None:
    held = timelines(*(Event(1, at) for at in range(10, 15)))
    assert numbers(held, asked((1, 11, 13))) == [1, 2]


def test_every_event_is_wanted_from_a_time_on_with_the_mask_of_its_name_or_none() -> None:
    held = timelines(Event(1, 1, ADDED), Event(1, 2, VIEWED), Event(1, 3, ADDED), Event(1, 4, VIEWED))
    assert picked(held, asked((4, 0, 2), every_from=3)) == {1: [(2, 3, 0), (3, 4, 4)]}


def test_nothing_is_wanted_at_the_end_or_later() -> None:
    held = timelines(Event(1, 5), Event(1, 6), Event(1, 5, ADDED), Event(1, 6, ADDED))
    assert numbers(held, asked((1, 0, FOREVER), end=6)) == [0]
    assert numbers(held, asked((1, 0, 0), end=6, every_from=5)) == [0, 2]
    assert numbers(held, asked((1, 0, 0), end=6, every_from=6)) == []


def test_nothing_newer_than_what_is_looked_at_is_wanted() -> None:
    held = timelines(*(Event(1, 5) for _ in range(4)))
    assert numbers(held, asked((1, 0, FOREVER), row_count=2)) == [0, 1]


def test_events_of_bots_are_wanted_only_when_asked_for() -> None:
    held = timelines(Event(1, 1, ADDED, is_bot=True), Event(1, 2, ADDED), Event(1, 3, BOUGHT, is_bot=True))
    name = ((0, 0, 0), (2, 0, FOREVER))
    assert picked(held, asked(*name)) == {1: [(1, 2, 2)]}
    assert picked(held, asked(*name, include_bots=True)) == {1: [(0, 1, 2), (1, 2, 2)]}


def test_of_persons_left_out_nothing_is_picked() -> None:
    held = timelines(Event(3, 1), Event(5, 1), Event(7, 1), Event(9, 1))
    assert list(picked(held, asked((1, 0, FOREVER)), left_out=[0, 2])) == [5, 9]


def test_of_nobody_nothing_is_picked() -> None:
    assert picked(timelines(), asked((1, 0, FOREVER))) == {}


def wanted_of(events: Sequence[Event], held: Timelines, wanted: Asked) -> dict[int, list[tuple[int, int, int]]]:
    """In the words of Asked."""
    found: dict[int, list[tuple[int, int, int]]] = {}
    for number in held.row_number.tolist():
        person, at, name, *_, is_bot = events[number]
        mask = int(wanted.mask_of_name[name])
        in_time = mask != 0 and wanted.from_us[name] <= at < wanted.to_us[name]
        is_known = number < wanted.row_count and (wanted.include_bots or not is_bot)
        if is_known and at < wanted.end_us and (in_time or at >= wanted.every_from_us):
            found.setdefault(person, []).append((number, at, mask))
    return found


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_in_any_number_of_parts_what_is_wanted_is_picked(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    split_into(parts, monkeypatch)
    random = Random(parts)
    for _ in range(40):
        events = [
            Event(random.randrange(-3, 4), random.randrange(9), random.randrange(3), is_bot=random.random() < 0.2)
            for _ in range(random.randrange(12))
        ]
        held = timelines(*events)
        places = {person: place for place, person in enumerate(held.person.tolist())}
        wanted = asked(
            *((random.choice((0, 1, 2)), random.randrange(9), random.randrange(10)) for _ in range(3)),
            every_from=random.choice((4, 8, FOREVER)),
            end=random.choice((6, FOREVER)),
            row_count=random.choice((6, FOREVER)),
            include_bots=random.random() < 0.5,
        )
        left_out = sorted(random.sample(range(len(held.person)), random.randrange(len(held.person) + 1)))
        found = wanted_of(events, held, wanted)
        expected = {person: found[person] for person in found if places[person] not in left_out}
        assert picked(held, wanted, left_out) == expected


def test_a_tie_is_of_one_person_and_of_events_that_were_picked() -> None:
    held = timelines(
        *(Event(1, 1), Event(1, 1, ADDED), Event(1, 2)),  # only one of the two at the same time is wanted
        *(Event(2, 2), Event(2, 3)),
        *(Event(3, 3), Event(3, 4), Event(3, 5), Event(3, 5), Event(3, 6)),
        *(Event(4, 6), Event(4, 7)),
    )
    assert pick([Source(held, NOBODY)], asked((1, 0, FOREVER))).is_tied.tolist() == [False, False, True, False]


# Parts


@pytest.mark.parametrize(
    ("parts", "shares"),
    [(1, [(0, 4)]), (2, [(0, 2), (2, 4)]), (3, [(0, 2), (2, 3), (3, 4)]), (4, [(0, 1), (1, 2), (2, 3), (3, 4)])],
)
def test_parts_have_about_as_many_events_each(
    parts: int, shares: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    split_into(parts, monkeypatch)
    assert module._shares(np.array([0, 10, 20, 30, 40])) == shares


def test_how_many_parts_goes_by_the_number_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "parts_of", lambda row_count: row_count // 10)
    assert module._shares(np.array([0, 10, 20])) == [(0, 1), (1, 2)]


def test_what_came_since_is_picked_beside_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one person more came, so all of hers is there anew; and of one who is new."""
    split_into(2, monkeypatch)
    held = timelines(Event(1, 1), Event(2, 5), Event(2, 2), Event(3, 4))
    recent = timelines(Event(9, 9), Event(2, 2), Event(2, 3), Event(2, 5), Event(4, 1))
    sources = [Source(held, np.array([1])), Source(recent, np.array([2]))]
    found = by_person(pick(sources, asked((1, 2, FOREVER))))
    assert list(found.items()) == [(3, [(3, 4, 1)]), (2, [(1, 2, 1), (2, 3, 1), (3, 5, 1)])]


def test_who_is_left_out_takes_no_room_from_the_part_before(monkeypatch: pytest.MonkeyPatch) -> None:
    split_into(2, monkeypatch)
    held = timelines(*(Event(person, at) for person in (1, 2, 3, 4) for at in (0, 1)))
    assert list(picked(held, asked((1, 0, FOREVER)), left_out=[2])) == [1, 2, 4]


def test_nothing_is_picked_from_no_source_with_events() -> None:
    assert by_person(pick([Source(timelines(), NOBODY), Source(timelines(), NOBODY)], asked((1, 0, FOREVER)))) == {}


# Ties


def ordered(*actors: Sequence[Event]) -> tuple[list[int], list[int]]:
    """Of events as they were picked, in order of time: their places in order, and the mask at each of those. The name
    is the mask."""
    events = [event for actor in actors for event in actor]
    _, at, mask, seq, stored, _ = np.array(events, np.int64).reshape(-1, 6).T
    row_number = np.arange(len(events))[::-1].copy()
    offsets = np.cumsum([0, *map(len, actors)])
    found = Picked(
        offsets,
        np.arange(len(actors)),
        np.array(are_tied(offsets.tolist(), at.tolist()), np.bool_),
        row_number,
        at,
        np.zeros(len(events), np.uint64),
    )
    seq_of_row, stored_of_row = seq[row_number].astype(np.int32), stored[row_number]
    sequences = in_order(found, mask.astype(np.uint64), seq_of_row, stored_of_row)
    assert sequences.occurred_at_us.tolist() == at.tolist()
    return sequences.row.tolist(), sequences.mask.tolist()


def test_events_at_different_times_stay_as_they_are() -> None:
    assert ordered([Event(1, 1, 4), Event(1, 2, 2)], [Event(2, 2, 1), Event(2, 3, 2)]) == ([0, 1, 2, 3], [4, 2, 1, 2])


def test_ties_are_decided_by_seq_then_by_step_then_by_storing() -> None:
    assert ordered([Event(1, 5, 1, seq=-3), Event(1, 5, 2, seq=-5)]) == ([1, 0], [2, 1])
    assert ordered([Event(1, 5, 2, seq=-5), Event(1, 5, 1, seq=-3)]) == ([0, 1], [2, 1])
    assert ordered([Event(1, 5, 2, stored=0), Event(1, 5, 1, stored=1)]) == ([1, 0], [1, 2])
    assert ordered([Event(1, 5, 3, stored=-3), Event(1, 5, 3, stored=-5)]) == ([1, 0], [3, 3])
    assert ordered([Event(1, 5, 3, stored=-5), Event(1, 5, 3, stored=-3)]) == ([0, 1], [3, 3])


def test_a_tie_of_one_actor_leaves_the_others_alone() -> None:
    late = [Event(1, 5), Event(1, 6, 2), Event(1, 6, 1), Event(1, 7)]
    assert ordered([Event(1, 6, 4)], late, [Event(3, 7, 2)]) == ([0, 1, 3, 2, 4, 5], [4, 0, 1, 2, 0, 2])


def test_every_actor_s_ties_are_decided() -> None:
    by_step, by_seq = [Event(1, 5, 2), Event(1, 5, 1)], [Event(1, 5, 1, seq=7), Event(1, 5, 2, seq=6)]
    found = ordered([Event(1, 5)], by_seq, [], by_step, by_seq)
    assert found == ([0, 2, 1, 4, 3, 6, 5], [0, 2, 1, 1, 2, 2, 1])
    assert ordered() == ([], [])


def test_where_nothing_is_tied_no_mask_is_copied() -> None:
    """Of two actors, who have events at the same time."""
    mask, at = np.ones(3, np.uint64), np.array([4, 5, 5])
    nothing = np.zeros(3, np.int64)
    found = Picked(np.array([0, 2, 3]), nothing[:2], np.zeros(2, np.bool_), nothing, at, mask)
    assert in_order(found, mask, nothing.astype(np.int32), nothing).mask is mask


def test_masks_given_stay_as_they_are_also_when_ties_are_put_in_order() -> None:
    mask = np.array([2, 1], np.uint64)
    nothing = np.zeros(2, np.int64)
    found = Picked(np.array([0, 2]), nothing[:1], np.ones(1, np.bool_), np.arange(2), nothing, mask)
    assert in_order(found, mask, nothing.astype(np.int32), nothing).mask.tolist() == [1, 2]
    assert mask.tolist() == [2, 1]
