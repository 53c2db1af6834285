"""What holds for every wire format, shown on its golden cases and on what real clients sent."""

from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.event import Event
from app.domain.outcome import Outcome, Rejection
from app.errors import FootfallError, Unreadable
from app.ingest.formats import FORMATS
from app.ingest.formats.base import Decoded, IngestResult, RequestContext, WireFormat
from app.ingest.formats.native import NATIVE
from tests.golden_cases import GoldenCase, golden_cases
from tests.recordings import RECORDINGS, recorded

FOREIGN = [wire_format for wire_format in FORMATS if wire_format is not NATIVE]
CASES = [
    pytest.param(wire_format, case, id=f"{wire_format.name}-{case.name}")
    for wire_format in FORMATS
    for case in golden_cases(wire_format)
]
each_format = pytest.mark.parametrize("wire_format", FORMATS, ids=lambda wire_format: wire_format.name)
each_case = pytest.mark.parametrize(("wire_format", "case"), CASES)
each_recording = pytest.mark.parametrize("file_name", RECORDINGS)

# What JSON holds and nobody sends, to stand anywhere.
ODD_TEXTS = ("", "null", "\0", "ä" * 300, "x" * 40_000)
ODD_VALUES: tuple[object, ...] = (None, True, -1, 0.5, 10**40, *ODD_TEXTS, [], [[]], {}, {"a": {"b": [1]}})


def decoded_alone(wire_format: WireFormat, raw: bytes, context: RequestContext) -> Decoded:
    """As quarantine has it decoded again: without an address, headers and a browser."""
    alone = replace(context, path="", query={}, content_type="", topic="", cookieless_key=lambda: None)
    return wire_format.decode(raw, alone)


def without_id_of_ours(event: Event) -> Event:
    """An id that we make up is another one each time: a UUIDv7 of the time of receiving, which no case here sends."""
    milliseconds = int(event.received_at.timestamp() * 1000)
    is_ours = event.event_id.replace("-", "").startswith(f"{milliseconds:012x}7")
    return replace(event, event_id="ours") if is_ours else event


def assert_raws_are_whole(wire_format: WireFormat, decoded: Decoded, context: RequestContext) -> None:
    raws = decoded.raws()
    assert len(raws) == decoded.received_count
    for event, index in zip(decoded.events, decoded.indexes, strict=True):
        [again] = decoded_alone(wire_format, raws[index], context).events
        assert without_id_of_ours(again) == without_id_of_ours(event)
    for rejection in decoded.rejections:
        assert_refused_again(wire_format, rejection, context)


def assert_refused_again(wire_format: WireFormat, rejection: Rejection, context: RequestContext) -> None:
    """For the same reason. A native one may be no JSON at all, and then be unreadable or something else alone."""
    try:
        decoded = decoded_alone(wire_format, rejection.raw, context)
    except Unreadable:
        assert wire_format is NATIVE
        return
    assert decoded.events == []
    if wire_format is not NATIVE:
        assert [(r.reason, r.pointer) for r in decoded.rejections] == [(rejection.reason, rejection.pointer)]


# -- names and replies -----------------------------------------------------------------------------------------------


def test_no_two_formats_share_a_name_or_an_address() -> None:
    names = [wire_format.name for wire_format in FORMATS]
    addresses = [path for wire_format in FORMATS for path in wire_format.paths]
    stubs = [stub.path for wire_format in FORMATS for stub in wire_format.stubs]

    assert len(set(names)) == len(names)
    assert len({*addresses, *stubs}) == len(addresses) + len(stubs)


@pytest.mark.parametrize("wire_format", FOREIGN, ids=lambda wire_format: wire_format.name)
def test_what_was_refused_is_no_error_to_clients_of_other_makers(wire_format: WireFormat) -> None:
    refused = IngestResult([Outcome.REJECTED], [None], [], ["an id"])

    assert wire_format.reply(refused, {}).status < 300


@pytest.mark.parametrize("wire_format", FOREIGN, ids=lambda wire_format: wire_format.name)
def test_a_client_of_another_maker_never_gets_429(wire_format: WireFormat) -> None:
    assert not wire_format.understands_too_many


# -- golden cases ----------------------------------------------------------------------------------------------------


@each_case
def test_every_event_of_a_request_is_counted_once(wire_format: WireFormat, case: GoldenCase) -> None:
    decoded = wire_format.decode(case.body, case.context)

    places = [*decoded.indexes, *(rejection.index for rejection in decoded.rejections), *decoded.no_consent]
    assert sorted(places) == list(range(decoded.received_count))


@each_case
def test_every_event_can_be_kept_and_decoded_alone(wire_format: WireFormat, case: GoldenCase) -> None:
    decoded = wire_format.decode(case.body, case.context)

    assert_raws_are_whole(wire_format, decoded, case.context)


