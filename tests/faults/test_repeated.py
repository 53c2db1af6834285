"""Whatever is sent more than once is stored once, as it came first."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.faults.load import STORED, Known, Load, new_event
from tests.faults.reply_eater import reply_eater
from tests.faults.system import System

BATCH_EVENTS = 50


@pytest.mark.parametrize("event_count", [1_000, pytest.param(10_000, marks=pytest.mark.faults)])
async def test_replies_lost_after_the_commit(system: System, event_count: int) -> None:
    async with reply_eater(system.port, ratio=0.4) as proxy:
        async with Load(system, url=proxy.url) as load:
            await load.acknowledges(event_count)
        await load.check()
        assert load.broken_count >= proxy.eaten_count > 0


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.faults)])
async def test_the_same_batch_three_times_at_once(system: System, rounds: int) -> None:
    headers = {"Authorization": f"Bearer {system.keys.server}"}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, trust_env=False) as client, Load(system) as load:
        for number in range(rounds):
            batch = [new_event(number * BATCH_EVENTS + place) for place in range(BATCH_EVENTS)]
            load.sent |= {event["event_id"]: event for event in batch}

            replies = await asyncio.gather(*(client.post("/v1/events?receipts=1", json=batch) for _ in range(3)))

            assert {reply.status_code for reply in replies} == {200}
            load.acknowledged |= {event["event_id"] for event in batch}
            fates = [receipt["outcome"] for reply in replies for receipt in reply.json()["receipts"]]
            assert Counter(fates) == {"stored": BATCH_EVENTS, "duplicate": 2 * BATCH_EVENTS}
    await load.check()


async def test_an_id_with_another_body_keeps_its_first_one_and_is_counted(system: System) -> None:
    first = new_event(1)
    second = {**first, "event": "order_completed", "visitor_id": "somebody else", "properties": {"value": 1_000_000}}
    before = system.metric("footfall_ingest_events_total", outcome="duplicate")
    headers = {"Authorization": f"Bearer {system.keys.server}"}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, trust_env=False) as client:
        replies = [await client.post("/v1/events", json=event) for event in (first, second)]

    assert [reply.json() for reply in replies] == [
        {"received": 1, "stored": 1, "duplicates": 0},
        {"received": 1, "stored": 0, "duplicates": 1},
    ]
    [row] = await system.rows(STORED)
    assert Known.from_row(row) == Known.from_sent(first)
    assert system.metric("footfall_ingest_events_total", outcome="duplicate") == before + 1
