"""The service and the shop's pages, served from a thread with a loop of its own, since the tests wait in theirs."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import Settings
from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from app.storage.shapes import properties_object
from app.storage.storefronts import create_storefront
from tests.browser.door import Door
from tests.service import Service, running_service

T = TypeVar("T")
START_SECONDS = 60.0

# Purpose: what is stored of a storefront, in the order of the sender's clock. :storefront_id
EVENTS = """
    SELECT event_name AS name, event_id::text, visitor_key, customer_key, seq, url, referrer,
           is_bot IS TRUE AS is_bot, properties::text, names
    FROM event LEFT JOIN visitor USING (visitor_id) LEFT JOIN customer USING (customer_id)
    LEFT JOIN property_shape USING (shape_id)
    WHERE event.storefront_id = :storefront_id ORDER BY client_time, seq
"""


@dataclass(frozen=True)
class Stored:
    """An event as the service keeps it."""

    name: str
    event_id: str
    visitor_key: str | None
    customer_key: str | None
    seq: int
    url: str
    referrer: str
    is_bot: bool
    properties: Mapping[str, Any]


@dataclass
class Pages:
    """The shop's pages by path, each with headers of its own; scripts of the shop's own end in .js."""

    contents: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content, headers = self.contents.get(scope["path"], ("", {}))
        status = 200 if scope["path"] in self.contents else 404
        if scope["path"].endswith(".js"):
            response = Response(content, status, headers, "text/javascript")
        else:
            response = HTMLResponse(content, status, headers)
        await response(scope, receive, send)


@dataclass
class Backend:
    """service_url, shop_url: two origins, as in life."""

    loop: asyncio.AbstractEventLoop
    service: Service
    door: Door
    pages: Pages
    service_url: str
    shop_url: str

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(START_SECONDS)

    def new_storefront(self, name: str) -> tuple[int, str]:
        """Its number and a write key."""
        return self.run(self._new_storefront(name))

    async def _new_storefront(self, name: str) -> tuple[int, str]:
        shop = await create_storefront(self.service.engine, name, "UTC", "EUR")
        return shop.storefront_id, (await create_key(self.service.engine, shop.storefront_id, KeyKind.WRITE)).secret

    def events(self, storefront_id: int) -> list[Stored]:
        return [_stored(row) for row in self.run(self.service.rows(EVENTS, storefront_id=storefront_id))]


def _stored(row: Any) -> Stored:
    fields = dict(row._mapping)
    fields["properties"] = json.loads(properties_object(fields["properties"], fields.pop("names")))
    return Stored(**fields)


@contextmanager
def running_backend(settings: Settings, url: DatabaseUrl) -> Iterator[Backend]:
    found: list[Backend] = []
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running_service(settings, url) as service:
            door, pages = Door(service.app), Pages()
            servers = [_server(door), _server(pages)]
            serving = [asyncio.create_task(server.serve()) for server in servers]
            while not all(server.started for server in servers):  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(0.01)
            service_port, shop_port = (server.servers[0].sockets[0].getsockname()[1] for server in servers)
            loop = asyncio.get_running_loop()
            urls = (f"http://127.0.0.1:{service_port}", f"http://localhost:{shop_port}")
            found.append(Backend(loop, service, door, pages, *urls))
            started.set()
            await asyncio.to_thread(stop.wait)
            for server in servers:
                server.force_exit = server.should_exit = True
            await asyncio.gather(*serving)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="backend")
    thread.start()
    try:
        assert started.wait(START_SECONDS), "the service did not start"
        yield found[0]
    finally:
        stop.set()
        thread.join(START_SECONDS)


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None))
