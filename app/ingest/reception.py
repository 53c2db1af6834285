"""Finds out whose a request is, reading no more of it than that takes."""

import asyncio
from collections.abc import Mapping
from functools import partial
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from app.errors import TooLarge
from app.ingest.body import read_body
from app.ingest.caller import Caller, SentKey, identify, identify_webhook, key_of_request, known_caller
from app.ingest.decompress import decompressed, decompressed_if_small
from app.ingest.formats.base import WireFormat
from app.ingest.parts import LARGE_BYTES, IngestParts

# Of a body that is looked through for its key, whoever sends it. Clients send batches of half as much at most.
KEYLESS_BYTES = 1024 * 1024


def query_of(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}


class Reception:
    """Of the requests of one wire format."""

    def __init__(self, wire_format: WireFormat, parts: IngestParts) -> None:
        self._format = wire_format
        self._has_key_of_its_own = type(wire_format).key is not WireFormat.key
        self._parts = parts

    async def is_ping(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bool:
        """Of a shop system that tries the address. Other unsigned requests to it are refused, so their body is gone."""
        shape = self._format.webhook
        if shape is None or shape.signature_header in headers:
            return False
        return shape.is_ping(await self.read(receive, headers))

    async def identify(
        self, receive: Receive, headers: Mapping[bytes, bytes], query: Mapping[str, str]
    ) -> tuple[Caller, bytes | None]:
        """Also the body, if it had to be read for that. Raises as `caller.identify` and `read`."""
        parts = self._parts
        if self._format.webhook is not None:
            return await identify_webhook(parts.keys, self._format.name, self._format.webhook, headers, query), None
        sent_key, raw = key_of_request(headers, query), None
        if sent_key is None and self._has_key_of_its_own:
            raw = await self.read(receive, headers)
            sent_key = await self._key_of_family(raw, headers, query)
        return await identify(parts.keys, sent_key, headers, query, parts.clock.now()), raw

    def known(self, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> Caller | None:
        """As `identify`, for a key that is at hand and stands where most have it; None takes `identify`."""
        if self._format.webhook is not None:
            return None
        return known_caller(self._parts.keys, key_of_request(headers, query), headers, query)

    def topic(self, headers: Mapping[bytes, bytes]) -> str:
        """What a webhook is about; "" for everything else."""
        shape = self._format.webhook
        return "" if shape is None else headers.get(shape.topic_header, b"").decode("latin-1")

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The body as sent. Raises as `read_body`."""
        max_bytes = self._parts.settings.request_max_bytes
        return await read_body(receive, headers, max_bytes=max_bytes, take_bytes=self._parts.gate.take_body_bytes)

    async def _key_of_family(
        self, raw: bytes, headers: Mapping[bytes, bytes], query: Mapping[str, str]
    ) -> SentKey | None:
        """From the body or the address, where this format has it."""
        if (body := decompressed_if_small(raw, headers, LARGE_BYTES)) is not None:
            secret = self._format.key(body, query)
        else:
            with self._parts.gate.waiting_body(len(raw)):
                find = partial(self._key_of_large, raw, headers, query)
                secret = await asyncio.get_running_loop().run_in_executor(self._parts.large, find)
        if not secret:
            return None
        return SentKey(secret, is_address=not self._format.has_secret_in_address and secret in query.values())

    def _key_of_large(self, raw: bytes, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
        """For a thread."""
        body = decompressed(raw, headers, self._parts.settings.request_max_bytes)
        if len(body) > KEYLESS_BYTES:
            raise TooLarge(f"A body of more than {KEYLESS_BYTES} bytes needs its key in Authorization or in ?key=.")
        return self._format.key(body, query)
