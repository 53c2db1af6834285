"""A retry in every form stores each event once: the first one wins, and the sender is told `duplicate`."""

import asyncio
import gzip
import json
from collections.abc import Callable

import pytest

from app.config import Settings
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from tests.api.shops import another_shop
from tests.events import many, sent
from tests.fakes import FixedClock, LossyReplySink
from tests.service import Service, running_service

ID = "01957a10-3f2c-7000-8000-00000000abcd"


async def test_the_same_event_again(service: Service) -> None:
    event = sent()

    replies = [(await service.send(event)).json() for _ in range(3)]

    assert [(reply["stored"], reply["duplicates"]) for reply in replies] == [(1, 0), (0, 1), (0, 1)]
    assert await service.event_count() == 1


async def test_the_same_batch_three_times_at_once(service: Service) -> None:
    batch = many(50)

    replies = await asyncio.gather(*(service.send(batch) for _ in range(3)))

    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert sum(reply.json()["stored"] for reply in replies) == 50
    assert sum(reply.json()["duplicates"] for reply in replies) == 100
    assert await service.event_count() == 50


async def test_the_same_event_twice_in_one_body(service: Service) -> None:
    first, second = sent(event_id=ID, url="first"), sent(event_id=ID, url="second")

    reply = await service.send([first, second], receipts="1")

    assert [receipt["outcome"] for receipt in reply.json()["receipts"]] == ["stored", "duplicate"]
    assert [row.url for row in await service.rows("SELECT url FROM event")] == ["first"]


async def test_a_retry_with_another_sent_at(service: Service) -> None:
    event = sent()
    await service.send({"events": [event], "sent_at": "2026-03-02T11:00:00Z"})

    reply = await service.send({"events": [event], "sent_at": "2026-03-02T11:30:00Z"})

    assert reply.json() == {"received": 1, "stored": 0, "duplicates": 1}
    assert await service.event_count() == 1


async def test_a_retry_inside_a_bigger_batch(service: Service) -> None:
    batch = many(5)
    await service.send(batch)

    reply = await service.send([*many(3), *batch, *many(3)], receipts="1")

    outcomes = [receipt["outcome"] for receipt in reply.json()["receipts"]]
    assert outcomes == ["stored"] * 3 + ["duplicate"] * 5 + ["stored"] * 3
    assert await service.event_count() == 11


async def test_a_retry_after_a_lost_reply_whose_commit_succeeded(settings: Settings, database: DatabaseUrl) -> None:
    batch = many(4)
    unspooled = settings.model_copy(update={"spool_max_bytes": 0})
    async with create_ingest_pool(database, connections=2, timeout_seconds=5) as pool:
        sink = LossyReplySink(PostgresSink(pool), losses=1)
        async with running_service(unspooled, database, sink=sink) as service:
            lost = await service.send(batch)
            again = await service.send(batch)

            assert lost.status_code == 503
            assert again.json() == {"received": 4, "stored": 0, "duplicates": 4}
            assert await service.event_count() == 4


async def test_the_same_id_with_another_body_is_the_same_event(service: Service) -> None:
    await service.send(sent("product_viewed", event_id=ID, properties={"price": 1}))

    reply = await service.send(sent("order_completed", event_id=ID, visitor_id="ben", seq=9))

    assert reply.json()["duplicates"] == 1
    assert [row.event_name for row in await service.rows("SELECT event_name FROM event")] == ["product_viewed"]


async def test_the_same_id_at_another_time_is_another_event(service: Service) -> None:
    await service.send(sent(event_id=ID))

    reply = await service.send(sent(event_id=ID, client_time="2026-03-02T12:00:00.000001Z"))

    assert reply.json()["stored"] == 1


async def test_the_same_instant_written_in_another_time_zone_is_the_same_time(service: Service) -> None:
    await service.send(sent(event_id=ID, client_time="2026-03-02T12:00:00Z"))

    reply = await service.send(sent(event_id=ID, client_time="2026-03-02T17:30:00.000+05:30"))

    assert reply.json()["duplicates"] == 1


async def test_an_event_without_time_is_known_again_much_later(service: Service, clock: FixedClock) -> None:
    event = sent(event_id=ID, client_time=None)
    await service.send(event)
    clock.advance(40 * 86_400)

    reply = await service.send(event)

    assert reply.json()["duplicates"] == 1
    [(occurred_at,)] = await service.rows("SELECT occurred_at::text FROM event")
    assert occurred_at == "2026-03-02 12:00:00+00"


async def test_an_event_without_id_cannot_be_known_again(service: Service) -> None:
    event = sent(event_id=None)
    await service.send(event)

    assert (await service.send(event)).json()["stored"] == 1


async def test_uuids_are_the_same_in_any_case_and_other_texts_are_not(service: Service) -> None:
    await service.send([sent(event_id=ID), sent(event_id="Order-7")])

    reply = await service.send([sent(event_id=ID.upper()), sent(event_id="order-7")], receipts="1")

    assert [receipt["outcome"] for receipt in reply.json()["receipts"]] == ["duplicate", "stored"]


async def test_two_storefronts_may_use_the_same_id(service: Service) -> None:
    other_key = await another_shop(service)
    await service.send(sent(event_id=ID))

    assert (await service.send(sent(event_id=ID), key=other_key)).json()["stored"] == 1


FORMS: dict[str, tuple[Callable[[str], bytes], str, dict[str, str]]] = {
    "one": (lambda e: e.encode(), "application/json", {}),
    "array": (lambda e: f"[{e}]".encode(), "application/json", {}),
    "envelope": (lambda e: f'{{"events": [{e}]}}'.encode(), "application/json", {}),
    "ndjson": (lambda e: f"{e}\n".encode(), "application/x-ndjson", {}),
    "crlf": (lambda e: f"{e}\r\n\r\n".encode(), "application/x-ndjson; charset=utf-8", {}),
    "beacon": (lambda e: f"[{e}]".encode(), "text/plain;charset=UTF-8", {}),
    "gzip": (lambda e: gzip.compress(e.encode()), "application/json", {"Content-Encoding": "gzip"}),
    "gzip undeclared": (lambda e: gzip.compress(e.encode()), "application/json", {}),
    "bom": (lambda e: b"\xef\xbb\xbf" + e.encode(), "application/json", {}),
    "no type": (lambda e: e.encode(), "", {}),
}


async def test_every_form_of_a_body_carries_the_same_event(service: Service) -> None:
    event = json.dumps(sent(properties={"name": "Müsli 🥣"}), ensure_ascii=False)

    replies = {}
    for name, (write, content_type, headers) in FORMS.items():
        reply = await service.send_bytes(write(event), content_type=content_type, headers=headers)
        replies[name] = (reply.status_code, reply.json()["stored"] + reply.json()["duplicates"])

    assert replies == dict.fromkeys(FORMS, (200, 1))
    assert await service.event_count() == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_overlapping_batches_at_once_store_their_union(service: Service, order: tuple[int, int]) -> None:
    shared = many(30)
    batches = [[*many(5), *shared], [*reversed(shared), *many(5)]]

    replies = await asyncio.gather(*(service.send(batches[place]) for place in order))

    assert [reply.status_code for reply in replies] == [200, 200]
    assert await service.event_count() == 40
