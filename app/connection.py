"""One client's connection: uvicorn's HTTP protocol with deadlines for the head, the body and the reading of replies."""

import random
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.connection_limits import (
    HEAD_MAX_BYTES,
    HEADERS_MAX,
    INVALID,
    LATE_BODY,
    LATE_HEAD,
    LINGER_SECONDS,
    PIPELINE_MAX,
    REFUSED_MAX,
    TOO_LARGE,
    TOO_MANY,
    ConnectionLimits,
    CutReason,
)

NEVER = float("inf")

# Sends a reply: status, headers, body.
Reply = Callable[[int, Sequence[tuple[bytes, bytes]], bytes], None]
# Answers a request that is here as a whole, now or later; False: it does not, and has done nothing. Never raises.
AnswerWhole = Callable[[Scope, bytes, Reply], bool]


class Awaited(Enum):
    """What the client owes us next."""

    HEAD = "head"
    BODY = "body"
    NEXT = "next"  # request: nothing of it is here yet, and it may take its time
    END = "end"  # of a connection that is refused


def _nothing() -> None:
    """Follows a reply that has been followed up already."""


class _EndOfParsing(Exception):
    """Makes the parser stop; `send_400_response` comes next."""


class Connection(HttpToolsProtocol):
    """Deadlines are not timers of their own, which every request would have to set and to cancel, but moments that
    `check` compares with the clock twice a second (see `Server`).

    answer_whole: asked first about each request that came in one piece, which spares it uvicorn's task and messages.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        answer_whole: AnswerWhole,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: Any = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._answer_whole = answer_whole
        self._parsing = False
        self._begun: RequestResponseCycle | None = None
        self._awaited = Awaited.HEAD
        self._deadline = NEVER
        self._head_bytes = 0
        self._cut_reason: CutReason | None = None
        self._unread_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = time.monotonic() + self._limits.head_seconds
        excess = len(self.connections) - self._limits.connections_max
        if excess > 0:
            self._limits.count_cut(CutReason.TOO_MANY)
            self._awaited, self._deadline = Awaited.END, time.monotonic() + LINGER_SECONDS
            if excess > REFUSED_MAX:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._awaited is Awaited.END:
            self._refuse()
            return
        if self._awaited is Awaited.NEXT:
            self._awaited, self._deadline = Awaited.HEAD, NEVER
        elif self._is_answering():
            self.flow.pause_reading()  # until the reply is out: the next request can wait
        self._parsing = True
        HttpToolsProtocol.data_received(self, data)
        self._parsing = False
        if self._begun is not None:
            self._answer(self._begun)
        now: RequestResponseCycle | None = self.cycle
        if (now is None or now.response_complete) and self._awaited is not Awaited.NEXT:
            self._count_head(len(data))

    def on_headers_complete(self) -> None:
        if len(self.headers) > HEADERS_MAX or len(self.pipeline) >= PIPELINE_MAX:
            self._cut_reason = CutReason.HEAD_TOO_LARGE if len(self.headers) > HEADERS_MAX else CutReason.PIPELINE
            raise _EndOfParsing
        HttpToolsProtocol.on_headers_complete(self)  # found faster than by super()
        self._awaited = Awaited.BODY
        self._deadline = time.monotonic() + self._limits.body_seconds
        if self._limits.stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._deadline = NEVER
        HttpToolsProtocol.on_message_complete(self)
        if self.cycle.response_complete:  # the reply did not wait for the body
            self._await_next()

    def on_response_complete(self) -> None:
        """As uvicorn's, but that the wait for the next request is a deadline and no timer."""
        self.server_state.total_requests += 1
        if self._deadline != NEVER and self.cycle.response_complete:  # the body is still on its way
            self._deadline = time.monotonic() + LINGER_SECONDS
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deadline == NEVER:
            self._await_next()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """A request that has just begun to come waits until all that is here is parsed: mostly it is whole then."""
        if self._parsing:
            self._begun = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _answer(self, cycle: RequestResponseCycle) -> None:
        self._begun = None
        is_whole = not (cycle.more_body or cycle.waiting_for_100_continue or self.flow.write_paused)
        scope = cast(Scope, cycle.scope)
        if not (is_whole and self._answer_whole(scope, bytes(cycle.body), partial(self._reply, cycle))):
            super()._start_asgi_task(cycle, self.app)

    def _reply(
        self, cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """A whole reply in one write, unless the connection has ended: of requests that came together, only the last
        is told so."""
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        cycle.on_response = _nothing  # as uvicorn does: nothing is left that refers to itself
        lines = [b"%s: %s\r\n" % header for header in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"".join((STATUS_LINE[status], *lines, length, body)))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def resume_writing(self) -> None:
        self._unread_since = None  # the client reads, if slowly
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are replaced by ours
        if self._cut_reason is not None:
            self._limits.count_cut(self._cut_reason)
        is_answering = self._is_answering()
        if self._cut_reason is CutReason.PIPELINE or (self.pipeline and not is_answering):
            self.transport.abort()  # a request before it, still without a reply, would be taken to be the invalid one
        elif is_answering:
            self.cycle.keep_alive = False  # the reply of the request before comes first, and is the last
        else:
            self._end(INVALID if self._cut_reason is None else TOO_LARGE)

    def check(self, now: float, elapsed_seconds: float) -> None:
        """Called every elapsed_seconds: cuts the client off when it is late. now: by time.monotonic."""
        if self.flow.read_paused:  # it could not send if it wanted to
            self._deadline += elapsed_seconds
        elif now > self._deadline:
            self._cut()
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now > self._unread_since + self._limits.body_seconds:
            self._limits.count_cut(CutReason.SLOW_READER)
            self.transport.abort()

    def announce_end(self) -> None:
        """The reply under way is the last one."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None:
            cycle.keep_alive = False

    def hurry(self, deadline: float) -> None:
        """What the client has begun to send must be here by then."""
        if self._deadline != NEVER:
            self._deadline = min(self._deadline, deadline)

    def _is_answering(self) -> bool:
        """Whether the last request is here as a whole, but its reply is not out."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and self._deadline == NEVER and not cycle.response_complete

    def _count_head(self, byte_count: int) -> None:
        """Between two requests: the data belong to the head of the next one."""
        if self._deadline == NEVER:
            self._awaited, self._head_bytes = Awaited.HEAD, 0
            self._deadline = time.monotonic() + self._limits.head_seconds
        if self._awaited is Awaited.HEAD:
            self._head_bytes += byte_count
            if self._head_bytes > HEAD_MAX_BYTES and not self.transport.is_closing():
                self._limits.count_cut(CutReason.HEAD_TOO_LARGE)
                self._end(TOO_LARGE)

    def _await_next(self) -> None:
        self._awaited, self._deadline = Awaited.NEXT, time.monotonic() + self._limits.idle_seconds

    def _refuse(self) -> None:
        """Say so once, and wait for the client to hang up: hung up on in its request, it could miss the reply."""
        if not self._head_bytes:
            self._head_bytes = 1
            self.transport.write(random.choice(TOO_MANY))  # noqa: S311  # spreads the next attempts
            self.transport.write_eof()

    def _cut(self) -> None:
        """The client is late: say so where HTTP allows it, and hang up."""
        self._deadline = NEVER
        if self._awaited is Awaited.END:
            self.transport.abort()
        elif self._awaited is Awaited.NEXT:
            self.transport.close()
        elif self._awaited is Awaited.HEAD:
            self._limits.count_cut(CutReason.SLOW_HEAD)
            # Browsers open connections to have them at hand: a reply that nobody asked for would confuse them.
            self._end(LATE_HEAD if self._head_bytes else b"")
        else:
            self._limits.count_cut(CutReason.SLOW_BODY)
            self._cut_body()

    def _cut_body(self) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            self.transport.close()
        elif cycle.response_started or self.pipeline:
            self.transport.abort()
        else:
            cycle.disconnected = True  # for the application, the client is gone
            cycle.message_event.set()
            self._end(LATE_BODY)

    def _end(self, reply: bytes) -> None:
        self.transport.write(reply)
        self.transport.close()
