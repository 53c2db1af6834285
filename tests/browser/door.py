"""Stands before the service: lets requests through, refuses them, or hides that they were answered."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_AFTER_SECONDS = 1


class Mode(Enum):
    OPEN = auto()
    UNAVAILABLE = auto()  # 503 with Retry-After, before the service sees anything
    LIMITED = auto()  # 429 likewise
    SILENT = auto()  # the service stores, but its reply does not arrive


REFUSALS = {Mode.UNAVAILABLE: 503, Mode.LIMITED: 429}


@dataclass
class Knock:
    """One request with events. at: seconds on the monotonic clock."""

    at: float
    key: str
    body: bytes
    content_type: str
    is_beacon: bool
    mode: Mode

    @property
    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)["events"]
        return found


@dataclass
class Door:
    """An ASGI application around another."""

    app: ASGIApp
    mode: Mode = Mode.OPEN
    script_delay_seconds: float = 0.0
    knocks: list[Knock] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/t.js":
            await asyncio.sleep(self.script_delay_seconds)
        if scope["type"] != "http" or scope["path"] != "/v1/events":
            await self.app(scope, receive, send)
            return
        body = await _whole(receive)
        headers = dict(scope["headers"])
        key = parse_qs(scope["query_string"].decode())["key"][0]
        # Chromium says of a beacon that nobody will read the reply.
        is_beacon = headers.get(b"sec-fetch-mode") == b"no-cors"
        content_type = headers.get(b"content-type", b"").decode()
        self.knocks.append(Knock(time.monotonic(), key, body, content_type, is_beacon, self.mode))
        if self.mode in REFUSALS:
            await _refuse(send, REFUSALS[self.mode], headers.get(b"origin", b"*"))
        elif self.mode is Mode.SILENT:
            await self.app(scope, _replayed(body), _unheard)
            await asyncio.Event().wait()  # until the page, or the server, goes
        else:
            await self.app(scope, _replayed(body), send)


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body"):
            return body


def _replayed(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _unheard(message: Message) -> None:
    del message


async def _refuse(send: Send, status: int, origin: bytes) -> None:
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"Retry-After"),
        (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
