"""Bad input is never a 500 and never costs a neighbour: faulty events get a reason, others are stored."""

import json
from typing import Any

from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.domain.outcome import RejectReason
from app.ingest.formats.native_event import NativeEvent
from tests.api.problem import assert_problem
from tests.events import NOW_TEXT, sent
from tests.service import Service

NEWEST_REFUSED = """
    SELECT raw, reason, format, trust FROM quarantined_event ORDER BY quarantine_id DESC LIMIT 1
"""
MEGABYTE = 1_000_000
DEEP = 50_000


def event(more: str = "") -> bytes:
    """A good event as text, with more members behind it."""
    return f'{{"event":"page_viewed","visitor_id":"ana"{more}}}'.encode()


def prop(value: str) -> bytes:
    return event(f',"properties":{{"x":{value}}}')


# Each faulty event with the reason it gets and where that points.
FAULTY: dict[str, tuple[bytes, str, str]] = {
    "no object": (b"[]", "not_an_object", ""),
    "null": (b"null", "not_an_object", ""),
    "no name": (b'{"visitor_id":"ana"}', "missing_field", "/event"),
    "empty name": (b'{"event":"","visitor_id":"ana"}', "empty", "/event"),
    "long name": (json.dumps(sent("n" * 101)).encode(), "too_long", "/event"),
    "wrong type": (event(',"url":7'), "wrong_type", "/url"),
    "properties are a list": (event(',"properties":[1]'), "wrong_type", "/properties"),
    "long visitor": (json.dumps(sent(visitor_id="v" * 201)).encode(), "too_long", "/visitor_id"),
    "seq below zero": (event(',"seq":-1'), "out_of_range", "/seq"),
    "seq too large": (event(f',"seq":{2**31}'), "out_of_range", "/seq"),
    "unknown field": (event(',"user_id":"ana"'), "unknown_field", "/user_id"),
    "unknown field with slash and tilde": (event(',"a/b~c":1'), "unknown_field", "/a~1b~0c"),
    "unknown field with NUL": (event(',"a\\u0000b":1'), "unknown_field", "/a\\0b"),
    "NUL in a name": (b'{"event":"a\\u0000","visitor_id":"ana"}', "nul_character", "/event"),
    "NUL in a property": (prop('"a\\u0000"'), "nul_character", "/properties"),
    "NUL in a property's name": (event(',"properties":{"\\u0000":1}'), "nul_character", "/properties"),
    "NUL byte": (prop('"a\0"'), "invalid_json", ""),
    "lone surrogate": (prop('"\\ud800"'), "invalid_json", ""),
    "lone surrogate bytes": (prop('"SURROGATE"').replace(b"SURROGATE", b"\xed\xa0\x80"), "invalid_json", ""),
    "no UTF-8": (prop('"LATIN"').replace(b"LATIN", b"M\xfcsli"), "invalid_json", ""),
    "NaN": (prop("NaN"), "invalid_json", ""),
    "Infinity": (prop("-Infinity"), "invalid_json", ""),
    "huge float": (prop("1e400"), "out_of_range", "/properties"),
    "huge integer": (prop("9" * 5_000), "out_of_range", "/properties"),
    "comma at the end": (event(","), "invalid_json", ""),
    "comment": (event("/* x */"), "invalid_json", ""),
    "deep": (prop("[" * DEEP + "]" * DEEP), "too_deep", ""),
    "deep objects": (prop('{"a":' * DEEP + "1" + "}" * DEEP), "too_deep", ""),
    "a little too deep": (prop("[" * 10 + "]" * 10), "too_deep", "/properties"),
    "a megabyte of text": (prop('"' + "x" * MEGABYTE + '"'), "properties_too_large", "/properties"),
    "a megabyte of name": (event(f',"{"x" * MEGABYTE}":1'), "unknown_field", "/" + "x" * 299),
    "101 properties": (
        json.dumps(sent(properties={f"p{n}": n for n in range(101)})).encode(),
        "too_many_properties",
        "/properties",
    ),
    "long property name": (json.dumps(sent(properties={"p" * 101: 1})).encode(), "too_long", "/properties"),
    "time without offset": (event(',"client_time":"2026-03-02T12:00:00"'), "bad_time", "/client_time"),
    "time as a number": (event(',"client_time":1772452800'), "bad_time", "/client_time"),
    "time before 1970": (event(',"client_time":"1969-12-31T23:59:59Z"'), "bad_time", "/client_time"),
    "time too far ahead": (event(',"client_time":"2026-03-03T12:00:01Z"'), "future_time", "/client_time"),
    "end of all times": (event(',"client_time":"9999-12-31T23:59:59-12:00"'), "bad_time", "/client_time"),
}


async def test_each_fault_has_its_reason_and_spares_its_neighbours(service: Service) -> None:
    for name, (faulty, reason, pointer) in FAULTY.items():
        before = await service.event_count()

        reply = await service.send_bytes(b"[" + b",".join((event(), faulty, event())) + b"]")

        assert reply.status_code == 207, name
        [rejected] = reply.json()["rejected"]
        assert rejected["index"] == 1, name
        assert rejected["reason"] == reason, name
        assert rejected["pointer"] == pointer, name
        assert 0 < len(rejected["detail"]) <= 300, name
        assert await service.event_count() == before + 2, name


async def test_refused_events_are_kept_whole(service: Service) -> None:
    for name, (faulty, reason, _) in FAULTY.items():
        await service.send_bytes(b"[" + event() + b"," + faulty + b"]")

        [kept] = await service.rows(NEWEST_REFUSED)
        assert bytes(kept.raw) == faulty, name
        assert (kept.reason, kept.format, kept.trust) == (reason, "native", 1), name


