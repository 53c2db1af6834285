"""The ingest routes: bytes in, reply out. Plain ASGI, because this is the path that every event takes."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from app.ingest.caller import Caller
from app.ingest.consent import asks_not_to_be_tracked, refuses_consent
from app.ingest.context.campaign import hosts_of
from app.ingest.context.country import sender_of
from app.ingest.cors import Header, cors_headers, preflight_headers
from app.ingest.decompress import decompressed, decompressed_if_small, is_plain
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

# Sends a whole reply: status, headers without the length, body.
SendWhole = Callable[[int, Sequence[Header], bytes], None]


class _Content(NamedTuple):
    """What was found in a body. size_bytes: after decompression. fault: why nothing could be made of it."""

    decoded: Decoded
    size_bytes: int
    decode_seconds: float
    pipeline_seconds: float = 0.0
    fault: Unreadable | None = None


@dataclass(slots=True)
class _Pending:
    """A request whose events are on their way to storage. done: what became of each of them; None when there are none.

    started: by time.perf_counter.
    """

    content: _Content
    context: RequestContext
    done: asyncio.Future[list[Outcome]] | None
    started: float


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
        # Kept at hand: finding a labelled child costs more than counting.
        metrics = parts.metrics
        self._outcomes = {outcome: metrics.events.labels(wire_format.name, outcome) for outcome in Outcome}
        self._seconds = {step: metrics.step_seconds.labels(step) for step in INGEST_STEPS}
        self._delay = metrics.event_delay_seconds.labels()
        self._stages = {name: metrics.stage_events.labels(stage) for name, stage in STAGE_OF_EVENT.items()}
        self._whole_bytes_max = min(LARGE_BYTES, parts.settings.request_max_bytes)
        self._refusals: set[asyncio.Task[None]] = set()

    def answer_whole(self, scope: Scope, raw: bytes, send: SendWhole) -> bool:
        """For a request that is here as a whole: answers it as `__call__` does, but without a task, for these cost as
        much as all that is done here. False when that is not possible; then nothing is done. Never raises.

        raw: the body as sent. send: called once, now or later.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] != "POST" or len(raw) > self._whole_bytes_max or not is_plain(raw, headers):
            return False
        scope["route"] = self
        query = _query(scope)
        try:
            caller = self._reception.known(headers, query)
            if caller is None:
                return False
            pending = self._begin_whole(scope, headers, query, caller, raw)
        except Exception as error:  # noqa: BLE001  # as in `__call__`
            self._refuse_whole(scope, send, error)
            return True
        if pending.done is None:
            self._end_whole(scope, headers.get(b"origin"), send, pending, None)
        else:
            pending.done.add_done_callback(partial(self._end_whole, scope, headers.get(b"origin"), send, pending))
        return True

    def _begin_whole(
        self, scope: Scope, headers: Mapping[bytes, bytes], query: Mapping[str, str], caller: Caller, body: bytes
    ) -> _Pending:
        """Lets it in through the gate; `_end_whole` lets it out. Raises as `_answer`."""
        gate = self._parts.gate
        gate.let_in()
        try:
            gate.check_storefront(caller.key.storefront.storefront_id)
            self._admit(caller.key, scope)
            context = self._context(scope, headers, query, caller)
            content = self._decode(body, context, is_withheld=self._is_withheld(headers, context))
            return self._put(content, context, caller.key)
        except BaseException:
            gate.let_out()
            raise

    def _end_whole(
        self,
        scope: Scope,
        origin: bytes | None,
        send: SendWhole,
        pending: _Pending,
        done: asyncio.Future[list[Outcome]] | None,
    ) -> None:
        self._parts.gate.let_out()
        try:
            reply = self._reply(pending, [] if done is None else done.result())
        except Exception as error:  # noqa: BLE001  # as in `__call__`
            self._refuse_whole(scope, send, error)
        else:
            send(reply.status, _headers(reply, origin), _content(reply))

    def _refuse_whole(self, scope: Scope, send: SendWhole, error: Exception) -> None:
        async def refuse() -> None:
            response = await self._refusal(scope, error)
            send(response.status_code, _without_length(response.raw_headers), bytes(response.body))

        task = asyncio.get_running_loop().create_task(refuse())
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["method"] == "OPTIONS":
            await _send(send, 204, preflight_headers(headers), b"")
            return
        try:
            with self._parts.gate:
                reply = await self._answer(scope, headers, receive)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # nothing stands outside of this endpoint
            response = await self._refusal(scope, error)
            await _send(send, response.status_code, response.raw_headers, bytes(response.body))
            return
        await _send(send, reply.status, _headers(reply, headers.get(b"origin")), _content(reply))

    async def _refusal(self, scope: Scope, error: Exception) -> Response:
        """Waits a moment where `Gate.hold_back` does."""
        if isinstance(error, RetryLater):
            error = self._understood(error)
            await self._parts.gate.hold_back(error)
        response = _problem(error, request_id(Request(scope)))
        response.raw_headers += cors_headers(dict(scope["headers"]).get(b"origin"))
        return response

    def _understood(self, error: RetryLater) -> RetryLater:
        """429 only for those that send again after it."""
        if self._format.understands_too_many or not isinstance(error, TooMany):
            return error
        return Unavailable(error.detail, retry_after_seconds=int(error.headers["Retry-After"]))

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Reply:
        if scope["method"] not in self._format.methods:
            allowed = ", ".join((*self._format.methods, "OPTIONS"))
            raise MethodNotAllowed(f"Events are sent with {allowed.split(',')[0]}.", headers={"Allow": allowed})
        parts, query = self._parts, _query(scope)
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
        context = self._context(scope, headers, query, caller)
        is_withheld = self._is_withheld(headers, context)
        body = decompressed_if_small(raw, headers, LARGE_BYTES)
        if body is not None:
            content = self._decode(body, context, is_withheld=is_withheld)
        else:
            decode = partial(self._decode_large, raw, headers, context, is_withheld=is_withheld)
            with parts.gate.waiting_body(len(raw)):
                content = await asyncio.get_running_loop().run_in_executor(parts.large, decode)
        pending = self._put(content, context, caller.key)
        return self._reply(pending, [] if pending.done is None else await pending.done)

    def _context(
        self, scope: Scope, headers: Mapping[bytes, bytes], query: Mapping[str, str], caller: Caller
    ) -> RequestContext:
        parts, settings = self._parts, self._parts.settings
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
        return context

    def _is_withheld(self, headers: Mapping[bytes, bytes], context: RequestContext) -> bool:
        is_heeded = self._parts.settings.respect_gpc and context.trust is Trust.BROWSER
        return is_heeded and asks_not_to_be_tracked(headers)

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

    def _put(self, content: _Content, context: RequestContext, key: ApiKey) -> _Pending:
        """Into the buffer. Raises RetryLater (429, 503)."""
        decoded, pending = content.decoded, _Pending(content, context, None, time.perf_counter())
        if context.is_bot:
            mark_bot(decoded.events)
        self._parts.limits.spend(key, decoded.received_count - 1)
        if not decoded.received_count:
            return pending
        submission = self._submission(content, context)
        try:
            self._parts.batcher.put(submission)
        except RetryLater as error:
            self._parts.gate.note_refusal(context.storefront_id, error)
            raise
        pending.done = submission.done
        return pending

    def _submission(self, content: _Content, context: RequestContext) -> Submission:
        decoded = content.decoded
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
        received = Received(
            context.storefront_id,
            self._format.name,
            context.received_at,
            decoded.received_count,
            no_consent=len(decoded.no_consent),
        )
        # What all events of a request share is in each refused one.
        refused_bytes = sum([len(rejection.raw) for rejection in decoded.rejections])
        # No more than there can ever be room for, or it would be told to come again for ever.
        size_bytes = min(max(content.size_bytes, refused_bytes), self._parts.settings.buffer_max_bytes)
        raw_of = lambda place: decoded.raws()[decoded.indexes[place]]  # noqa: E731  # hardly ever called
        return Submission(context.storefront_id, decoded.events, refused, size_bytes, [received], raw_of)

    def _reply(self, pending: _Pending, stored: list[Outcome]) -> Reply:
        """After the commit. An unreadable body is in quarantine by now, and refused: its sender won't send it again."""
        content, context = pending.content, pending.context
        self._seconds["commit"].observe(time.perf_counter() - pending.started)
        result = _result(content.decoded, stored)
        self._count(content.decoded, result, context)
        if content.fault is not None:
            raise content.fault
        self._seconds["decode"].observe(content.decode_seconds)
        self._seconds["pipeline"].observe(content.pipeline_seconds)
        return self._format.reply(result, context.query)

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
        for event_name, count in Counter([event.event_name for event in events]).items():
            if (stage := self._stages.get(event_name)) is not None:
                stage.inc(count)
        if events:
            oldest = min([event.occurred_at for event in events])
            self._delay.observe(max(0.0, (context.received_at - oldest).total_seconds()))


