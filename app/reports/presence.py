"""Whether the client that asked is still there: work that nobody waits for is ended."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")


class ClientGone(Exception):
    """The client hung up before its answer was ready."""


class NoReply(Response):
    """For a client that has gone: there is nobody to send to."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises; cancels it and raises ClientGone when the client hangs up. The request's body
    has been read by then, or is not wanted."""
    working, watching = asyncio.create_task(work), asyncio.create_task(_hangs_up(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        watching.result()
        raise ClientGone
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _hangs_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
