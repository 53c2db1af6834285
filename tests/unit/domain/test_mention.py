"""What counts as mentioning a person in bytes that may be JSON."""

import json

import pytest

from app.domain.mention import mentions


@pytest.mark.parametrize(
    "raw",
    [
        '{"visitor_id": "zoë/1"}'.encode(),
        b'{"visitor_id": "zo\\u00eb/1"}',
        b'{"visitor_id": "zo\\u00EB\\/1"}',
        b'{"visitor_id":"\\u007a\\u006f\\u00eb\\u002f\\u0031"}',
        '["zoë/1"]'.encode(),
        'broken " quotes {"a: "zoë/1", '.encode(),
        '{"visitor_id": "zoë/1'.encode(),  # cut off
        b'\xff\xfe "zo\\u00eb/1"',
    ],
)
def test_an_id_is_found_in_whatever_way_it_is_written(raw: bytes) -> None:
    assert mentions(["somebody", "zoë/1"])(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b'{"visitor_id": "zoe/1"}',
        '{"visitor_id": "zoë/12"}'.encode(),
        '{"visitor_id": "a zoë/1"}'.encode(),
        '{"visitor_id": "\\\\zoë/1"}'.encode(),
        "zoë/1".encode(),
    ],
)
def test_a_longer_or_another_text_is_nobody(raw: bytes) -> None:
    assert not mentions(["zoë/1"])(raw)


@pytest.mark.parametrize(
    "key", ["plain", 'quo"te', "back\\slash", "tab\tand\nline", "😀 smile", "\ud83d lone", "(a|b)*"]
)
def test_what_a_json_library_writes_is_found(key: str) -> None:
    assert mentions([key])(json.dumps({"id": key}).encode())
    assert mentions([key])(json.dumps({"id": key}, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def test_a_number_is_an_id_only_under_the_name_of_one() -> None:
    is_mentioned = mentions(["4711"])

    assert is_mentioned(b'{"customer_id": 4711}')
    assert is_mentioned(b'{"userId":4711,"x":1}')
    assert not is_mentioned(b'{"price": 4711}')
    assert not is_mentioned(b'{"customer_id": 47110}')
    assert not is_mentioned(b'{"customer_id": 4711.5}')


def test_nobody_is_mentioned_nowhere() -> None:
    assert not mentions([])(b'{"visitor_id": ""}')
