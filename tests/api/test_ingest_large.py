"""Large bodies are decoded beside the event loop, one at a time: whoever sends little does not wait for them."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator

import pytest

from app.ingest import gate as gates
from app.ingest.formats.base import Decoded, RequestContext
from app.ingest.formats.native import NativeFormat
from app.ingest.parts import LARGE_BYTES
from tests.api.problem import assert_problem
from tests.events import many, sent
from tests.service import Service

LARGE = json.dumps(many(800)).encode()


class SlowDecoder:
    """Holds large bodies until a test says so. most: how many it had at once."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), threading.Event()
        self.count = self.most = 0
        self._loop = asyncio.get_running_loop()
        self._decode = NativeFormat.decode

    def decode(self, body: bytes, context: RequestContext) -> Decoded:
        if len(body) > LARGE_BYTES:
            self.count += 1
            self.most = max(self.most, self.count)
            self._loop.call_soon_threadsafe(self.begun.set)
            assert self.go_on.wait(30)
            self.count -= 1
        return self._decode(NativeFormat(), body, context)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowDecoder]:
    slow = SlowDecoder()
    monkeypatch.setattr(NativeFormat, "decode", lambda _, body, context: slow.decode(body, context))
    yield slow
    slow.go_on.set()


async def test_small_bodies_go_past_large_ones_of_which_one_is_in_work(service: Service, slow: SlowDecoder) -> None:
    large = [asyncio.create_task(service.send_bytes(LARGE)) for _ in range(3)]
    await slow.begun.wait()

    assert (await service.send(sent())).status_code == 200

    slow.go_on.set()
    assert [(await task).status_code for task in large] == [200] * 3
    assert slow.most == 1


async def test_what_is_small_only_compressed_is_large(service: Service, slow: SlowDecoder) -> None:
    body = gzip.compress(LARGE)
    assert len(body) < LARGE_BYTES < len(LARGE)
    large = asyncio.create_task(service.send_bytes(body, headers={"Content-Encoding": "gzip"}))
    await slow.begun.wait()
    slow.go_on.set()

    assert (await large).json()["stored"] == 800


async def test_too_many_large_bodies_are_503_at_once(
    service: Service, slow: SlowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "BODIES_WAITING_MAX", 1)
    first = asyncio.create_task(service.send_bytes(LARGE))
    await slow.begun.wait()

    assert_problem(await service.send_bytes(LARGE), 503, "unavailable")

    slow.go_on.set()
    assert (await first).status_code == 200


async def test_a_large_body_that_cannot_be_read_is_kept(service: Service) -> None:
    body = b'{"broken":' + b" " * LARGE_BYTES + b"x"

    assert_problem(await service.send_bytes(body), 400, "unreadable")
    [(raw,)] = await service.rows("SELECT raw FROM quarantined_event")
    assert body.startswith(raw)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
@pytest.mark.parametrize("line", [b"{}\n", b"{}\r"])
async def test_a_body_of_far_too_many_lines_is_not_cut_into_them(
    service: Service, content_type: str, line: bytes
) -> None:
    problem = assert_problem(await service.send_bytes(line * 20_000, content_type=content_type), 413, "too-large")
    assert "lines" in str(problem)


async def test_the_word_event_may_stand_in_properties_too(service: Service) -> None:
    events = [event | {"properties": {"event": "event", "kind": "event"}} for event in many(1_000)]

    assert (await service.send(events)).json()["stored"] == 1_000
