"""Stands before a service and refuses the first two requests with events; the second has been stored all the same."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.ingest.formats import FORMATS

EVENT_PATHS = frozenset(path for wire_format in FORMATS for path in wire_format.paths)
# About one connection or one body: httpx and uvicorn say these themselves.
NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
STOP_SECONDS = 10.0


class Front:
    """An ASGI application. refused: the paths of what was answered 503."""

    def __init__(self, service_url: str) -> None:
        self.refused: list[str] = []
        self._service_url = service_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        is_refused = _is_repeatable(request) and len(self.refused) < 2
        if is_refused:
            self.refused.append(request.url.path)
        is_first = is_refused and len(self.refused) == 1
        response = _unavailable(request) if is_first else await self._passed_on(request)
        if is_refused:
            response.status_code = 503
        await response(scope, receive, send)

    async def _passed_on(self, request: Request) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name not in NOT_PASSED_ON]
        async with httpx.AsyncClient(base_url=self._service_url, trust_env=False) as service:
            url = httpx.URL(path=request.url.path, query=request.url.query.encode())
            reply = await service.request(request.method, url, headers=headers, content=await request.body())
        passed_on = {name: value for name, value in reply.headers.items() if name not in NOT_PASSED_ON}
        return Response(reply.content, reply.status_code, passed_on)


def _is_repeatable(request: Request) -> bool:
    """With events, and from somebody who reads the reply: a browser says of a beacon that nobody will."""
    is_beacon = request.headers.get("sec-fetch-mode") == "no-cors"
    return request.method == "POST" and request.url.path in EVENT_PATHS and not is_beacon


def _unavailable(request: Request) -> Response:
    """As the service answers when it is behind."""
    headers = {
        "access-control-allow-origin": request.headers.get("origin", "*"),
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Retry-After",
        "retry-after": "1",
    }
    return Response(status_code=503, headers=headers)


@contextmanager
def standing_before(service_url: str) -> Iterator[tuple[Front, str]]:
    """The front and its address."""
    front = Front(service_url)
    server = uvicorn.Server(uvicorn.Config(front, host="127.0.0.1", port=0, lifespan="off", log_config=None))
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, args=([socket],), name="front")
    thread.start()
    try:
        yield front, f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