@each_case
def test_a_request_sent_again_makes_the_same_events(wire_format: WireFormat, case: GoldenCase) -> None:
    first, second = (wire_format.decode(case.body, case.context).events for _ in range(2))

    for event, again in zip(first, second, strict=True):
        assert without_id_of_ours(again) == without_id_of_ours(event)


# -- whatever is sent ------------------------------------------------------------------------------------------------


def with_odd_value(value: object, place: int, odd: object) -> object:
    """The JSON value with the member or element that comes at this place put wrong; places are counted in turns."""
    places = _places(value)
    if not places:
        return odd
    way = places[place % len(places)]
    return _put(value, way, odd)


def _places(value: object, way: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [way] if way else []
    for name, child in children:
        found += _places(child, (*way, name))
    return found


def _put(value: object, way: tuple[object, ...], odd: object) -> object:
    if not way:
        return odd
    name, rest = way[0], way[1:]
    if isinstance(value, dict):
        return {key: _put(child, rest, odd) if key == name else child for key, child in value.items()}
    assert isinstance(value, list)
    return [_put(child, rest, odd) if index == name else child for index, child in enumerate(value)]


def decodes_or_refuses(wire_format: WireFormat, body: bytes, context: RequestContext) -> None:
    """Never raises anything but what is answered with a problem, and loses count of nothing."""
    try:
        decoded = wire_format.decode(body, context)
    except FootfallError:
        return
    places = [*decoded.indexes, *(rejection.index for rejection in decoded.rejections), *decoded.no_consent]
    assert sorted(places) == list(range(decoded.received_count))
    assert_raws_are_whole(wire_format, decoded, context)


@each_format
@settings(max_examples=60)
@given(data=st.data())
def test_any_value_in_any_place_is_stored_or_refused(wire_format: WireFormat, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(golden_cases(wire_format)))
    odd = data.draw(st.sampled_from(ODD_VALUES))
    place = data.draw(st.integers(0, 500))
    try:
        body = msgspec.json.encode(with_odd_value(msgspec.json.decode(case.body), place, odd))
    except msgspec.DecodeError:  # a form, or lines
        body = case.body
    in_query = data.draw(st.sampled_from(["", "1", "\0", "ä" * 300, "{}", "%"]))
    query = dict.fromkeys(case.context.query, in_query) if data.draw(st.booleans()) else case.context.query

    decodes_or_refuses(wire_format, body, replace(case.context, query=query))


@each_format
@settings(max_examples=60)
@given(data=st.data())
def test_any_bytes_are_stored_or_refused(wire_format: WireFormat, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(golden_cases(wire_format)))
    start, length = data.draw(st.integers(0, len(case.body))), data.draw(st.integers(0, 50))
    inserted = data.draw(st.sampled_from([b"", b'"', b"{", b"[", b"\\ud800", b"\xff", b"&", b"%", b"=", b"NaN", b"0"]))
    body = case.body[:start] + inserted + case.body[start + length :]

    decodes_or_refuses(wire_format, body, case.context)
    wire_format.key(body, case.context.query)


@each_format
@given(body=st.binary(max_size=200))
def test_nonsense_is_stored_or_refused(wire_format: WireFormat, body: bytes) -> None:
    some_case = golden_cases(wire_format)[0]

    for path in wire_format.paths[:3]:
        decodes_or_refuses(wire_format, body, replace(some_case.context, path=path, query={}))
    wire_format.key(body, {})


# -- what real clients sent ------------------------------------------------------------------------------------------


@each_recording
def test_everything_that_was_recorded_is_taken(file_name: str) -> None:
    requests = recorded(file_name)

    assert requests
    for request in requests:
        decoded = request.wire_format.decode(request.body, request.context)
        assert decoded.rejections == []
        assert decoded.received_count > 0


@each_recording
def test_everything_that_was_recorded_can_be_kept_and_decoded_alone(file_name: str) -> None:
    for request in recorded(file_name):
        decoded = request.wire_format.decode(request.body, request.context)
        assert_raws_are_whole(request.wire_format, decoded, request.context)


# -- the next one ----------------------------------------------------------------------------------------------------


def test_the_format_that_the_documentation_adds_works() -> None:
    text = (Path(__file__).parents[3] / "docs" / "adding-a-format.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # our own documentation
    mixpanel: WireFormat = namespace["MIXPANEL"]
    context = golden_cases(NATIVE)[0].context
    sent = {
        "event": "Product Viewed",
        "properties": {"token": "k", "distinct_id": "ana", "$insert_id": "i-1", "time": 1},
    }
    body = b"data=" + b64encode(msgspec.json.encode([sent, {"properties": {}}]))

    decoded = mixpanel.decode(body, context)

    assert [(event.event_name, event.visitor_key) for event in decoded.events] == [("product_viewed", "ana")]
    assert [rejection.reason for rejection in decoded.rejections] == ["missing_field"]
    assert mixpanel.key(body, {}) == "k"
    assert_raws_are_whole(mixpanel, decoded, context)
