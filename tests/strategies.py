"""Random funnels and journeys, drawn so that steps overlap, events tie and bounds are hit exactly."""

from dataclasses import replace
from itertools import combinations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app.domain.funnel import (
    Actor,
    Alternative,
    Condition,
    Count,
    Exclusion,
    FunnelDefinition,
    Operator,
    Order,
    PersonFilter,
    Scalar,
    Step,
)
from tests.journeys import JourneyEvent, at_us

PERSONS = ("ana", "ben")
ACCOUNTS = ("acme", "globex")  # both persons may act for both
ORDERED = "order_completed"
STEP_NAMES = ("product_viewed", "product_added", ORDERED)
EVENT_NAMES = (*STEP_NAMES, "page_viewed")  # the last one matches no step, at most an `after` or an exclusion
HORIZON_SECONDS = 8  # journeys happen in whole seconds from 0 to here, some a microsecond later
SESSION_TIMEOUT_US = 1_000_000  # so short that the journeys fall into sessions
EVENTS_MAX = 20  # the oracle tries every chain

PROPERTIES: dict[str, tuple[object, ...]] = {
    "price": (5, 9.5, 10, "10", "1e1", "09", "ten", None, True),
    "coupon": ("SAVE10", "true", "naïve 😀", "", True, False, 10),
    "tags": (["sale", 10], {"size": "10"}, "sale"),
}
CARTS: tuple[dict[str, object], ...] = (
    {"cart_id": 10},
    {"cart_id": "10"},
    {"cart_id": "b"},
    {"cart_id": None},
    {},
)
ORDER_IDS: tuple[dict[str, object], ...] = (
    {"order_id": 7},
    {"order_id": "7"},
    {"order_id": "8"},
    {"order_id": " NULL"},
    {"order_id": None},
    {},
)
NUMBERS: tuple[Scalar, ...] = (5, 9.5, 10, 10.0, -1)
TEXTS: tuple[Scalar, ...] = ("10", "ten", "", "SAVE", "sale", "true", "😀")
COMPARING = tuple(op for op in Operator if op not in (Operator.IN, Operator.EXISTS))


def properties() -> SearchStrategy[dict[str, object]]:
    values = {name: st.sampled_from(options) for name, options in PROPERTIES.items()}
    ids = st.builds(dict.__or__, st.sampled_from(CARTS), st.sampled_from(ORDER_IDS))
    return st.builds(dict.__or__, ids, st.fixed_dictionaries({}, optional=values))


def conditions() -> SearchStrategy[Condition]:
    names = st.sampled_from(tuple(PROPERTIES))
    values = st.sampled_from((*NUMBERS, *TEXTS, True, False))
    some_values = st.lists(values, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Condition, names, st.sampled_from(COMPARING), values),
        st.builds(Condition, names, st.just(Operator.IN), some_values),
        st.builds(Condition, names, st.just(Operator.EXISTS), st.sampled_from((None, True, False))),
    )


@st.composite
def alternatives(draw: st.DrawFn, names: tuple[str, ...] = STEP_NAMES, after_depth: int = 2) -> Alternative:
    """Mostly a plain event name; sometimes conditions, sometimes an `after`, which may have its own; sometimes an
    order after an order."""
    kind = draw(st.sampled_from(("plain",) * 8 + ("where", "where", "after", "order")))
    if kind == "order":
        return draw(orders())
    where = draw(st.lists(conditions(), min_size=1, max_size=2)) if kind == "where" else ()
    after: list[Alternative] = []
    if kind == "after" and after_depth:
        after = draw(st.lists(alternatives(EVENT_NAMES, after_depth - 1), min_size=1, max_size=2))
    return Alternative(draw(st.sampled_from(names)), tuple(where), tuple(after))


ANY_ALTERNATIVE, ANY_EVENT = alternatives(), alternatives(EVENT_NAMES)


def orders(after_depth: int = 1) -> SearchStrategy[Alternative]:
    """Orders, or what may have the id of one, mostly after orders; half of all events meet the condition."""
    where = st.sampled_from(((), *((Condition("coupon", Operator.EXISTS, value),) for value in (True, False))))
    name = st.sampled_from((ORDERED, ORDERED, ORDERED, "product_added"))
    after = st.lists(orders(after_depth - 1), min_size=1, max_size=2).map(tuple) if after_depth else st.just(())
    return st.builds(Alternative, name, where, after if after_depth else st.just(()))


