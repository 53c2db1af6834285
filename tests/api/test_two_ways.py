"""Requests that are here as a whole take a shorter way: they are answered as those that come in pieces."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.ingest.formats.base import Reply
from app.ingest.formats.native import NativeFormat
from app.storage.keys import create_key
from tests.events import sent
from tests.service import Service

ALLOWED, OTHER = "https://shop.test", "https://elsewhere.test"


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body[:1]
    yield body[1:]


@pytest.fixture
async def key(service: Service) -> str:
    made = await create_key(service.engine, service.storefront_id, KeyKind.WRITE, origins=[ALLOWED])
    return made.secret


# By what is special about them: method, path, body, headers.
REQUESTS = {
    "nothing": ("POST", "/v1/events", b'{"event":"page_viewed","visitor_id":"ana"}', {}),
    "nothing to store": ("POST", "/v1/events", b"[]", {}),
    "one of two refused": ("POST", "/v1/events", b'[{"event":"a","visitor_id":"ana"},{"event":""}]', {}),
    "all refused": ("POST", "/v1/events", b'{"event":""}', {}),
    "no JSON": ("POST", "/v1/events", b"{", {}),
    "no body": ("POST", "/v1/events", b"", {}),
    "receipts": ("POST", "/v1/events?receipts=1", b'{"event":""}', {}),
    "a page": ("POST", "/v1/events", b'{"event":"a","visitor_id":"ana"}', {"Origin": ALLOWED}),
    "another page": ("POST", "/v1/events", b'{"event":"a","visitor_id":"ana"}', {"Origin": OTHER}),
    "a type": ("POST", "/v1/events", b"<event/>", {"Content-Type": "text/xml"}),
    "an encoding": ("POST", "/v1/events", b"{}", {"Content-Encoding": "compress"}),
    "half a signature": ("POST", "/v1/events", b"{}", {"Footfall-Key-Id": "1"}),
    "an unknown key": ("POST", "/v1/events", b"{}", {"Authorization": "Bearer nobody"}),
    "a source": ("POST", "/v1/events?source=import", b"{}", {}),
    "a method": ("PUT", "/v1/events", b"{}", {}),
    "another format": ("POST", "/api/send", b"{}", {}),
}


@pytest.mark.parametrize("special", REQUESTS)
async def test_both_ways_answer_the_same(service: Service, key: str, special: str) -> None:
    method, path, body, headers = REQUESTS[special]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
    await service.client.post("/v1/events", json=[], headers={"Authorization": f"Bearer {key}"})  # it is at hand now

    whole = await service.client.request(method, path, content=body, headers=headers)
    pieces = await service.client.request(method, path, content=in_pieces(body), headers=headers)

    assert said(whole) == said(pieces)


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_reply_that_cannot_be_written_is_a_fault_of_ours(
    service: Service, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    await service.send([])
    monkeypatch.setattr(NativeFormat, "reply", lambda *_: Reply(200, object()))
    key = {"Authorization": f"Bearer {service.write_key}", "Content-Type": "application/json"}

    reply = await service.client.post("/v1/events", content=b"[]" if is_whole else in_pieces(b"[]"), headers=key)

    assert reply.status_code == 500
    assert reply.json()["status"] == 500


async def test_a_request_that_is_here_as_a_whole_takes_the_short_way(service: Service) -> None:
    await service.send(sent())
    replies: list[int] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {service.write_key}".encode())],
        "client": None,
    }

    taken = service.app.answer_whole(scope, b"[]", lambda status, _headers, _body: replies.append(status))

    assert taken
    assert replies == [200]


def said(reply: httpx.Response) -> tuple[int, dict[str, str], object]:
    """Without the request's id."""
    answer = reply.json() if reply.content else None
    if isinstance(answer, dict):
        answer.pop("instance", None)
    headers = {name: value for name, value in reply.headers.items() if name != "content-length"}
    return reply.status_code, headers, answer
