"""From a body whose sender is known to events in the buffer, and from what became of them to the reply."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from starlette.types import Scope

from app.domain.event import Trust
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent
from app.domain.storefront import ApiKey
from app.errors import RetryLater, TooMany
from app.ingest.batcher import Submission
from app.ingest.caller import Caller
from app.ingest.consent import asks_not_to_be_tracked
from app.ingest.content import Content, content_of
from app.ingest.context.campaign import hosts_of
from app.ingest.context.country import sender_of
from app.ingest.counting import Counting, result_of
from app.ingest.decompress import decompressed
from app.ingest.formats.base import Reply, RequestContext, WireFormat
from app.ingest.parts import IngestParts
from app.ingest.steps.mark_bot import is_bot, mark_bot


@dataclass(slots=True)
class Pending:
    """A request whose events are on their way to storage. done: what became of each of them; None when there are none.

    started: by time.perf_counter.
    """

    content: Content
    context: RequestContext
    done: asyncio.Future[list[Outcome]] | None
    started: float


class Intake:
    """Of the requests of one path of a wire format."""

    def __init__(self, path: str, wire_format: WireFormat, parts: IngestParts) -> None:
        self._path = path
        self._format = wire_format
        self._parts = parts
        self._counting = Counting(wire_format, parts.metrics)

    def context(
        self, scope: Scope, headers: Mapping[bytes, bytes], query: Mapping[str, str], caller: Caller, topic: str
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
            path=self._path,
            query=query,
            topic=topic,
            own_hosts=hosts_of(caller.key.origins),
        )
        if caller.trust is Trust.BROWSER:
            name = partial(parts.cookieless.key_of, context.storefront_id, scope, context.received_at)
            context.cookieless_key = name
            context.sender = sender_of(headers, parts.countries.country_of(scope, headers))
        return context

    def is_withheld(self, headers: Mapping[bytes, bytes], context: RequestContext) -> bool:
        is_heeded = self._parts.settings.respect_gpc and context.trust is Trust.BROWSER
        return is_heeded and asks_not_to_be_tracked(headers)

    def admit(self, key: ApiKey, scope: Scope) -> None:
        """Raises TooMany (429), and has that in the ledger: as one event, since how many they are is not known."""
        parts = self._parts
        try:
            parts.limits.admit(key, scope)
        except TooMany:
            shop_id, now = key.storefront.storefront_id, parts.clock.now()
            parts.batcher.note(Received(shop_id, self._format.name, now, received=1, limited=1))
            raise

    def decode_large(
        self, raw: bytes, headers: Mapping[bytes, bytes], context: RequestContext, *, is_withheld: bool
    ) -> Content:
        """For a thread. Decompresses too, so that only the body in work is held in full size."""
        body = decompressed(raw, headers, self._parts.settings.request_max_bytes)
        return self.decode(body, context, is_withheld=is_withheld)

    def decode(self, body: bytes, context: RequestContext, *, is_withheld: bool) -> Content:
        """Pure."""
        redacts = self._parts.settings.redact
        return content_of(body, self._format, context, is_withheld=is_withheld, redacts=redacts)

    def put(self, content: Content, context: RequestContext, key: ApiKey) -> Pending:
        """Into the buffer. Raises RetryLater (429, 503)."""
        decoded, pending = content.decoded, Pending(content, context, None, time.perf_counter())
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

    def _submission(self, content: Content, context: RequestContext) -> Submission:
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

    def reply(self, pending: Pending, stored: list[Outcome]) -> Reply:
        """After the commit. An unreadable body is in quarantine by now, and refused: its sender won't send it again."""
        content, context = pending.content, pending.context
        result = result_of(content.decoded, stored)
        self._counting.count(content, result, context, commit_seconds=time.perf_counter() - pending.started)
        if content.fault is not None:
            raise content.fault
        return self._format.reply(result, context.query)
