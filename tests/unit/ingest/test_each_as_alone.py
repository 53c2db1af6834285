"""Events of one request are looked at together, and each is decided as if it had come alone."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.context import Sender
from app.domain.event import Event, Trust
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.native import NATIVE
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from tests.events import NOW


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"


BROWSER = RequestContext(1, Trust.BROWSER, NOW, "application/json", 1_000, retention_days=400)
SERVER = replace(BROWSER, trust=Trust.SERVER)
# As JSON. Each is good or bad for a reason of its own; some look like what they are not.
TEXTS = st.sampled_from(
    [
        '"ana"',
        '""',
        '"0"',
        '" NULL "',
        '"ana\\u0040shop.example"',
        '"ana@shop.example"',
        '"ana\\u002540shop.example"',
        '"4111 1111 1111 1111"',
        '"4111\\u002d1111\\u002d1111\\u002d1111"',
        '"\\u00341111111\\u00311111111"',
        '"\\u0000"',
        '"\\\\u0000"',
        '"\\\\\\u0000"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"https://shop.example/a?utm_source=x&token=1#frag"',
        '"https://shop.example/a\\u003ftoken=1\\u0023frag"',
        '"https://ana:secret@shop.example/"',
        '"//[::1"',
        '"' + "x" * 201 + '"',
        '"' + "é" * 2_049 + '"',
        "null",
        "0",
    ]
)
TIMES = st.sampled_from(
    [
        '"2026-03-02T12:00:00Z"',
        '"2026-03-02T12:00:00+14:00"',
        '"2026-03-04T12:00:00Z"',
        '"2020-01-01T00:00:00Z"',
        '"1969-12-31T23:59:59Z"',
        '"0001-01-01T00:00:00+01:00"',
        '"9999-12-31T23:59:59-01:00"',
        '"2026-03-02T12:00:00"',
        '"yesterday"',
        "null",
    ]
)
DEEP = "[" * 11 + "]" * 11
VALUES = TEXTS | st.sampled_from(
    [
        "4111111111111111",
        "41111111111111110000000000000000000000",
        "1e400",
        "1e15",
        "-0.0",
        "true",
        DEEP,
        DEEP[1:-1],
        '{"note":["ana@shop.example"]}',
        '{"note":[4111111111111111]}',
        "[" + ",".join(["1e15"] * 4_000) + "]",
        '"' + "x" * 33_000 + '"',
        '"' + "x" * 20_000 + '"',
    ]
)
NAMES = st.sampled_from(
    ["note", "url", "search", "link_url", "order_id", "sku", "utm_source", "utm\\u005fmedium", "\\u0000", "x" * 101]
)
PROPERTIES = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=4).map(_object),
    st.just("{" + ",".join(f'"p{n}":1' for n in range(101)) + "}"),
    st.sampled_from(["null", "[]", "1"]),
)
CONTEXTS = st.sampled_from(
    [
        '{"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","country":"de"}',
        '{"country":"\\u0000\\u0000","language":"\\u0000"}',
        '{"language":"de-DE,en;q=0.5","channel":"offline"}',
        '{"other":1}',
    ]
)
FIELDS: dict[str, st.SearchStrategy[str]] = {
    "event": st.sampled_from(['"page_viewed"', '"order_completed"', '""', '"a\\u0000"', "7"]),
    # Not null: an id that is made anew differs each time.
    "event_id": TEXTS.filter("null".__ne__)
    | st.uuids().map(lambda each: f'"{each}"')
    | st.uuids().map(lambda each: f'"{each}"'.upper()),
    "visitor_id": TEXTS,
    "customer_id": TEXTS,
    "account_id": TEXTS,
    "client_time": TIMES,
    "seq": st.sampled_from(["1", "-1", "2147483648", "1.0"]),
    "url": TEXTS,
    "referrer": TEXTS,
    "properties": PROPERTIES,
    "consent": st.sampled_from(["true", "false", "null", "1"]),
    "context": CONTEXTS,
    "other": st.just("1"),
}
GOOD = '{"event":"page_viewed","visitor_id":"ben","event_id":"e","client_time":"2026-03-02T12:00:00Z"}'


@st.composite
def events(draw: st.DrawFn) -> str:
    """Nearly always with a name and a visitor, so that something is left to look at."""
    names = draw(st.sets(st.sampled_from(list(FIELDS)), max_size=4))
    base = {"event": '"page_viewed"', "visitor_id": '"ana"', "event_id": '"e"'}
    if draw(st.integers(0, 4)) == 0:
        del base["visitor_id"]
    return _object(base | {name: draw(FIELDS[name]) for name in names})


@settings(max_examples=100)
@given(
    sent=st.lists(events() | st.just(GOOD), min_size=2, max_size=6),
    context=st.sampled_from([BROWSER, SERVER]),
    sent_at=st.sampled_from(["null", '"2026-03-02T11:00:00Z"', '"2031-03-02T11:00:00Z"']),
)
def test_an_event_is_decided_as_if_it_had_come_alone(sent: list[str], context: RequestContext, sent_at: str) -> None:
    together = _decided(sent, context, sent_at)
    alone = [_decided([each], context, sent_at) for each in sent]

    assert _by_place(together, len(sent)) == [each for one in alone for each in _by_place(one, 1)]
    assert together.redacted == sum((one.redacted for one in alone), type(together.redacted)())
    assert together.customers_refused == sum(one.customers_refused for one in alone)


def _decided(sent: list[str], context: RequestContext, sent_at: str) -> Decoded:
    body = '{"events":[' + ",".join(sent) + f'],"sent_at":{sent_at}}}'
    is_browser = context.trust is Trust.BROWSER
    context = replace(context, cookieless_key=lambda: "of the day" if is_browser else None)
    decoded = NATIVE.decode(body.encode(), context)
    sender = Sender("Mozilla/5.0", "fr", None) if is_browser else None
    run_pipeline(
        decoded,
        NOW,
        STEPS,
        retention_days=context.retention_days,
        sender=sender,
        cookieless_key=context.cookieless_key,
    )
    return decoded


def _by_place(decoded: Decoded, count: int) -> list[Any]:
    """What became of each event, without what differs from one try to the next."""
    found: list[Any] = ["nothing"] * count
    for index, event in zip(decoded.indexes, decoded.events, strict=True):
        found[index] = _storable(event)
    for rejection in decoded.rejections:
        found[rejection.index] = replace(rejection, index=0)
    for index in decoded.no_consent:
        found[index] = "no consent"
    return found


def _storable(event: Event) -> Event:
    """Raises when it can't be written."""
    json.dumps(event.properties).encode()
    texts = [event.event_name, event.url, event.referrer, event.visitor_key, event.customer_key, event.account_key]
    assert not any("\0" in (text or "") for text in texts)
    assert "\0" not in repr(event.device)
    return event
