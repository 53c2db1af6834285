"""ClickHouse's `windowFunnel` as an independent opinion: equal where it means the same, and where it does not, how."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.funnel import Actor, Alternative, FunnelDefinition, Order, Step
from tests.journeys import DAY, HOUR, MICROSECOND, JourneyEvent, at_us, funnel, journey
from tests.strategies import EVENT_NAMES, HORIZON_SECONDS, journeys, ranges
from tests.unit.reports.journey_mirror import JourneyMirror

chdb = pytest.importorskip("chdb.session", reason="chdb-core, ClickHouse in this process, is not installed")

LONG_AFTER_US = at_us(1000 * DAY)
StepNames = tuple[tuple[str, ...], ...]  # of each step the events that match it
VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"


@pytest.fixture(scope="module")
def mirror() -> Iterator[JourneyMirror]:
    mirror = JourneyMirror()
    yield mirror
    mirror.close()


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Any]:
    session = chdb.Session()
    yield session
    session.close()


# What both count


def ours(mirror: JourneyMirror, definition: FunnelDefinition, events: Sequence[JourneyEvent]) -> list[int]:
    return [step.reached_count for step in mirror.report(definition, events, LONG_AFTER_US).steps]


def theirs(clickhouse: Any, level: str, step_count: int, events: Sequence[JourneyEvent], actor: Actor) -> list[int]:
    """level: SQL of how many steps an actor reached."""
    named = [(event.person if actor is Actor.PERSON else event.account, event) for event in events]
    rows = [f"('{name}', {event.occurred_at_us}, '{event.event_name}')" for name, event in named if name]
    if not rows:
        return [0] * step_count
    source = f"values('actor String, at UInt64, name String', {', '.join(rows)})"
    query = f"SELECT {level} AS level FROM {source} GROUP BY actor"
    levels = [int(line) for line in clickhouse.query(query).bytes().split()]
    return [sum(level >= number for level in levels) for number in range(1, step_count + 1)]


def window_funnel(definition: FunnelDefinition, *modes: str, step_order: Sequence[int] | None = None) -> str:
    """The same question in ClickHouse's words. step_order: indexes of the steps, as they are unless given."""
    order = range(len(definition.steps)) if step_order is None else step_order
    conditions = [_condition(definition.steps[index]) for index in order]
    conditions[0] += f" AND at >= {definition.start_us} AND at < {definition.end_us}"
    options = ", ".join([str(definition.conversion_window_us), *(f"'{mode}'" for mode in modes)])
    return f"windowFunnel({options})(at, {', '.join(conditions)})"


def _condition(step: Step) -> str:
    return f"name IN ({', '.join(repr(alternative.event_name) for alternative in step.any_of)})"


@st.composite
def step_names(draw: st.DrawFn) -> StepNames:
    """One to four steps of one or more events each, no event in two of them."""
    names = draw(st.permutations(EVENT_NAMES))
    cuts = draw(st.sets(st.integers(1, len(names)), min_size=1))
    return tuple(tuple(names[start:end]) for start, end in pairwise([0, *sorted(cuts)]))


@st.composite
def funnels(draw: st.DrawFn, names: st.SearchStrategy[StepNames]) -> FunnelDefinition:
    """In order, of plain event names; the window is short, and the range holds the journeys or cuts through."""
    start, end = draw(ranges())
    steps = [tuple(Alternative(name) for name in each) for each in draw(names)]
    return funnel(*steps, start=start, end=end, window=draw(st.integers(1, HORIZON_SECONDS)))


def journeys_without_numbers() -> st.SearchStrategy[list[JourneyEvent]]:
    """ClickHouse knows no `seq`: of events at one instant it takes the one of the lower step first, and so do we."""
    return journeys().map(lambda events: [replace(event, seq=0) for event in events])


def journeys_at_distinct_times() -> st.SearchStrategy[list[JourneyEvent]]:
    return journeys().map(lambda events: list({(each.person, each.occurred_at_us): each for each in events}.values()))


