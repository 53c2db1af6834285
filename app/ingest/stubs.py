"""Answers at the addresses that other makers' clients ask before they send; see `formats.base.Stub`."""

from collections.abc import Awaitable, Callable

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.ingest.cors import Header, cors_headers, preflight_headers
from app.ingest.formats import FORMATS
from app.ingest.formats.base import Stub

METHODS = ["GET", "HEAD", "POST", "OPTIONS"]


def stubs_router() -> APIRouter:
    router = APIRouter()
    for wire_format in FORMATS:
        for stub in wire_format.stubs:
            router.add_api_route(stub.path, _endpoint(stub), methods=METHODS, include_in_schema=False)
    return router


def _endpoint(stub: Stub) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        sent = dict(request.scope["headers"])
        if request.method == "OPTIONS":
            return _response(204, preflight_headers(sent))
        reply = stub.answer(request.path_params)
        content = reply.content if isinstance(reply.content, bytes) else msgspec.json.encode(reply.content)
        kind = (b"content-type", reply.media_type.encode())
        headers = [kind, (b"x-content-type-options", b"nosniff"), *cors_headers(sent.get(b"origin"))]
        return _response(reply.status, headers, content)

    return answer


def _response(status: int, headers: list[Header], content: bytes = b"") -> Response:
    response = Response(content, status)
    response.raw_headers += headers
    return response
