"""The ingest routes: bytes in, reply out. Plain ASGI, because this is the path that every event takes."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.domain.event import Trust
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent, Rejection, RejectReason
from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import ApiKey
from app.errors import FootfallError, MethodNotAllowed, RetryLater, TooMany, Unavailable, Unreadable
from app.ingest.batcher import Submission
from app.ingest.body import ClientGone
from app.ingest.consent import asks_not_to_be_tracked, refuses_consent
from app.ingest.context.campaign import hosts_of
from app.ingest.context.country import sender_of
from app.ingest.cors import Header, cors_headers, preflight_headers
from app.ingest.decompress import decompressed, decompressed_if_small
from app.ingest.formats import FORMATS
from app.ingest.formats.base import Decoded, IngestResult, Reply, RequestContext, WireFormat
from app.ingest.formats.native import NATIVE
from app.ingest.parts import LARGE_BYTES, IngestParts
from app.ingest.pipeline import run_pipeline
from app.ingest.reception import Reception
from app.ingest.steps import STEPS
from app.ingest.steps.mark_bot import is_bot, mark_bot
from app.problems import problem_response, request_id, unexpected_response

# First stage that an event name means, for the metric that shows a stage gone silent.
STAGE_OF_EVENT = {rule.event_name: stage.name for stage in reversed(DEFAULT_STAGES) for rule in stage.rules}

# Of an unreadable body sent with a write key, which is public: as much as browsers send in a beacon.
BROWSER_UNREADABLE_BYTES = 64 * 1024

INGEST_STEPS = ("decode", "pipeline", "commit")

_encode = msgspec.json.Encoder().encode


class _Content(NamedTuple):
    """What was found in a body. size_bytes: after decompression. fault: why nothing could be made of it."""

    decoded: Decoded
    size_bytes: int
    decode_seconds: float
    pipeline_seconds: float = 0.0
    fault: Unreadable | None = None


def ingest_endpoints(parts: IngestParts) -> dict[str, "IngestEndpoint"]:
    """One endpoint per path of each wire format."""
    return {path: IngestEndpoint(path, wire_format, parts) for wire_format in FORMATS for path in wire_format.paths}


class IngestEndpoint:
    """An ASGI application that answers one wire format. path: what metrics and logs call it."""

    def __init__(self, path: str, wire_format: WireFormat, parts: IngestParts) -> None:
        self.path = path
        self._format = wire_format
        self._parts = parts
        self._reception = Reception(wire_format, parts)
        # Kept at hand: finding a labelled child costs more than counting.
        metrics = parts.metrics
        self._outcomes = {outcome: metrics.events.labels(wire_format.name, outcome) for outcome in Outcome}
        self._seconds = {step: metrics.step_seconds.labels(step) for step in INGEST_STEPS}
        self._delay = metrics.event_delay_seconds.labels()
        self._stages = {name: metrics.stage_events.labels(stage) for name, stage in STAGE_OF_EVENT.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] == "OPTIONS":
            await _send(send, 204, preflight_headers(headers), b"")
            return
        origin = headers.get(b"origin")
        try:
            with self._parts.gate:
                reply = await self._answer(scope, headers, receive)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # nothing stands outside of this endpoint
            if isinstance(error, RetryLater):
                error = self._understood(error)
                await self._parts.gate.hold_back(error)
            response = _problem(error, request_id(Request(scope)))
            await _send(send, response.status_code, response.raw_headers + cors_headers(origin), bytes(response.body))
            return
        await _send(send, reply.status, [*_content_type(reply), *cors_headers(origin)], _content(reply))

    def _understood(self, error: RetryLater) -> RetryLater:
        """429 only for those that send again after it."""
        if self._format.understands_too_many or not isinstance(error, TooMany):
            return error
        return Unavailable(error.detail, retry_after_seconds=int(error.headers["Retry-After"]))

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Reply:
        if scope["method"] not in self._format.methods:
            allowed = ", ".join((*self._format.methods, "OPTIONS"))
            raise MethodNotAllowed(f"Events are sent with {allowed.split(',')[0]}.", headers={"Allow": allowed})
        parts, settings = self._parts, self._parts.settings
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        if await self._reception.is_ping(receive, headers):
            return Reply(200, b"")
        caller, raw = await self._reception.identify(receive, headers, query)
        parts.gate.check_storefront(caller.key.storefront.storefront_id)
        if caller.signature is None:
            self._admit(caller.key, scope)
        if raw is None:
            raw = await self._reception.read(receive, headers)
        if caller.signature is not None:
            await caller.check_body(raw, parts.keys)
            self._admit(caller.key, scope)  # only now: others could use up what its owner may send
        context = RequestContext(
            storefront_id=caller.key.storefront.storefront_id,
            trust=caller.trust,
            received_at=parts.clock.now(),
            content_type=headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower(),
            max_events=settings.request_max_events,
            retention_days=caller.key.storefront.retention_days,
            # Servers send on behalf of people.
            is_bot=caller.trust is Trust.BROWSER and is_bot(headers.get(b"user-agent", b"")),
            path=self.path,
            query=query,
            topic=self._reception.topic(headers),
            own_hosts=hosts_of(caller.key.origins),
        )
        if caller.trust is Trust.BROWSER:
            name = partial(parts.cookieless.key_of, context.storefront_id, scope, context.received_at)
            context.cookieless_key = name
            context.sender = sender_of(headers, parts.countries.country_of(scope, headers))
        is_withheld = settings.respect_gpc and context.trust is Trust.BROWSER and asks_not_to_be_tracked(headers)
        body = decompressed_if_small(raw, headers, LARGE_BYTES)
        if body is not None:
            content = self._decode(body, context, is_withheld=is_withheld)
        else:
            decode = partial(self._decode_large, raw, headers, context, is_withheld=is_withheld)
            with parts.gate.waiting_body(len(raw)):
                content = await asyncio.get_running_loop().run_in_executor(parts.large, decode)
        decoded = content.decoded
        if context.is_bot:
            mark_bot(decoded.events)
        parts.limits.spend(caller.key, decoded.received_count - 1)
        # What all events of a request share is in each refused one.
        refused_bytes = sum(len(rejection.raw) for rejection in decoded.rejections)
        # No more than there can ever be room for, or it would be told to come again for ever.
        size_bytes = min(max(content.size_bytes, refused_bytes), settings.buffer_max_bytes)
        # An unreadable body is kept in quarantine before it is refused: its sender won't send it again.
        result = await self._store(decoded, context, size_bytes)
        self._count(decoded, result, context)
        if content.fault is not None:
            raise content.fault
        self._seconds["decode"].observe(content.decode_seconds)
        self._seconds["pipeline"].observe(content.pipeline_seconds)
        return self._format.reply(result, query)

    def _admit(self, key: ApiKey, scope: Scope) -> None:
        """Raises TooMany (429), and has that in the ledger: as one event, since how many they are is not known."""
        parts = self._parts
        try:
            parts.limits.admit(key, scope)
        except TooMany:
            shop_id, now = key.storefront.storefront_id, parts.clock.now()
            parts.batcher.note(Received(shop_id, self._format.name, now, received=1, limited=1))
            raise

    def _decode_large(
        self, raw: bytes, headers: Mapping[bytes, bytes], context: RequestContext, *, is_withheld: bool
    ) -> _Content:
        """For a thread. Decompresses too, so that only the body in work is held in full size."""
        body = decompressed(raw, headers, self._parts.settings.request_max_bytes)
        return self._decode(body, context, is_withheld=is_withheld)

    def _decode(self, body: bytes, context: RequestContext, *, is_withheld: bool) -> _Content:
        """Pure."""
        started = time.perf_counter()
        try:
            decoded = self._format.decode(body, context)
        except Unreadable as error:
            rejections = [_unreadable(body, error.detail, context.trust)] if body else []
            unread = Decoded([], [], lambda: [body], rejections)
            if is_withheld or refuses_consent(body):
                unread.withhold()
            return _Content(unread, len(body), time.perf_counter() - started, fault=error)
        if self._format is not NATIVE:  # which events are by default
            for event in decoded.events:
                event.source = self._format.name
        decoded_at = time.perf_counter()
        if is_withheld:
            decoded.withhold()
        run_pipeline(
            decoded,
            context.received_at,
            STEPS,
            retention_days=context.retention_days,
            sender=context.sender,
            own_hosts=context.own_hosts,
            cookieless_key=context.cookieless_key,
            redacts=self._parts.settings.redact,
        )
        return _Content(decoded, len(body), decoded_at - started, time.perf_counter() - decoded_at)

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
                context.is_bot,
            )
            for rejection in decoded.rejections
        ]
        stored: list[Outcome] = []
        if decoded.received_count:
            received = Received(
                context.storefront_id,
                self._format.name,
                context.received_at,
                decoded.received_count,
                no_consent=len(decoded.no_consent),
            )
            raw_of = lambda place: decoded.raws()[decoded.indexes[place]]  # noqa: E731  # hardly ever called
            submission = Submission(context.storefront_id, decoded.events, refused, size_bytes, [received], raw_of)
            try:
                stored = await self._parts.batcher.submit(submission)
            except RetryLater as error:
                if not submission.done.done():  # there was no room; otherwise its commit failed
                    self._parts.gate.note_refusal(context.storefront_id, error)
                raise
        self._seconds["commit"].observe(time.perf_counter() - started)
        return _result(decoded, stored)

    def _count(self, decoded: Decoded, result: IngestResult, context: RequestContext) -> None:
        metrics, name, events = self._parts.metrics, self._format.name, decoded.events
        for outcome in set(result.outcomes):
            counted_as = Outcome.BOT if context.is_bot and outcome is Outcome.STORED else outcome
            self._outcomes[counted_as].inc(result.count(outcome))
        for rejection in result.rejections:
            metrics.rejections.labels(name, rejection.reason).inc()
        if decoded.customers_refused:
            metrics.customers_refused.labels(name).inc(decoded.customers_refused)
        for kind, count in decoded.redacted.items():
            metrics.redacted.labels(kind).inc(count)
        for event in events:
            if (stage := self._stages.get(event.event_name)) is not None:
                stage.inc()
        if events:
            oldest = min(event.occurred_at for event in events)
            self._delay.observe(max(0.0, (context.received_at - oldest).total_seconds()))


def _unreadable(body: bytes, detail: str, trust: Trust) -> Rejection:
    """To be kept whole, but for what anybody can send."""
    if trust is Trust.BROWSER and len(body) > BROWSER_UNREADABLE_BYTES:
        detail = f"{detail} Of its {len(body)} bytes the first {BROWSER_UNREADABLE_BYTES} are kept."
        body = body[:BROWSER_UNREADABLE_BYTES]
    return Rejection(0, RejectReason.INVALID_JSON, "", detail, body)


def _result(decoded: Decoded, stored: list[Outcome]) -> IngestResult:
    """Puts the outcomes of the commit and the refusals together, by place in the request."""
    outcomes = [Outcome.REJECTED] * decoded.received_count
    event_ids: list[str | None] = [None] * decoded.received_count
    rejections = list(decoded.rejections)
    for index in decoded.no_consent:
        outcomes[index] = Outcome.NO_CONSENT
    for index, event, outcome in zip(decoded.indexes, decoded.events, stored, strict=True):
        outcomes[index] = outcome
        if outcome is Outcome.REJECTED:
            detail = "The database can't hold this event; it is kept for inspection."
            rejections.append(Rejection(index, RejectReason.UNSTORABLE, "", detail, b""))
        else:
            event_ids[index] = event.event_id
    return IngestResult(outcomes, event_ids, rejections, decoded.for_reply)


def _content_type(reply: Reply) -> list[Header]:
    return [] if reply.content == b"" else [(b"content-type", reply.media_type.encode())]


def _content(reply: Reply) -> bytes:
    return reply.content if isinstance(reply.content, bytes) else _encode(reply.content)


def _problem(error: Exception, instance: str) -> Response:
    if isinstance(error, FootfallError):
        return problem_response(error, instance)
    return unexpected_response(error, instance)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    length: Header = (b"content-length", str(len(body)).encode())
    kept = [header for header in headers if header[0] != b"content-length"]
    await send({"type": "http.response.start", "status": status, "headers": [*kept, length]})
    await send({"type": "http.response.body", "body": body})