def _unreadable(body: bytes, detail: str, trust: Trust) -> Rejection:
    """To be kept whole, but for what anybody can send."""
    if trust is Trust.BROWSER and len(body) > BROWSER_UNREADABLE_BYTES:
        detail = f"{detail} Of its {len(body)} bytes the first {BROWSER_UNREADABLE_BYTES} are kept."
        body = body[:BROWSER_UNREADABLE_BYTES]
    return Rejection(0, RejectReason.INVALID_JSON, "", detail, body)


def _result(decoded: Decoded, stored: list[Outcome]) -> IngestResult:
    """Puts the outcomes of the commit and the refusals together, by place in the request."""
    if len(stored) == decoded.received_count and Outcome.REJECTED not in stored:
        return IngestResult(stored, [event.event_id for event in decoded.events], [], decoded.for_reply)
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


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}


def _headers(reply: Reply, origin: bytes | None) -> list[Header]:
    own = [] if reply.content == b"" else [(b"content-type", reply.media_type.encode())]
    return own + cors_headers(origin)


def _content(reply: Reply) -> bytes:
    return reply.content if isinstance(reply.content, bytes) else _encode(reply.content)


def _problem(error: Exception, instance: str) -> Response:
    if isinstance(error, FootfallError):
        return problem_response(error, instance)
    return unexpected_response(error, instance)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    length: Header = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*_without_length(headers), length]})
    await send({"type": "http.response.body", "body": body})


def _without_length(headers: list[Header]) -> list[Header]:
    return [header for header in headers if header[0] != b"content-length"]
