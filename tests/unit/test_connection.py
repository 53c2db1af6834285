"""A request that came in one piece is asked about first, and answered in one write; the application gets all others."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.connection import Connection, Reply
from app.connection_limits import ConnectionLimits
from app.metrics import Metrics

IDLE_SECONDS = 60.0
POST = b"POST /v1/events HTTP/1.1\r\nHost: footfall.test\r\nContent-Length: 2\r\n\r\n[]"


class Transport(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class Talk:
    """One connection. takes: whether whole requests are answered as such; later: they wait in `waiting`."""

    def __init__(self) -> None:
        self.takes, self.later = True, False
        self.waiting: list[Callable[[], None]] = []
        self.paths: list[str] = []  # that the application was asked for
        self.transport = Transport()
        limits = ConnectionLimits(
            head_seconds=1, body_seconds=1, idle_seconds=IDLE_SECONDS, connections_max=1, metrics=Metrics()
        )
        config = uvicorn.Config(self.application, interface="asgi3", ws="none", lifespan="off", log_config=None)
        config.load()
        self.connection = Connection(limits, self.answer_whole, config, ServerState(), {})
        self.connection.connection_made(self.transport)

    def answer_whole(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        if not self.takes:
            return False
        self.waiting.append(partial(reply, 200, [(b"x-path", scope["path"].encode())], body))
        if not self.later:
            self.waiting.pop()()
        return True

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await receive()
        headers: list[Any] = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})

    async def answered(self) -> None:
        while self.connection.tasks:
            await asyncio.gather(*self.connection.tasks)


@pytest.fixture
async def talk() -> Talk:
    return Talk()


async def test_a_whole_request_is_answered_in_one_write(talk: Talk) -> None:
    talk.connection.data_received(POST)

    assert talk.transport.written == [b"HTTP/1.1 200 OK\r\nx-path: /v1/events\r\ncontent-length: 2\r\n\r\n[]"]
    assert not talk.paths


async def test_a_request_in_pieces_goes_to_the_application(talk: Talk) -> None:
    talk.connection.data_received(POST[:-1])
    talk.connection.data_received(POST[-1:])
    await talk.answered()

    assert talk.paths == ["/v1/events"]


async def test_what_is_not_taken_goes_to_the_application(talk: Talk) -> None:
    talk.takes = False
    talk.connection.data_received(POST)
    await talk.answered()

    assert talk.paths == ["/v1/events"]


async def test_who_asks_before_sending_is_answered_by_the_application(talk: Talk) -> None:
    talk.connection.data_received(POST[:-4] + b"Expect: 100-continue\r\n\r\n[]")
    await talk.answered()

    assert talk.paths == ["/v1/events"]


async def test_requests_that_come_together_are_answered_in_their_order(talk: Talk) -> None:
    talk.later = True
    talk.connection.data_received(POST + POST.replace(b"/v1/events", b"/second"))
    assert not talk.transport.written

    talk.waiting.pop()()
    await talk.answered()

    assert talk.transport.written[0].startswith(b"HTTP/1.1 200")
    assert talk.paths == ["/second"]


async def test_a_reply_to_the_last_request_ends_the_connection(talk: Talk) -> None:
    talk.later = True
    talk.connection.data_received(POST)
    talk.connection.announce_end()
    talk.waiting.pop()()

    assert b"connection: close\r\n" in talk.transport.written[0]
    assert talk.transport.is_closing()


async def test_nothing_is_written_to_a_client_that_is_gone(talk: Talk) -> None:
    talk.later = True
    talk.connection.data_received(POST)
    talk.connection.connection_lost(ConnectionResetError())
    talk.waiting.pop()()

    assert not talk.transport.written


async def test_of_requests_that_came_together_none_is_answered_once_the_client_is_gone(talk: Talk) -> None:
    talk.later = True
    talk.connection.data_received(POST + POST)
    talk.transport.abort()
    talk.connection.connection_lost(ConnectionResetError())
    talk.waiting.pop()()

    assert not talk.transport.written


async def test_an_invalid_body_is_not_answered_before_the_request_ahead_of_it(talk: Talk) -> None:
    talk.later = True
    chunked = POST.replace(b"Content-Length: 2\r\n\r\n[]", b"Transfer-Encoding: chunked\r\n\r\nno length\r\n")
    talk.connection.data_received(POST + chunked)

    assert not talk.transport.written
    assert talk.transport.is_closing()


async def test_a_connection_on_which_no_next_request_comes_is_closed_without_a_word(talk: Talk) -> None:
    talk.connection.data_received(POST)
    talk.connection.check(time.monotonic() + IDLE_SECONDS - 1, 0.5)
    assert not talk.transport.is_closing()

    talk.connection.check(time.monotonic() + IDLE_SECONDS + 1, 0.5)

    assert talk.transport.is_closing()
    assert len(talk.transport.written) == 1