def repeated_names() -> st.SearchStrategy[StepNames]:
    """One to four steps, mostly some of them the same."""
    return st.lists(st.sampled_from(EVENT_NAMES[:3]).map(lambda name: (name,)), min_size=1, max_size=4).map(tuple)


# Where both mean the same


@settings(max_examples=200)
@given(funnels(step_names()), journeys_without_numbers(), st.sampled_from((Actor.PERSON, Actor.ACCOUNT)))
def test_steps_in_order_without_an_event_in_two_of_them_are_what_clickhouse_counts(
    mirror: JourneyMirror, clickhouse: Any, definition: FunnelDefinition, events: list[JourneyEvent], actor: Actor
) -> None:
    definition = replace(definition, actor=actor)
    found = theirs(clickhouse, window_funnel(definition), len(definition.steps), events, actor)
    assert ours(mirror, definition, events) == found


@settings(max_examples=100)
@given(funnels(step_names()), journeys_without_numbers())
def test_steps_in_any_order_are_what_clickhouse_counts_in_the_best_of_all_orders(
    mirror: JourneyMirror, clickhouse: Any, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    definition = replace(definition, order=Order.ANY_ORDER)
    step_count = len(definition.steps)
    orders = [window_funnel(definition, step_order=order) for order in permutations(range(step_count))]
    best = f"arrayMax([{', '.join(orders)}])"
    assert ours(mirror, definition, events) == theirs(clickhouse, best, step_count, events, Actor.PERSON)


@settings(max_examples=100)
@given(funnels(repeated_names()), journeys_at_distinct_times())
def test_steps_of_the_same_event_are_what_clickhouse_counts_with_strict_once(
    mirror: JourneyMirror, clickhouse: Any, definition: FunnelDefinition, events: list[JourneyEvent]
) -> None:
    """Without events at one instant, that is: see below."""
    once = window_funnel(definition, "strict_once")
    found = theirs(clickhouse, once, len(definition.steps), events, Actor.PERSON)
    assert ours(mirror, definition, events) == found


# One by one: (steps that we say were reached, steps that ClickHouse says)


class Both:
    """One person's journey in both."""

    def __init__(self, mirror: JourneyMirror, clickhouse: Any) -> None:
        self._mirror, self._clickhouse = mirror, clickhouse

    def __call__(
        self, definition: FunnelDefinition, *happenings: tuple[float, str], modes: tuple[str, ...] = ()
    ) -> tuple[int, int]:
        return self.of(definition, journey("ana", *happenings), modes)

    def of(
        self, definition: FunnelDefinition, events: list[JourneyEvent], modes: tuple[str, ...] = ()
    ) -> tuple[int, int]:
        level, step_count = window_funnel(definition, *modes), len(definition.steps)
        found = theirs(self._clickhouse, level, step_count, events, Actor.PERSON)
        return sum(ours(self._mirror, definition, events)), sum(found)


@pytest.fixture
def both(mirror: JourneyMirror, clickhouse: Any) -> Both:
    return Both(mirror, clickhouse)


def test_the_window_includes_its_bound_in_both(both: Both) -> None:
    definition = funnel(VIEWED, ADDED, window=HOUR)
    assert both(definition, (0, VIEWED), (HOUR, ADDED)) == (2, 2)
    assert both(definition, (0, VIEWED), (HOUR + MICROSECOND, ADDED)) == (1, 1)


def test_any_chain_counts_in_both_not_only_that_of_the_first_entry(both: Both) -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, window=HOUR)
    late = ((0, VIEWED), (2 * HOUR, VIEWED), (2 * HOUR + 1, ADDED), (2 * HOUR + 2, ORDERED))
    assert both(definition, *late) == (3, 3)


def test_a_later_entry_does_not_spoil_an_earlier_chain_in_either(both: Both) -> None:
    definition = funnel(VIEWED, ADDED, ORDERED, window=30)
    assert both(definition, (0, VIEWED), (10, ADDED), (20, VIEWED), (30, ORDERED)) == (3, 3)


