"""A page can send events from any origin its key allows, and can always read what became of them."""

from collections.abc import Awaitable, Callable

import httpx

from app.config import Settings
from app.domain.outcome import SinkUnavailable
from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from tests.events import many, sent
from tests.fakes import MemorySink
from tests.service import Service, running_service

ORIGIN = "https://shop.example"
FROM_PAGE = {"Origin": ORIGIN}

Request = Callable[[Service], Awaitable[httpx.Response]]

# One request for each status that a browser can meet.
REQUESTS: dict[int, Request] = {
    200: lambda service: service.send(sent(), headers=FROM_PAGE),
    207: lambda service: service.send([sent(), {}], headers=FROM_PAGE),
    400: lambda service: service.send_bytes(b"[", headers=FROM_PAGE),
    401: lambda service: service.client.post("/v1/events", json=sent(), headers=FROM_PAGE),
    403: lambda service: service.send(sent(), key=service.read_key, headers=FROM_PAGE),
    405: lambda service: service.client.get("/v1/events", headers=FROM_PAGE),
    413: lambda service: service.send(many(1_001), headers=FROM_PAGE),
    415: lambda service: service.send_bytes(b"a=1", content_type="text/html", headers=FROM_PAGE),
    422: lambda service: service.send({}, headers=FROM_PAGE),
}


def assert_readable(reply: httpx.Response) -> None:
    """A page of ORIGIN may read this reply, with credentials too, and no cache gives it to another."""
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert "Retry-After" in reply.headers["access-control-expose-headers"]
    assert "Origin" in reply.headers["vary"]


async def test_every_reply_can_be_read_by_the_page(service: Service) -> None:
    for status, request in REQUESTS.items():
        reply = await request(service)

        assert reply.status_code == status, reply.text
        assert_readable(reply)


async def test_a_page_can_read_when_to_try_again(settings: Settings, database: DatabaseUrl) -> None:
    sink = MemorySink()
    sink.failure = SinkUnavailable("connection", "gone")
    unspooled = settings.model_copy(update={"spool_max_bytes": 0})
    async with running_service(unspooled, database, sink=sink) as service:
        reply = await service.send(sent(), headers=FROM_PAGE)

    assert reply.status_code == 503
    assert_readable(reply)


async def test_an_origin_that_is_refused_can_read_why(service: Service) -> None:
    key = (await create_key(service.engine, service.storefront_id, KeyKind.WRITE, ["https://other.example"])).secret

    reply = await service.send(sent(), key=key, headers=FROM_PAGE)

    assert reply.status_code == 403
    assert_readable(reply)


async def test_a_preflight_allows_what_the_page_asks_for(service: Service) -> None:
    asked = {
        **FROM_PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    reply = await service.client.options("/v1/events", headers=asked)

    assert reply.status_code == 204
    assert_readable(reply)
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == "authorization,content-type"
    assert int(reply.headers["access-control-max-age"]) > 0


async def test_without_an_origin_there_are_no_such_headers(service: Service) -> None:
    reply = await service.send(sent())

    assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_a_beacon_needs_no_preflight(service: Service) -> None:
    """sendBeacon sends text/plain and no Authorization: the key stands in the address."""
    reply = await service.client.post(
        "/v1/events",
        params={"key": service.write_key},
        content=b'[{"event": "page_viewed", "visitor_id": "ana"}]',
        headers={**FROM_PAGE, "Content-Type": "text/plain;charset=UTF-8"},
    )

    assert reply.json()["stored"] == 1
    assert_readable(reply)
