"""The gate refuses early when there is no room, closes for a moment after a late refusal, and spreads refusals."""

import asyncio
import time

import pytest

from app.config import Settings
from app.errors import TooMany, Unavailable
from app.ingest import gate as gates
from app.ingest.gate import Gate
from app.metrics import Metrics


class Buffer:
    """Stands in for the batcher."""

    def __init__(self) -> None:
        self.age_seconds = 0.0

    def oldest_age_seconds(self) -> float:
        return self.age_seconds


def new_gate(buffer: Buffer | None = None, metrics: Metrics | None = None, **settings: object) -> Gate:
    return Gate(Settings.model_validate(settings), buffer or Buffer(), metrics or Metrics())


def full() -> Unavailable:
    return Unavailable("Full.", retry_after_seconds=2)


def test_only_so_many_requests_are_let_in_at_once() -> None:
    gate = new_gate(requests_max=2)

    with gate, gate, pytest.raises(Unavailable), gate:
        pass
    with gate:
        pass  # there is room again


def test_a_request_that_failed_gives_its_place_back() -> None:
    gate = new_gate(requests_max=1)
    with pytest.raises(RuntimeError), gate:
        raise RuntimeError

    with gate:
        pass


def test_nothing_is_let_in_while_the_oldest_event_waits_too_long() -> None:
    buffer = Buffer()
    gate = new_gate(buffer, buffer_max_age_seconds=5)
    buffer.age_seconds = 5.1

    with pytest.raises(Unavailable), gate:
        pass


def test_after_a_full_buffer_nothing_is_let_in_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = new_gate()
    gate.note_refusal(1, full())

    with pytest.raises(Unavailable), gate:
        pass
    later = time.monotonic() + gates.CLOSED_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with gate:
        pass


def test_after_a_storefront_used_up_its_share_only_that_one_is_refused() -> None:
    gate = new_gate()
    gate.note_refusal(1, TooMany("Your share.", retry_after_seconds=2))

    with pytest.raises(TooMany):
        gate.check_storefront(1)
    gate.check_storefront(2)
    with gate:
        pass


def test_bodies_on_their_way_share_a_limit() -> None:
    gate = new_gate(request_max_bytes=1024, buffer_max_bytes=2048)
    gate.take_body_bytes(2048)

    with pytest.raises(Unavailable):
        gate.take_body_bytes(1)
    gate.take_body_bytes(-2049)
    gate.take_body_bytes(2048)


def test_bodies_that_wait_for_their_turn_count_as_on_their_way() -> None:
    gate = new_gate(request_max_bytes=1024, buffer_max_bytes=2048)

    with gate.waiting_body(2048), pytest.raises(Unavailable), gate.waiting_body(1):
        pass
    gate.take_body_bytes(2048)  # all is given back


def test_only_so_many_bodies_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "BODIES_WAITING_MAX", 2)
    gate = new_gate()

    with gate.waiting_body(1), gate.waiting_body(1), pytest.raises(Unavailable), gate.waiting_body(1):
        pass
    with gate.waiting_body(1):
        pass  # there is room again


async def test_clients_are_told_to_come_back_at_different_times() -> None:
    gate, errors = new_gate(), [full() for _ in range(100)]

    await asyncio.gather(*(gate.hold_back(error) for error in errors))

    assert {error.headers["Retry-After"] for error in errors} == {"2", "3", "4"}


async def test_one_refusal_is_hardly_held_back_and_many_are_spread() -> None:
    gate = new_gate()
    started = time.monotonic()

    async def held() -> float:
        await gate.hold_back(full())
        return time.monotonic() - started

    alone = await held()
    together = await asyncio.gather(*(held() for _ in range(200)))

    assert alone < 0.1
    assert max(together) > 0.5


async def test_only_so_many_refusals_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "HELD_MAX", 0)
    monkeypatch.setattr(asyncio, "sleep", None)  # would fail if it were used

    await new_gate().hold_back(full())
