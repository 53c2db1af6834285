"""The ingest routes: bytes in, reply out. Plain ASGI, because this is the path that every event takes."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.bearer import bearer_token
from app.clock import Clock
from app.config import Settings
from app.domain.event import Event, Trust
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, Rejection, RejectReason
from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import ApiKey, KeyDirectory, KeyKind
from app.errors import FootfallError, Forbidden, MethodNotAllowed, Unauthenticated, Unavailable, Unreadable
from app.ingest.batcher import Batcher, Submission
from app.ingest.body import ClientGone, read_body
from app.ingest.cors import Header, cors_headers, preflight_headers
from app.ingest.formats import FORMATS
from app.ingest.formats.base import Decoded, IngestResult, RequestContext, WireFormat
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from app.metrics import Metrics
from app.problems import problem_response, request_id, unexpected_response

JSON_HEADER: Header = (b"content-type", b"application/json")
# First stage that an event name means, for the metric that shows a stage gone silent.
STAGE_OF_EVENT = {rule.event_name: stage.name for stage in reversed(DEFAULT_STAGES) for rule in stage.rules}

INGEST_STEPS = ("decode", "pipeline", "commit")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class IngestParts:
    """What an ingest endpoint works with."""

    settings: Settings
    clock: Clock
    keys: KeyDirectory
    batcher: Batcher
    metrics: Metrics


def ingest_endpoints(parts: IngestParts) -> dict[str, "IngestEndpoint"]:
    """One endpoint per path of each wire format."""
    return {path: IngestEndpoint(path, wire_format, parts) for wire_format in FORMATS for path in wire_format.paths}


class IngestEndpoint:
    """An ASGI application that answers one wire format. path: what metrics and logs call it."""

    def __init__(self, path: str, wire_format: WireFormat, parts: IngestParts) -> None:
        self.path = path
        self._format = wire_format
        self._parts = parts
        # Kept at hand: finding a labelled child costs more than counting.
        metrics = parts.metrics
        self._outcomes = {outcome: metrics.events.labels(wire_format.name, outcome) for outcome in Outcome}
        self._seconds = {step: metrics.step_seconds.labels(step) for step in INGEST_STEPS}
        self._stages = {name: metrics.stage_events.labels(stage) for name, stage in STAGE_OF_EVENT.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] == "OPTIONS":
            await _send(send, 204, preflight_headers(headers), b"")
            return
        origin = headers.get(b"origin")
        try:
            status, body = await self._answer(scope, headers, receive)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # nothing stands outside of this endpoint
            response = _problem(error, request_id(Request(scope)))
            await _send(send, response.status_code, response.raw_headers + cors_headers(origin), bytes(response.body))
            return
        await _send(send, status, [JSON_HEADER, *cors_headers(origin)], body)

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> tuple[int, bytes]:
        if scope["method"] != "POST":
            raise MethodNotAllowed("Events are sent with POST.", headers={"Allow": "POST, OPTIONS"})
        parts, settings = self._parts, self._parts.settings
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        key = await self._authenticate(headers, query)
        trust = _trust(key, query)
        body = await read_body(
            receive,
            encoding=headers.get(b"content-encoding", b"").decode("latin-1").strip().lower(),
            max_bytes=settings.request_max_bytes,
            timeout_seconds=settings.request_timeout_seconds,
        )
        context = RequestContext(
            storefront_id=key.storefront.storefront_id,
            trust=trust,
            received_at=parts.clock.now(),
            content_type=headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower(),
            max_events=settings.request_max_events,
        )
        decoded = await self._decode(body, context)
        result = await self._store(decoded, context, len(body))
        self._count(decoded.events, result, context)
        status, reply = self._format.reply(result, query)
        return status, _encode(reply)

    async def _authenticate(self, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> ApiKey:
        """Raises 401 or 403."""
        authorization = headers.get(b"authorization")
        secret = bearer_token(authorization.decode("latin-1") if authorization else None)
        from_query = secret is None
        secret = secret or query.get("key")
        if not secret:
            raise Unauthenticated("Send a write or server key as `Authorization: Bearer KEY`, or a write key as ?key=.")
        key = await self._find_key(secret)
        if key is None:
            raise Unauthenticated("This key is not known; `footfall keys create` makes one.")
        if key.kind not in (KeyKind.WRITE, KeyKind.SERVER):
            raise Forbidden(f"This is a {key.kind} key; events are sent with a write or a server key.")
        if from_query and key.kind is not KeyKind.WRITE:
            raise Forbidden(
                "A server key is secret and must not stand in an address; send it as Authorization: Bearer."
            )
        origin = headers.get(b"origin")
        if origin is not None and key.origins is not None and origin.decode("latin-1") not in key.origins:
            raise Forbidden("This key may not be used from this origin; make one with `footfall keys create --origin`.")
        return key

    async def _find_key(self, secret: str) -> ApiKey | None:
        try:
            return await self._parts.keys.find(secret)
        except Exception as error:  # whatever the driver raises while Postgres is away
            raise Unavailable("Keys can't be checked at the moment; send again.", retry_after_seconds=2) from error

    async def _decode(self, body: bytes, context: RequestContext) -> Decoded:
        """An unreadable body is kept in quarantine before it is refused: its sender won't send it again."""
        started = time.perf_counter()
        try:
            decoded = self._format.decode(body, context)
        except Unreadable as error:
            if body:
                rejection = Rejection(0, RejectReason.INVALID_JSON, "", error.detail, body)
                result = await self._store(Decoded([], [], lambda: [body], [rejection]), context, len(body))
                self._count([], result, context)
            raise
        decoded_at = time.perf_counter()
        run_pipeline(decoded, context.received_at, STEPS)
        self._seconds["decode"].observe(decoded_at - started)
        self._seconds["pipeline"].observe(time.perf_counter() - decoded_at)
        return decoded

    async def _store(self, decoded: Decoded, context: RequestContext, size_bytes: int) -> IngestResult:
        """Waits for the commit."""
        started = time.perf_counter()
        refused = [
            RefusedEvent(
                context.storefront_id,
                self._format.name,
                context.trust,
                context.received_at,
                decoded.sent_at,
                rejection,
            )
            for rejection in decoded.rejections
        ]
        stored: list[Outcome] = []
        if decoded.received_count:
            received = Received(context.storefront_id, self._format.name, context.received_at, decoded.received_count)
            stored = await self._parts.batcher.submit(
                Submission(context.storefront_id, decoded.events, refused, size_bytes, [received])
            )
        self._seconds["commit"].observe(time.perf_counter() - started)
        return _result(decoded, stored)

    def _count(self, events: list[Event], result: IngestResult, context: RequestContext) -> None:
        metrics, name = self._parts.metrics, self._format.name
        for outcome in set(result.outcomes):
            self._outcomes[outcome].inc(result.count(outcome))
        for rejection in result.rejections:
            metrics.rejections.labels(name, rejection.reason).inc()
        for event_name, count in Counter(event.event_name for event in events).items():
            if event_name in self._stages:
                self._stages[event_name].inc(count)
        if events:
            oldest = min(event.occurred_at for event in events)
            metrics.event_delay_seconds.observe(max(0.0, (context.received_at - oldest).total_seconds()))