def test_events_at_one_instant_are_consecutive_in_both_but_for_strict_increase(both: Both) -> None:
    """`strict_increase` drops such pairs. Whichever is stored first, the lower step comes first."""
    definition = funnel(VIEWED, ADDED)
    assert both(definition, (5, ADDED), (5, VIEWED)) == (2, 2)
    assert both(definition, (5, ADDED), (5, VIEWED), modes=("strict_increase",)) == (2, 1)


def test_only_we_go_by_the_senders_sequence_number(both: Both) -> None:
    """The cart was filled before the product was viewed, says the sender; ClickHouse can't be told."""
    added, viewed = journey("ana", (5, ADDED), (5, VIEWED))
    assert both.of(funnel(VIEWED, ADDED), [replace(added, seq=1), replace(viewed, seq=2)]) == (1, 2)


def test_one_event_is_one_step_for_us_and_for_clickhouse_only_with_strict_once(both: Both) -> None:
    """By default it is every step that it matches, so that one view is a funnel of three."""
    definition = funnel(VIEWED, VIEWED, VIEWED)
    assert both(definition, (0, VIEWED)) == (1, 3)
    assert both(definition, (0, VIEWED), modes=("strict_once",)) == (1, 1)
    assert both(definition, (0, VIEWED), (1, VIEWED), modes=("strict_once",)) == (2, 2)


def test_of_events_at_one_instant_that_match_two_steps_clickhouse_finds_the_best_order(both: Both) -> None:
    """Ours is one order for every chain: both views, then the cart. With `strict_once` ClickHouse tries the others."""
    definition = funnel(VIEWED, ADDED, VIEWED)
    assert both(definition, (5, ADDED), (5, VIEWED), (5, VIEWED), modes=("strict_once",)) == (2, 3)


def test_only_we_look_for_a_strict_chain_after_one_that_was_interrupted(both: Both) -> None:
    """With `strict_order` the first event of another kind ends everything, hours before the chain that counts."""
    definition = strict(VIEWED, ADDED)
    broken = ((0, VIEWED), (1, "page_viewed"))
    assert both(definition, *broken, (2, ADDED), modes=("strict_order",)) == (1, 1)
    assert both(definition, *broken, (HOUR, VIEWED), (HOUR + 1, ADDED), modes=("strict_order",)) == (2, 1)


def test_a_step_out_of_turn_ends_a_strict_chain_for_clickhouse_too(both: Both) -> None:
    """Unless it is asked to `allow_reentry`: then such a step interrupts nothing."""
    definition = strict(VIEWED, ADDED, ORDERED)
    skipped = ((0, VIEWED), (1, ORDERED), (2, ADDED), (3, ORDERED))
    assert both(definition, *skipped, modes=("strict_order",)) == (1, 1)
    assert both(definition, *skipped, modes=("strict_order", "allow_reentry")) == (1, 3)


def test_a_step_done_again_lies_between_two_others_only_for_us(both: Both) -> None:
    """`strict_order` looks away from repetitions and from going back; strict means no other event in between."""
    definition = strict(VIEWED, ADDED, ORDERED)
    again = ((0, VIEWED), (1, ADDED), (2, ADDED), (3, ORDERED))
    back = ((0, VIEWED), (1, ADDED), (2, VIEWED), (3, ORDERED))
    assert both(definition, *again, modes=("strict_order",)) == (2, 3)
    assert both(definition, *back, modes=("strict_order",)) == (2, 3)


def test_strict_deduplication_is_none_of_our_orders(both: Both) -> None:
    """A step done twice ends the chain there; for us it does in strict order only, and there every other event does."""
    again = ((0, VIEWED), (1, ADDED), (2, ADDED), (3, ORDERED))
    between = ((0, VIEWED), (1, "page_viewed"), (2, ADDED), (3, ORDERED))
    modes = ("strict_deduplication",)
    assert both(funnel(VIEWED, ADDED, ORDERED), *again, modes=modes) == (3, 2)
    assert both(strict(VIEWED, ADDED, ORDERED), *between, modes=modes) == (1, 3)


def strict(*steps: str) -> FunnelDefinition:
    return replace(funnel(*steps), order=Order.STRICT)
