"""Random funnels and journeys, drawn so that steps overlap, events tie and bounds are hit exactly."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from app.domain.funnel import Alternative, Condition, FunnelDefinition, Operator, Scalar, Step
from tests.journeys import JourneyEvent, at_us

PERSONS = ("ana", "ben")
STEP_NAMES = ("product_viewed", "product_added", "order_completed")
EVENT_NAMES = (*STEP_NAMES, "page_viewed")  # the last one matches no step, at most an `after`
HORIZON_SECONDS = 8  # journeys happen in whole seconds from 0 to here, some a microsecond later
EVENTS_MAX = 20  # the oracle tries every chain

PROPERTIES: dict[str, tuple[object, ...]] = {
    "price": (5, 9.5, 10, "10", "1e1", "09", "ten", None, True),
    "coupon": ("SAVE10", "true", "naïve 😀", "", True, False, 10),
    "tags": (["sale", 10], {"size": "10"}, "sale"),
}
NUMBERS: tuple[Scalar, ...] = (5, 9.5, 10, 10.0, -1)
TEXTS: tuple[Scalar, ...] = ("10", "ten", "", "SAVE", "sale", "true", "😀")
COMPARING = tuple(op for op in Operator if op not in (Operator.IN, Operator.EXISTS))


def properties() -> SearchStrategy[dict[str, object]]:
    values = {name: st.sampled_from(options) for name, options in PROPERTIES.items()}
    return st.fixed_dictionaries({}, optional=values)


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
    """Mostly a plain event name; sometimes conditions, sometimes an `after`, which may have its own."""
    kind = draw(st.sampled_from(("plain",) * 8 + ("where", "where", "after")))
    where = draw(st.lists(conditions(), min_size=1, max_size=2)) if kind == "where" else ()
    after: list[Alternative] = []
    if kind == "after" and after_depth:
        after = draw(st.lists(alternatives(EVENT_NAMES, after_depth - 1), min_size=1, max_size=2))
    return Alternative(draw(st.sampled_from(names)), tuple(where), tuple(after))


@st.composite
def definitions(draw: st.DrawFn) -> FunnelDefinition:
    """One to five steps; the window is short, and the range holds all the journeys or cuts through them."""
    start, end = draw(st.just((-1, HORIZON_SECONDS + 1)) | st.tuples(st.integers(-1, 3), st.integers(4, 7)))
    step_count = draw(st.integers(1, 5))
    any_of = st.sampled_from((1, 1, 2)).flatmap(lambda n: st.lists(alternatives(), min_size=n, max_size=n))
    return FunnelDefinition(
        steps=tuple(Step(tuple(draw(any_of)), label=f"step {number + 1}") for number in range(step_count)),
        start_us=at_us(start),
        end_us=at_us(end),
        conversion_window_us=draw(st.integers(1, HORIZON_SECONDS)) * 1_000_000,
    )


@st.composite
def journeys(draw: st.DrawFn) -> list[JourneyEvent]:
    """Events of a few persons, in the order they are stored, which knows nothing of their times.

    Times lie on a coarse grid, so that ties are frequent.
    """
    on_grid = st.integers(0, HORIZON_SECONDS).map(at_us)
    event = st.builds(
        JourneyEvent,
        person=st.sampled_from(PERSONS),
        occurred_at_us=st.builds(int.__add__, on_grid, st.sampled_from((0, 0, 0, 1))),
        event_name=st.sampled_from(EVENT_NAMES),
        properties=properties(),
        seq=st.sampled_from((0, 0, 0, 0, 1, 2)),
    )
    count = draw(st.integers(0, EVENTS_MAX))  # drawn first: lists left alone stay short
    events = draw(st.lists(event, min_size=count, max_size=count))
    return [replace(event, stored=rank) for rank, event in enumerate(events)]


def as_of_times() -> SearchStrategy[int]:
    """From the middle of the journeys to when every window has closed."""
    return st.integers(HORIZON_SECONDS // 2, 2 * HORIZON_SECONDS + 1).map(at_us)
