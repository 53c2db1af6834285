"""Conditions on properties, evaluated by DuckDB, agree with the oracle on every kind of value and name."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.funnel import Alternative, Condition, Operator, Scalar
from tests.journeys import JourneyEvent, at_us, funnel
from tests.oracle import funnel_oracle
from tests.unit.reports.journey_mirror import JourneyMirror

VIEWED = "product_viewed"
LONG_AFTER_US = at_us(10**9)

NUMBERS: tuple[float, ...] = (
    *(0, -0.0, 1, -1, 10, 10.0, 0.1, 0.30000000000000004, 9.5, 1e15, 1e21, 1e22, 1e300, -1e300),
    *(1e-5, 1e-7, 5e-324, 1.7976931348623157e308, 4.35, 100.0),
    *(2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)),
)
# The mirror spells these 10000000000000000.0 and 0.0000015, other writers 1e16 and 1.5e-6: no text is compared with
# them here.
TWO_SPELLINGS: tuple[float, ...] = (1e16, -1e16, 1e17, 1.5e16, 123456789012345680000.0, 1.5e-6)


def has_one_spelling(number: float) -> bool:
    return not (1e16 <= abs(number) < 1e21 or 1e-7 < abs(number) < 1e-5)


TEXTS: tuple[str, ...] = (
    *(
        "",
        " ",
        "0",
        "-0",
        "10",
        "10.0",
        "1e1",
        "1E1",
        "+1",
        ".5",
        "5.",
        "0x10",
        "1_0",
        "09",
        "٣",
        "10\n",
        " 10",
    ),
    *(
        "nan",
        "NaN",
        "inf",
        "Infinity",
        "true",
        "false",
        "null",
        "ten",
        "1e16",
        "1e+16",
        "10000000000000000.0",
    ),
    *(
        "SAVE10",
        "save10",
        "naïve",
        "nai\u0308ve",
        "😀",
        "\uffff",
        'a"b',
        "a'b",
        "a\\b",
        "a/b",
        "%",
        "_",
        "a\tb",
    ),
    *("\x1f", "\x7f", "\u2028", "'; DROP TABLE event; --", "$", "$.a", "[0]", '"quoted"', "{}", "[]"),
)
NESTED: tuple[object, ...] = (
    *(
        [],
        {},
        [1, "a", None, True],
        {"a": {"b": [1.5, 1e22]}},
        [[]],
        {"": ""},
        ["\x7f", "é", 'q"q', "/", "\\"],
    ),
    *([1e22, -0.0, 1e-7], {"😀": "😀"}, ["sale", 10]),
)
VALUES: tuple[object, ...] = (*NUMBERS, *TEXTS, *NESTED, True, False, None)
NAMES: tuple[str, ...] = (
    *(
        "price",
        "a b",
        "a.b",
        "a/b",
        "/",
        "//",
        "~",
        "~0",
        "~1",
        "a~1b",
        "$",
        "$.a",
        "*",
        "[0]",
        "0",
        "-",
        "#",
        '"',
    ),
    *(
        "'",
        "a'b",
        'a"b',
        "\\",
        "a\\b",
        "é",
        "e\u0301",
        "😀",
        "\t",
        "\n",
        "%",
        "?",
        "$1",
        "{}",
        ";--",
        "\u2028",
        "",
        " ",
    ),
)
SCALARS: tuple[Scalar, ...] = (
    *NUMBERS,
    *TEXTS,
    True,
    False,
    *(msgspec.json.encode(v).decode() for v in NESTED),
)


def events_with(name: str, values: Sequence[object]) -> list[JourneyEvent]:
    """One person per value, told apart by the second of the only event."""
    return [JourneyEvent(f"{n:04}", at_us(n), VIEWED, {name: value}) for n, value in enumerate(values)]


def disagreements(
    mirror: JourneyMirror, conditions: Sequence[Condition], events: list[JourneyEvent]
) -> list[tuple[Condition, object]]:
    """Conditions with the properties about which mirror and oracle disagree."""
    found: list[tuple[Condition, object]] = []
    definitions = [funnel(Alternative(VIEWED, (condition,)), end=10_000) for condition in conditions]
    matched = mirror.matched_each(definitions, events)
    for definition, results, condition in zip(definitions, matched, conditions, strict=True):
        in_mirror = {result.times_us[0] for result in results}
        oracle = funnel_oracle(definition, events, LONG_AFTER_US).values()
        differ = in_mirror ^ {result.times_us[0] for result in oracle}
        found += [(condition, event.properties) for event in events if event.occurred_at_us in differ]
    return found


@pytest.mark.parametrize("op", [op for op in Operator if op not in (Operator.IN, Operator.EXISTS)])
def test_every_value_against_every_other(mirror: JourneyMirror, op: Operator) -> None:
    if op is Operator.CONTAINS:
        wanted: list[Scalar] = [value for value in SCALARS if not isinstance(value, float)]
    else:
        wanted = list(SCALARS)
    conditions = [Condition("property", op, value) for value in wanted]
    assert disagreements(mirror, conditions, events_with("property", VALUES)) == []


def test_exists_and_in(mirror: JourneyMirror) -> None:
    conditions = [
        *(Condition("property", Operator.EXISTS, value) for value in (None, True, False)),
        *(Condition("property", Operator.IN, pair) for pair in zip(SCALARS, reversed(SCALARS), strict=True)),
        Condition("property", Operator.IN, SCALARS),
        Condition("property", Operator.IN, ()),
    ]
    events = [*events_with("property", VALUES), *events_with("other", ["absent"])]
    assert disagreements(mirror, conditions, events) == []


@pytest.mark.parametrize("op", [Operator.EQUAL, Operator.NOT_EQUAL, Operator.IN, Operator.LESS, Operator.GREATER])
def test_large_floats_against_numbers(mirror: JourneyMirror, op: Operator) -> None:
    wanted = (*TWO_SPELLINGS, *NUMBERS, 10**16, 10**30)
    conditions = [Condition("property", op, (value,) if op is Operator.IN else value) for value in wanted]
    assert disagreements(mirror, conditions, events_with("property", (*TWO_SPELLINGS, *NUMBERS))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_property_may_have_any_name(mirror: JourneyMirror, name: str) -> None:
    everything = {other: number for number, other in enumerate(NAMES)}
    events = [
        JourneyEvent("all", at_us(0), VIEWED, dict(everything)),
        JourneyEvent("only this", at_us(1), VIEWED, {name: everything[name]}),
        JourneyEvent("all others", at_us(2), VIEWED, {k: v for k, v in everything.items() if k != name}),
        JourneyEvent("none", at_us(3), VIEWED, {}),
        JourneyEvent("nested", at_us(4), VIEWED, {"a": {"b": everything[name], name: everything[name]}}),
    ]
    conditions = [
        Condition(name, Operator.EQUAL, everything[name]),
        Condition(name, Operator.EXISTS),
        Condition(name, Operator.EXISTS, False),
    ]
    assert disagreements(mirror, conditions, events) == []


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(has_one_spelling)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~'\"é😀", max_size=2), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60)
@given(st.lists(json_values, min_size=1, max_size=30))
def test_random_values_against_each_other(mirror: JourneyMirror, values: list[object]) -> None:
    scalars: list[Scalar] = [value for value in values if isinstance(value, str | int | float)]
    texts = [msgspec.json.encode(value).decode() for value in values]
    conditions = [
        Condition("property", op, value)
        for op in (Operator.EQUAL, Operator.LESS)
        for value in (*scalars[:4], *texts[:4])
    ]
    assert disagreements(mirror, conditions, events_with("property", values)) == []


def test_a_number_longer_than_64_bits_keeps_its_digits(mirror: JourneyMirror) -> None:
    """Such as an order number that a sender wrote without quotes."""
    definition = funnel(Alternative(VIEWED, (Condition("order", Operator.EQUAL, "12345678901234567890123"),)))
    assert len(mirror.matched(definition, events_with("order", [12345678901234567890123, 1.2e22]))) == 1