async def test_odd_but_good_events_are_stored(service: Service) -> None:
    good = {
        "NUL as text": prop('"\\\\u0000"'),
        "integer beyond 64 bits": prop("9" * 30),
        "ten levels": prop("[" * 9 + "]" * 9),
        "a member twice": b'{"event":"first","event":"last","visitor_id":"ana"}',
        "surrogate pair": prop('"\\ud83d\\ude00"'),
        "names": '{"event":"Поиск 検索 \U0001f50d \\u2028","visitor_id":"ÅÄÖ \\u202e"}'.encode(),
        "escaped field name": b'{"\\u0065vent":"page_viewed","visitor_id":"ana"}',
        "exactly 24 hours ahead": event(',"client_time":"2026-03-03T12:00:00Z"'),
        "nulls": event(',"url":null,"properties":null,"seq":null,"client_time":null'),
        "property without a name": event(',"properties":{"":1}'),
        "limits": json.dumps(
            sent("n" * 100, visitor_id="ü" * 200, url="u" * 2_048, seq=2**31 - 1, account_id="a")
        ).encode(),
    }

    for name, body in good.items():
        assert (await service.send_bytes(body)).json() == {"received": 1, "stored": 1, "duplicates": 0}, name
    names = [row.event_name for row in await service.rows("SELECT event_name FROM event")]
    assert "last" in names
    assert "Поиск 検索 \U0001f50d \u2028" in names


async def test_a_body_cut_off_is_refused_and_kept(service: Service) -> None:
    cut = json.dumps([sent(), sent()]).encode()[:-20]

    reply = await service.send_bytes(cut)

    assert_problem(reply, 400, "unreadable")
    assert await service.event_count() == 0
    [kept] = await service.rows("SELECT raw, reason FROM quarantined_event")
    assert (bytes(kept.raw), kept.reason) == (cut, "invalid_json")


async def test_of_an_unreadable_body_that_anybody_can_send_the_beginning_is_kept(service: Service) -> None:
    body = b'["' + b"x" * 100_000

    assert_problem(await service.send_bytes(body), 400, "unreadable")

    [kept] = await service.rows("SELECT raw, detail FROM quarantined_event")
    assert bytes(kept.raw) == body[:65_536]
    assert kept.detail.endswith("Of its 100002 bytes the first 65536 are kept.")


async def test_an_unreadable_body_of_a_server_is_kept_whole(service: Service) -> None:
    body = b'["' + b"x" * 100_000

    reply = await service.send_bytes(body, headers={"Authorization": f"Bearer {service.server_key}"})

    assert_problem(reply, 400, "unreadable")
    [kept] = await service.rows("SELECT raw FROM quarantined_event")
    assert bytes(kept.raw) == body


async def test_a_line_cut_off_costs_that_line_only(service: Service) -> None:
    lines = b"\n".join((event(), event()[:20], event(), event()[:30]))

    reply = await service.send_bytes(lines, content_type="application/x-ndjson")

    assert reply.status_code == 207
    assert [rejected["index"] for rejected in reply.json()["rejected"]] == [1, 3]
    assert await service.event_count() == 2


async def test_lines_sent_as_json_are_understood(service: Service) -> None:
    reply = await service.send_bytes(event() + b"\n" + event(',"seq":true') + b"\n")

    assert (reply.status_code, reply.json()["stored"]) == (207, 1)


async def test_a_comma_too_many_between_events_costs_nothing_else(service: Service) -> None:
    reply = await service.send_bytes(b"[" + event() + b",]")

    assert (reply.status_code, reply.json()["stored"]) == (207, 1)


async def test_times_at_the_end_of_the_calendar_are_refused_and_hold_nobody_up(service: Service) -> None:
    """Corrected by sent_at, such a time is now; as a UTC time it does not exist."""
    for time in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"):
        before = await service.event_count()

        reply = await service.send({"events": [sent(client_time=time), sent()], "sent_at": time})

        assert reply.status_code in (207, 400), reply.text
        assert await service.event_count() == before + (reply.status_code == 207)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [*NativeEvent.__struct_fields__, "user_id", ""]


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    """An event with one field changed to anything, some of its bytes changed, or cut off; on one line."""
    members: dict[str, Any] = {"event": "page_viewed", "visitor_id": "ana", "client_time": NOW_TEXT}
    members[draw(st.sampled_from(FIELDS))] = draw(JSON_VALUES)
    line = bytearray(json.dumps(members).encode())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(line) - 1))
        line[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(line[: draw(st.integers(1, len(line)))] if draw(st.booleans()) else line)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(b"{")
@example(b'"')
@example(b"\x00")
@given(mutated_lines().filter(lambda line: line.strip() and not set(line) & set(b"\r\n")))
async def test_any_mutated_event_is_stored_or_refused_alone(service: Service, mutant: bytes) -> None:
    before = await service.event_count()

    reply = await service.send_bytes(b"\n".join((event(), mutant, event())), content_type="application/x-ndjson")

    answer = reply.json()
    rejected = answer.get("rejected", [])
    assert reply.status_code == (207 if rejected else 200)
    assert answer["received"] == 3
    assert answer["stored"] == 3 - len(rejected)
    assert [refused["index"] for refused in rejected] in ([], [1])
    assert {refused["reason"] for refused in rejected} <= set(RejectReason)
    assert await service.event_count() == before + answer["stored"]
