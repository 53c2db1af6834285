"""A fix changes what it names and nothing else, and never loses a value that is there."""

import json
from typing import Any

import pytest

from app.errors import Invalid
from app.replay.fix import Unfixable, parse_fix


def fixed(
    event: object,
    *,
    rename: tuple[str, ...] = (),
    cast: tuple[str, ...] = (),
    default: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
) -> Any:
    return json.loads(parse_fix(rename, cast, drop, default).apply(json.dumps(event).encode()))


# -- rename ----------------------------------------------------------------------------------------------------------


def test_a_field_is_renamed_and_objects_on_the_way_are_made() -> None:
    assert fixed({"name": "x", "price": 5}, rename=("name=event", "price=properties.price")) == {
        "event": "x",
        "properties": {"price": 5},
    }


def test_dotted_paths_and_pointers_mean_the_same_and_pointers_reach_any_name() -> None:
    event = {"properties": {"a.b": 1, "c/d": 2, "e~f": 3}}

    assert fixed(event, rename=("/properties/a.b=/properties/x", "/properties/c~1d=properties.y")) == {
        "properties": {"x": 1, "y": 2, "e~f": 3}
    }
    assert fixed(event, drop=("/properties/e~0f",)) == {"properties": {"a.b": 1, "c/d": 2}}


@pytest.mark.parametrize(
    "event",
    [
        {"old": 1, "new": 2},  # the new name is taken
        {"new": 2},  # there is nothing to rename
        {"old": 1, "new": None},
    ],
)
def test_a_rename_overwrites_nothing(event: object) -> None:
    assert fixed(event, rename=("old=new",)) == event


def test_a_field_does_not_move_below_what_is_no_object() -> None:
    assert fixed({"price": 5, "properties": "none"}, rename=("price=properties.price",)) == {
        "price": 5,
        "properties": "none",
    }


# -- cast ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("number", "49.90", 49.9),
        ("number", " 7 ", 7),
        ("number", True, 1),
        ("number", "1,5", "1,5"),
        ("number", "NaN", "NaN"),
        ("number", "1e999", "1e999"),
        ("number", "", ""),
        ("number", None, None),
        ("number", [1], [1]),
        ("string", 7, "7"),
        ("string", 12345678901234567890123, "12345678901234567890123"),
        ("string", 1.5, "1.5"),
        ("string", False, "false"),
        ("string", {"a": 1}, {"a": 1}),
        ("boolean", "TRUE", True),
        ("boolean", 0, False),
        ("boolean", "yes", "yes"),
        ("time", 1772452800, "2026-03-02T12:00:00+00:00"),
        ("time", "1772452800", "2026-03-02T12:00:00+00:00"),
        ("time", 1772452800123, "2026-03-02T12:00:00.123000+00:00"),
        ("time", "2026-03-02 12:00:00", "2026-03-02T12:00:00+00:00"),
        ("time", "2026-03-02T12:00:00+02:00", "2026-03-02T12:00:00+02:00"),
        ("time", "yesterday", "yesterday"),
        ("time", 1e300, 1e300),
    ],
)
def test_a_cast_changes_what_fits_and_leaves_the_rest(kind: str, value: object, expected: object) -> None:
    assert fixed({"field": value}, cast=(f"field={kind}",)) == {"field": expected}


def test_a_cast_reaches_into_arrays() -> None:
    event = {"properties": {"products": [{"price": "1"}, {"price": "2"}]}}

    assert fixed(event, cast=("properties.products.1.price=number",)) == {
        "properties": {"products": [{"price": "1"}, {"price": 2}]}
    }


def test_a_cast_of_a_missing_field_makes_none() -> None:
    assert fixed({}, cast=("seq=number",)) == {}


# -- default and drop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [("x", "x"), ("0", 0), ('"0"', "0"), ("true", True), ("a=b", "a=b"), ("", ""), ("NaN", "NaN")],
)
def test_a_default_is_json_or_else_text(given: str, value: object) -> None:
    assert fixed({}, default=(f"field={given}",)) == {"field": value}


def test_a_default_fills_what_is_missing_or_null_and_leaves_what_is_there() -> None:
    assert fixed({"a": None, "b": ""}, default=("a=1", "b=1", "c.d=1")) == {"a": 1, "b": "", "c": {"d": 1}}


def test_a_dropped_field_is_gone() -> None:
    assert fixed({"a": 1, "b": {"c": 2, "d": 3}}, drop=("a", "b.c", "nothing.here")) == {"b": {"d": 3}}


def test_parts_are_applied_in_the_order_rename_cast_drop_default() -> None:
    event = {"cost": "5", "junk": 1, "visitor_id": ""}

    assert fixed(
        event,
        default=("visitor_id=unknown",),
        drop=("junk", "visitor_id"),
        cast=("properties.price=number",),
        rename=("cost=properties.price",),
    ) == {"properties": {"price": 5}, "visitor_id": "unknown"}


# -- what can't be mended --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'"text"',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"[" * 100_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object_can_not_be_mended(raw: bytes) -> None:
    with pytest.raises(Unfixable):
        parse_fix((), (), ("junk",), ()).apply(raw)


def test_half_a_surrogate_pair_is_left_for_the_decoder_to_refuse() -> None:
    raw = parse_fix((), (), ("junk",), ()).apply(rb'{"event": "\ud800", "junk": 1}')

    assert raw == rb'{"event": "\ud800"}'


@pytest.mark.parametrize(
    ("rename", "cast", "default", "drop"),
    [
        (("old",), (), (), ()),
        (("=new",), (), (), ()),
        (("old=",), (), (), ()),
        ((), ("price=money",), (), ()),
        ((), ("price",), (), ()),
        ((), (), ("price",), ()),
        ((), (), (), ("",)),
        ((), (), (), ("a..b",)),
        ((), (), (), ("/",)),
    ],
)
def test_a_fix_that_says_nothing_sensible_is_refused(
    rename: tuple[str, ...], cast: tuple[str, ...], default: tuple[str, ...], drop: tuple[str, ...]
) -> None:
    with pytest.raises(Invalid):
        parse_fix(rename, cast, drop, default)