def _result(decoded: Decoded, stored: list[Outcome]) -> IngestResult:
    """Puts the outcomes of the commit and the refusals together, by place in the request."""
    outcomes = [Outcome.REJECTED] * decoded.received_count
    event_ids: list[str | None] = [None] * decoded.received_count
    rejections = list(decoded.rejections)
    for index, event, outcome in zip(decoded.indexes, decoded.events, stored, strict=True):
        outcomes[index] = outcome
        if outcome is Outcome.REJECTED:
            detail = "The database can't hold this event; it is kept for inspection."
            rejections.append(Rejection(index, RejectReason.UNSTORABLE, "", detail, b""))
        else:
            event_ids[index] = event.event_id
    return IngestResult(outcomes, event_ids, rejections)


def _trust(key: ApiKey, query: Mapping[str, str]) -> Trust:
    """From the key alone; a server key may only say less of itself, that it brings in history."""
    if query.get("source") == "import":
        if key.kind is not KeyKind.SERVER:
            raise Forbidden("Importing takes a server key.")
        return Trust.IMPORT
    return Trust.SERVER if key.kind is KeyKind.SERVER else Trust.BROWSER


def _problem(error: Exception, instance: str) -> Response:
    if isinstance(error, FootfallError):
        return problem_response(error, instance)
    return unexpected_response(error, instance)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    length: Header = (b"content-length", str(len(body)).encode())
    kept = [header for header in headers if header[0] != b"content-length"]
    await send({"type": "http.response.start", "status": status, "headers": [*kept, length]})
    await send({"type": "http.response.body", "body": body})
