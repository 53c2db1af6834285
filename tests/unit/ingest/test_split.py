"""A body falls apart into the bytes of its events, whatever is in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.formats.split import SplitError, TooManyPieces, split_elements, split_members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON), st.sampled_from([None, 2]))
def test_elements_are_what_a_json_parser_finds(elements: list[object], indent: int | None) -> None:
    body = json.dumps(elements, indent=indent).encode()

    assert [json.loads(piece) for piece in split_elements(body, 100)] == elements


@given(st.dictionaries(st.text(), JSON))
def test_members_are_what_a_json_parser_finds(members: dict[str, object]) -> None:
    found = split_members(json.dumps(members).encode(), 100)

    assert {json.loads(name): json.loads(value) for name, value in found.items()} == members


def test_a_faulty_element_is_cut_out_as_it_stands() -> None:
    assert split_elements(b'[1, {"a": nan,}, "]" ,[{},[]]]', 100) == [b"1", b'{"a": nan,}', b'"]"', b"[{},[]]"]


def test_quotes_inside_text_end_nothing() -> None:
    assert split_elements(rb'["a\"],[", "\\"]', 100) == [rb'"a\"],["', rb'"\\"']


@pytest.mark.parametrize("body", [b"[", b"[1", b"[1]]", b"[1] x", b"", b"[[1]"])
def test_brackets_that_do_not_match_are_an_error(body: bytes) -> None:
    with pytest.raises(SplitError):
        split_elements(body, 100)


@pytest.mark.parametrize("unit", [rb"\"", b"\\\\", b'["', b'"\\'])
def test_a_string_without_an_end_is_looked_through_once(unit: bytes) -> None:
    """Once per character, this would take minutes in which no request is answered."""
    with pytest.raises(SplitError):
        split_elements(b'["' + unit * 100_000 + b"x", 100)


def test_what_is_far_too_much_is_not_looked_through() -> None:
    with pytest.raises(SplitError, match="too much"):
        split_elements(b"[" * 1_000_000 + b"]" * 1_000_000, 100)


@pytest.mark.parametrize(("count", "is_too_many"), [(99, False), (100, False), (101, True), (1_000_000, True)])
def test_elements_are_cut_out_up_to_a_number(count: int, is_too_many: bool) -> None:
    body = b"[" + b",".join([b"{}"] * count) + b"]"
    if is_too_many:
        with pytest.raises(TooManyPieces):
            split_elements(body, 100)
    else:
        assert len(split_elements(body, 100)) == count
