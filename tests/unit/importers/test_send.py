"""Events reach the service in order, in bounded bodies, and again if the service could not take them."""

from typing import Any

import httpx
import pytest

from app.importers.send import (
    BODY_MAX_BYTES,
    EXAMPLE_BYTES,
    EXAMPLES_MAX,
    ImportGaveUp,
    ImportRefused,
    SendTotals,
    send_events,
)
from tests.unit.importers.service import Answer, FakeSleep, ScriptedService, stored


def numbered(count: int) -> list[bytes]:
    return [b'{"n":%d}' % n for n in range(count)]


def send(service: ScriptedService, events: list[bytes], sleep: FakeSleep | None = None) -> SendTotals:
    retry = (sleep or FakeSleep()).retry()
    return send_events(service.client(), iter(events), on_progress=no_progress, retry=retry)


def no_progress(totals: SendTotals) -> None: ...


def refusal(*entries: dict[str, Any], status: int = 207, stored: int = 0) -> httpx.Response:
    counts = {"received": stored + len(entries), "stored": stored, "duplicates": 0}
    return httpx.Response(status, json={**counts, "rejected": list(entries)})


def test_events_go_to_the_import_endpoint_with_the_key() -> None:
    service = ScriptedService()
    send(service, numbered(1))
    [request] = service.requests
    assert str(request.url) == "http://footfall.test/v1/events?source=import"
    assert request.headers["Authorization"] == "Bearer key"
    assert request.headers["Content-Type"] == "application/json"
    assert request.content == b'{"events":[{"n":0}]}'


def test_bodies_hold_at_most_a_thousand_events_in_order() -> None:
    service = ScriptedService()
    totals = send(service, numbered(2_500))
    assert [len(body) for body in service.bodies] == [1_000, 1_000, 500]
    assert [event["n"] for body in service.bodies for event in body] == list(range(2_500))
    assert (totals.received, totals.stored) == (2_500, 2_500)


def test_bodies_hold_at_most_a_mebibyte() -> None:
    service = ScriptedService()
    send(service, [b'{"text":"' + b"x" * 300_000 + b'"}'] * 7)
    assert [len(body) for body in service.bodies] == [3, 3, 1]
    assert all(len(request.content) <= BODY_MAX_BYTES for request in service.requests)


def test_an_event_larger_than_a_body_goes_alone() -> None:
    service = ScriptedService()
    send(service, [b"1", b'"' + b"x" * BODY_MAX_BYTES + b'"', b"2"])
    assert [len(body) for body in service.bodies] == [1, 1, 1]


def test_nothing_to_send_sends_nothing() -> None:
    service = ScriptedService()
    assert send(service, []) == SendTotals()
    assert service.requests == []


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("no answer"),
        httpx.RemoteProtocolError("cut off"),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(507),
    ],
    ids=repr,
)
def test_the_same_body_is_sent_again_before_the_next(trouble: Answer) -> None:
    service, sleep = ScriptedService(trouble, trouble), FakeSleep()
    totals = send(service, numbered(1_001), sleep)
    assert [len(body) for body in service.bodies] == [1_000, 1_000, 1_000, 1]
    assert totals.stored == 1_001
    assert len(sleep.slept) == 2


def test_pauses_double_with_jitter_up_to_half_a_minute() -> None:
    sleep = FakeSleep()
    send(ScriptedService(*[httpx.Response(503)] * 9), numbered(1), sleep)
    most = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all(top / 2 <= pause <= top for pause, top in zip(sleep.slept, most, strict=True))


def test_retry_after_is_waited_for() -> None:
    sleep = FakeSleep()
    send(ScriptedService(httpx.Response(429, headers={"Retry-After": "7"})), numbered(1), sleep)
    assert sleep.slept == [7.0]


def test_a_retry_after_that_is_no_number_is_passed_over() -> None:
    sleep = FakeSleep()
    send(ScriptedService(httpx.Response(503, headers={"Retry-After": "soon"})), numbered(1), sleep)
    assert sleep.slept[0] <= 0.5