@st.composite
def plain_definitions(
    draw: st.DrawFn, alternatives: SearchStrategy[Alternative] = ANY_ALTERNATIVE, steps_max: int = 5
) -> FunnelDefinition:
    """Some steps without options; the window is short, and the range holds all the journeys or cuts through."""
    start, end = draw(ranges())
    step_count = draw(st.integers(1, steps_max))
    any_of = st.sampled_from((1, 1, 2)).flatmap(lambda n: st.lists(alternatives, min_size=n, max_size=n))
    return FunnelDefinition(
        steps=tuple(Step(tuple(draw(any_of)), label=f"step {number + 1}") for number in range(step_count)),
        start_us=at_us(start),
        end_us=at_us(end),
        conversion_window_us=draw(seconds(1, HORIZON_SECONDS) | seconds(HORIZON_SECONDS // 2, HORIZON_SECONDS)),
    )


@st.composite
def definitions(draw: st.DrawFn) -> FunnelDefinition:
    """Every option that the rules allow together. One in three is plain, and so are the simplest."""
    plain = draw(plain_definitions())
    if draw(st.sampled_from(("plain", "options", "options"))) == "plain":
        return plain
    asked = replace(
        plain,
        order=draw(st.sampled_from((*(Order.IN_ORDER,) * 3, Order.STRICT, Order.ANY_ORDER))),
        actor=draw(st.sampled_from((*(Actor.PERSON,) * 4, Actor.SESSION, Actor.ACCOUNT))),
        count=draw(st.sampled_from((Count.UNIQUE, Count.UNIQUE, Count.ENTRIES))),
        same=draw(st.sampled_from((*((),) * 4, ("cart_id",), ("coupon",), ("cart_id", "coupon")))),
        persons=tuple(draw(st.sampled_from((0, 0, 0, 1, 2)).flatmap(some_person_filters))),
    )
    return asked if asked.order is Order.ANY_ORDER else draw(with_step_options(asked))


def unique_definitions() -> SearchStrategy[FunnelDefinition]:
    """As `definitions`, each actor counting once: attempts keep fewer promises (a longer window may make fewer)."""
    return definitions().map(lambda definition: replace(definition, count=Count.UNIQUE))


@st.composite
def with_step_options(draw: st.DrawFn, definition: FunnelDefinition) -> FunnelDefinition:
    first, *others = definition.steps
    steps = (first, *(draw(step_options(step)) for step in others))
    required = [index for index, step in enumerate(steps) if not step.optional]
    exclude: list[Exclusion] = []
    if len(required) > 1:
        bounds = st.sampled_from(tuple(combinations(required, 2)))
        any_of = st.lists(alternatives(EVENT_NAMES), min_size=1, max_size=2).map(tuple)
        exclusion = st.builds(lambda pair, any_of: Exclusion(pair[0], pair[1], any_of), bounds, any_of)
        exclude = draw(st.sampled_from((0, 0, 1, 2)).flatmap(lambda n: st.lists(exclusion, min_size=n, max_size=n)))
    return replace(definition, steps=steps, exclude=tuple(exclude))


@st.composite
def step_options(draw: st.DrawFn, step: Step) -> Step:
    """Bounds on the grid of the journeys, so that they are hit exactly; never more at least than at most."""
    not_before_us = draw(st.sampled_from((0, 0, 0, 1, 2))) * 1_000_000
    within_us = draw(st.none() | seconds(1, 2))
    return replace(
        step,
        not_before_us=not_before_us,
        within_us=None if within_us is None else not_before_us + within_us,
        optional=draw(st.sampled_from((False, False, True))),
    )


def some_person_filters(
    count: int, alternatives: SearchStrategy[Alternative] = ANY_EVENT
) -> SearchStrategy[list[PersonFilter]]:
    wanted = st.builds(
        lambda alternative, within, did: PersonFilter((alternative,), at_us(within[0]), at_us(within[1]), did),
        alternatives,
        ranges(),
        st.booleans(),
    )
    return st.lists(wanted, min_size=count, max_size=count)


def ranges() -> SearchStrategy[tuple[int, int]]:
    """Seconds; all the journeys or a part of them."""
    return st.just((-1, HORIZON_SECONDS + 1)) | st.tuples(st.integers(-1, 3), st.integers(4, 7))


def seconds(least: int, most: int) -> SearchStrategy[int]:
    """Whole seconds, in microseconds."""
    return st.integers(least, most).map(lambda count: count * 1_000_000)


@st.composite
def order_definitions(draw: st.DrawFn) -> FunnelDefinition:
    """One step or two, mostly orders after orders; every attempt counts, so that each event that matches shows."""
    after = orders() | orders(after_depth=2)
    plain = draw(plain_definitions(st.one_of(after, after, orders(after_depth=0)), steps_max=2))
    persons = tuple(draw(st.sampled_from((0, 0, 0, 1)).flatmap(lambda n: some_person_filters(n, after))))
    return replace(plain, count=Count.ENTRIES, persons=persons)


@st.composite
def journeys(draw: st.DrawFn, names: tuple[str, ...] = (*EVENT_NAMES, *STEP_NAMES)) -> list[JourneyEvent]:
    """Events of a few persons, in the order they are stored, which knows nothing of their times.

    Times lie on a coarse grid, so that ties are frequent.
    """
    on_grid = st.integers(0, HORIZON_SECONDS).map(at_us)
    event = st.builds(
        JourneyEvent,
        person=st.sampled_from((*PERSONS, PERSONS[0], PERSONS[0])),
        occurred_at_us=st.builds(int.__add__, on_grid, st.sampled_from((0, 0, 0, 1))),
        event_name=st.sampled_from(names),
        properties=properties(),
        seq=st.sampled_from((0, 0, 0, 0, 1, 2)),
        account=st.sampled_from((None, *ACCOUNTS)),
    )
    delays_us = st.sampled_from((0, 0, 1_000_000, 3_000_000))
    # Drawn first, as lists left alone stay short; mostly many, as options matter in long journeys only.
    count = draw(st.integers(0, EVENTS_MAX) | st.integers(EVENTS_MAX // 2, EVENTS_MAX))
    drawn = draw(st.lists(st.tuples(event, delays_us), min_size=count, max_size=count))
    return [
        replace(event, stored=rank, received_at_us=event.occurred_at_us + delay_us)
        for rank, (event, delay_us) in enumerate(drawn)
    ]


def as_of_times() -> SearchStrategy[int]:
    """From the middle of the journeys to when every window has closed."""
    return st.integers(HORIZON_SECONDS // 2, 2 * HORIZON_SECONDS + 1).map(at_us)
