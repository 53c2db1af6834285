"""A body is read within its limit, and refused before it is read where that can be known."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.errors import TooLarge, Unavailable, UnsupportedType
from app.ingest.body import ClientGone, read_body

MAX_BYTES = 100


class Room:
    """Counts what is held; refuses above max_bytes."""

    def __init__(self, max_bytes: int = 1_000) -> None:
        self.held = self.peak = 0
        self._max_bytes = max_bytes

    def take(self, count: int) -> None:
        self.held += count
        self.peak = max(self.peak, self.held)
        if self.held > self._max_bytes:
            raise Unavailable("Full.", retry_after_seconds=1)


def receiving(*chunks: bytes, complete: bool = True) -> Callable[[], Awaitable[Any]]:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if complete:
        messages[-1]["more_body"] = False
    messages.append({"type": "http.disconnect"})
    coming = iter(messages)

    async def receive() -> Any:
        return next(coming)

    return receive


async def never() -> Any:
    raise AssertionError("nothing should be read")


async def read(receive: Callable[[], Awaitable[Any]], room: Room, **headers: str) -> bytes:
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return await read_body(receive, sent, max_bytes=MAX_BYTES, take_bytes=room.take)


async def test_a_body_in_pieces_is_put_together_and_its_room_given_back() -> None:
    room = Room()

    assert await read(receiving(b"a" * 40, b"", b"b" * 60), room) == b"a" * 40 + b"b" * 60
    assert (room.held, room.peak) == (0, 100)


async def test_a_body_that_came_whole_needs_no_room() -> None:
    room = Room(max_bytes=0)

    assert await read(receiving(b"a" * 100), room) == b"a" * 100
    assert room.peak == 0


@pytest.mark.parametrize("chunks", [[b"a" * 101], [b"a" * 50, b"a" * 51]])
async def test_a_body_above_the_limit_is_refused(chunks: list[bytes]) -> None:
    room = Room()

    with pytest.raises(TooLarge):
        await read(receiving(*chunks), room)
    assert room.held == 0


async def test_a_body_that_never_ends_is_refused_as_soon_as_it_is_too_large() -> None:
    room = Room()

    with pytest.raises(TooLarge):
        await read(receiving(*[b"a" * 10] * 1_000, complete=False), room)
    assert room.peak <= MAX_BYTES + 10


async def test_a_body_announced_as_too_large_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        await read(never, Room(), content_length="101")


async def test_an_encoding_that_is_not_understood_is_refused_unread() -> None:
    with pytest.raises(UnsupportedType):
        await read(never, Room(), content_encoding="compress")


async def test_when_all_bodies_together_take_too_much_one_is_refused() -> None:
    room = Room(max_bytes=70)

    with pytest.raises(Unavailable):
        await read(receiving(b"a" * 40, b"b" * 40), room)
    assert room.held == 0


async def test_a_sender_that_hangs_up_leaves_nothing_behind() -> None:
    room = Room()

    with pytest.raises(ClientGone):
        await read(receiving(b"a" * 40, complete=False), room)
    assert room.held == 0