def test_giving_up_says_how_many_events_are_in() -> None:
    service, sleep = ScriptedService(stored(1_000), *[httpx.ConnectError("refused")] * 100), FakeSleep()
    with pytest.raises(ImportGaveUp, match=r"300 s; last: refused\. 1,000 events are in\..*nothing is stored twice"):
        send(service, numbered(1_500), sleep)
    assert 200 < sum(sleep.slept) <= 300


def test_every_success_renews_the_patience() -> None:
    trouble = [httpx.Response(503, headers={"Retry-After": "200"})]
    sleep = FakeSleep()
    totals = send(ScriptedService(*trouble, stored(1_000), *trouble, stored(1_000)), numbered(2_000), sleep)
    assert totals.stored == 2_000
    assert sleep.slept == [200.0, 200.0]


def test_refused_events_are_counted_by_reason_and_the_first_are_shown() -> None:
    missing = {"index": 1, "reason": "missing_field", "pointer": "/event", "detail": "Name the event."}
    service = ScriptedService(refusal(missing, {"index": 2, "reason": "too_old"}, stored=1))
    totals = send(service, [b'{"n":0}', b'{"n":"' + b"x" * 500 + b'"}', b'{"n":2}'])
    assert (totals.received, totals.stored, totals.rejected) == (3, 1, 2)
    assert totals.reasons == {"missing_field": 1, "too_old": 1}
    first = totals.examples[0]
    assert (first.reason, first.pointer, first.detail) == ("missing_field", "/event", "Name the event.")
    assert first.event.startswith('{"n":"xxx')
    assert len(first.event) == EXAMPLE_BYTES
    assert totals.examples[1].event == '{"n":2}'


def test_a_body_refused_event_by_event_does_not_end_the_import() -> None:
    entries = [{"index": n, "reason": "too_old"} for n in range(1_000)]
    totals = send(ScriptedService(refusal(*entries, status=422)), numbered(1_001))
    assert (totals.received, totals.stored, totals.rejected) == (1_001, 1, 1_000)
    assert len(totals.examples) == EXAMPLES_MAX


def test_duplicates_and_spooled_events_are_no_trouble() -> None:
    known = httpx.Response(200, json={"received": 2, "stored": 0, "duplicates": 2})
    spooled = httpx.Response(202, json={"received": 1, "stored": 0, "duplicates": 0, "spooled": 1})
    assert send(ScriptedService(known), numbered(2)).duplicates == 2
    assert send(ScriptedService(spooled), numbered(1)).spooled == 1


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 415, 422])
def test_a_refusal_of_the_request_ends_the_import_with_its_reason(status: int) -> None:
    service = ScriptedService(httpx.Response(status, json={"title": "No", "detail": "Use a server key."}))
    with pytest.raises(ImportRefused, match=rf"status {status}\): Use a server key\."):
        send(service, numbered(1))
    assert len(service.requests) == 1


def test_an_answer_that_is_not_ours_ends_the_import() -> None:
    with pytest.raises(ImportRefused, match="is not Footfall; check the address"):
        send(ScriptedService(httpx.Response(200, html="<h1>Welcome</h1>")), numbered(1))


def test_an_address_without_http_is_refused() -> None:
    client = httpx.Client(base_url="footfall.test:8000")
    with pytest.raises(ImportRefused, match="http://"):
        send_events(client, numbered(1), on_progress=no_progress)


def test_progress_is_told_after_every_body() -> None:
    seen: list[int] = []
    send_events(ScriptedService().client(), numbered(2_001), on_progress=lambda totals: seen.append(totals.received))
    assert seen == [1_000, 2_000, 2_001]


def test_trouble_while_reading_is_told_after_what_was_read_is_sent() -> None:
    def events() -> Any:
        yield from numbered(1_000)
        yield b"{}"
        raise OSError("disk gone")

    service = ScriptedService()
    with pytest.raises(OSError, match="disk gone"):
        send_events(service.client(), events(), on_progress=no_progress)
    assert [len(body) for body in service.bodies] == [1_000]
