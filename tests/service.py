"""The whole service in this process: its lifespan, a client without a network, and a storefront with keys."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.clock import Clock
from app.config import Settings
from app.domain.storefront import KeyKind
from app.ingest.sink import EventSink
from app.main import Application, create_app
from app.storage.database import DatabaseUrl, create_engine
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront

URL = "http://footfall.test"

WholeReply = tuple[int, Sequence[tuple[bytes, bytes]], bytes]  # status, headers without the length, body


@dataclass(frozen=True)
class Service:
    """A running service. engine: of the tests, to look at what is stored."""

    app: Application
    client: httpx.AsyncClient
    engine: AsyncEngine
    storefront_id: int
    write_key: str
    server_key: str
    read_key: str

    async def send(
        self,
        events: object,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> httpx.Response:
        """Post events as JSON, with the write key unless another is given; query: such as receipts="1"."""
        sent_headers = {"Authorization": f"Bearer {key or self.write_key}", **(headers or {})}
        return await self.client.post("/v1/events", json=events, headers=sent_headers, params=query)

    async def send_bytes(
        self,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> httpx.Response:
        """Post a body as it is, with the write key."""
        sent_headers = {
            "Authorization": f"Bearer {self.write_key}",
            "Content-Type": content_type,
            **(headers or {}),
        }
        return await self.client.post("/v1/events", content=body, headers=sent_headers, params=query)

    async def funnel(self, body: Mapping[str, Any]) -> httpx.Response:
        """Ask for a funnel drawn up on the spot, with the read key."""
        return await self.client.post("/v1/reports/funnel", json=body, headers=self.reader)

    @property
    def reader(self) -> dict[str, str]:
        """Headers with the read key."""
        return {"Authorization": f"Bearer {self.read_key}"}

    async def rows(self, query: str, **parameters: object) -> Sequence[Any]:
        """What a query finds in Postgres, as rows with named columns."""
        async with self.engine.connect() as connection:
            return (await connection.execute(text(query), parameters)).all()

    async def event_count(self) -> int:
        [(count,)] = await self.rows("SELECT count(*) FROM event")
        return int(count)


def whole_first(app: Application) -> ASGIApp:
    """As connections do: a request that came in one piece takes the short way where it can."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        replied: asyncio.Future[WholeReply] = asyncio.get_running_loop().create_future()
        if message.get("more_body") or not app.answer_whole(
            scope, message["body"], lambda *reply: replied.set_result(reply)
        ):
            messages = iter([message])

            async def receive_again() -> Message:
                return next(messages, None) or await receive()

            await app(scope, receive_again, send)
            return
        status, headers, body = await replied
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})

    return answer


@asynccontextmanager
async def running_service(
    settings: Settings,
    url: DatabaseUrl,
    *,
    clock: Clock | None = None,
    sink: EventSink | None = None,
    shop_name: str = "Test shop",
) -> AsyncIterator[Service]:
    """Start the application as uvicorn would, and stop it at the end of the block. shop_name: of its storefront."""
    engine = create_engine(url)
    app = create_app(settings, url, clock=clock, sink=sink)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(whole_first(app)), base_url=URL)
    try:
        async with client, app.router.lifespan_context(app):
            shop = await create_storefront(engine, shop_name, "UTC", "EUR")
            kinds = (KeyKind.WRITE, KeyKind.SERVER, KeyKind.READ)
            keys = [(await create_key(engine, shop.storefront_id, kind)).secret for kind in kinds]
            yield Service(app, client, engine, shop.storefront_id, *keys)
    finally:
        await engine.dispose()
