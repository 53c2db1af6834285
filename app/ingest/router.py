"""The ingest routes: bytes in, reply out. Plain ASGI, because this is the path that every event takes."""

import asyncio
from collections.abc import Mapping
from functools import partial

from starlette.types import Receive, Scope, Send

from app.errors import MethodNotAllowed
from app.ingest.body import ClientGone
from app.ingest.cors import Header, preflight_headers
from app.ingest.decompress import decompressed_if_small
from app.ingest.formats import FORMATS
from app.ingest.formats.base import Reply, WireFormat
from app.ingest.intake import Intake
from app.ingest.parts import LARGE_BYTES, IngestParts
from app.ingest.reception import Reception, query_of
from app.ingest.replies import Refusals, body_of, headers_of, without_length
from app.ingest.whole import SendWhole, WholeRequests


def ingest_endpoints(parts: IngestParts) -> dict[str, "IngestEndpoint"]:
    """One endpoint per path of each wire format."""
    return {path: IngestEndpoint(path, wire_format, parts) for wire_format in FORMATS for path in wire_format.paths}


class IngestEndpoint:
    """An ASGI application that answers one wire format, and a shorter way for what is simple and comes most often.

    path: what metrics and logs call it.
    """

    def __init__(self, path: str, wire_format: WireFormat, parts: IngestParts) -> None:
        self.path = path
        self._format = wire_format
        self._parts = parts
        self._reception = Reception(wire_format, parts)
        self._intake = Intake(path, wire_format, parts)
        self._refusals = Refusals(wire_format, parts.gate)
        self._whole = WholeRequests(parts, self._reception, self._intake, self._refusals)

    def answer_whole(self, scope: Scope, raw: bytes, send: SendWhole) -> bool:
        """See `WholeRequests.answer`."""
        scope["route"] = self
        return self._whole.answer(scope, raw, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] == "OPTIONS":
            await _send(send, 204, preflight_headers(headers), b"")
            return
        try:
            with self._parts.gate:
                reply = await self._answer(scope, headers, receive)
            reply_headers, body = headers_of(reply, headers.get(b"origin")), body_of(reply)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # nothing stands outside of this endpoint
            response = await self._refusals.response_to(scope, error)
            await _send(send, response.status_code, response.raw_headers, bytes(response.body))
            return
        await _send(send, reply.status, reply_headers, body)

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Reply:
        if scope["method"] not in self._format.methods:
            allowed = ", ".join((*self._format.methods, "OPTIONS"))
            raise MethodNotAllowed(f"Events are sent with {allowed.split(',')[0]}.", headers={"Allow": allowed})
        parts, intake, query = self._parts, self._intake, query_of(scope)
        if await self._reception.is_ping(receive, headers):
            return Reply(200, b"")
        caller, raw = await self._reception.identify(receive, headers, query)
        parts.gate.check_storefront(caller.key.storefront.storefront_id)
        if caller.signature is None:
            intake.admit(caller.key, scope)
        if raw is None:
            raw = await self._reception.read(receive, headers)
        if caller.signature is not None:
            await caller.check_body(raw, parts.keys)
            intake.admit(caller.key, scope)  # only now: others could use up what its owner may send
        context = intake.context(scope, headers, query, caller, topic=self._reception.topic(headers))
        is_withheld = intake.is_withheld(headers, context)
        body = decompressed_if_small(raw, headers, LARGE_BYTES)
        if body is not None:
            content = intake.decode(body, context, is_withheld=is_withheld)
        else:
            decode = partial(intake.decode_large, raw, headers, context, is_withheld=is_withheld)
            with parts.gate.waiting_body(len(raw)):
                content = await asyncio.get_running_loop().run_in_executor(parts.large, decode)
        pending = intake.put(content, context, caller.key)
        return intake.reply(pending, [] if pending.done is None else await pending.done)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    length: Header = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*without_length(headers), length]})
    await send({"type": "http.response.body", "body": body})
