"""What every reply of the ingest routes has, and the refusals that are told instead of one."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.errors import FootfallError, RetryLater, TooMany, Unavailable
from app.ingest.cors import Header, cors_headers
from app.ingest.formats.base import Reply, WireFormat
from app.ingest.gate import Gate
from app.problems import problem_response, request_id, unexpected_response

_encode = msgspec.json.Encoder().encode


class Refusals:
    """Of one wire format."""

    def __init__(self, wire_format: WireFormat, gate: Gate) -> None:
        self._format = wire_format
        self._gate = gate

    async def response_to(self, scope: Scope, error: Exception) -> Response:
        """Waits a moment where `Gate.hold_back` does."""
        if isinstance(error, RetryLater):
            error = self._understood(error)
            await self._gate.hold_back(error)
        response = _problem(error, request_id(Request(scope)))
        response.raw_headers += cors_headers(dict(scope["headers"]).get(b"origin"))
        return response

    def _understood(self, error: RetryLater) -> RetryLater:
        """429 only for those that send again after it."""
        if self._format.understands_too_many or not isinstance(error, TooMany):
            return error
        return Unavailable(error.detail, retry_after_seconds=int(error.headers["Retry-After"]))


def headers_of(reply: Reply, origin: bytes | None) -> list[Header]:
    own = [] if reply.content == b"" else [(b"content-type", reply.media_type.encode())]
    return own + cors_headers(origin)


def body_of(reply: Reply) -> bytes:
    return reply.content if isinstance(reply.content, bytes) else _encode(reply.content)


def without_length(headers: list[Header]) -> list[Header]:
    return [header for header in headers if header[0] != b"content-length"]


def _problem(error: Exception, instance: str) -> Response:
    if isinstance(error, FootfallError):
        return problem_response(error, instance)
    return unexpected_response(error, instance)
