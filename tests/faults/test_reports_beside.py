"""Heavy reports take their turn: events go on being stored at their pace."""

import asyncio
from collections.abc import AsyncIterator
from statistics import median, quantiles

import httpx
import pytest

from tests.faults.load import Load
from tests.faults.system import System

EVENTS = 500_000
VISITORS = 50_000
REPORTS = 50
CLIENTS = 10
ROUNDS = 3  # the machine does other things as well: what counts is the middle one
QUIET_SECONDS = 8
PAUSE_SECONDS = 0.02  # of a sender between two posts: a steady load, not all that the machine can do

# Purpose: a history that makes a funnel heavy.
MAKE_VISITORS = f"""
    INSERT INTO visitor (storefront_id, visitor_key) SELECT 1, 'old ' || n FROM generate_series(1, {VISITORS}) AS n
"""
MAKE_EVENTS = f"""
    INSERT INTO event (storefront_id, event_id, client_time, occurred_at, received_at, visitor_id, position, seq, trust,
        event_name, properties)
    SELECT 1, gen_random_uuid(), now() - n * interval '1 second', now() - n * interval '1 second', now(),
        1 + n % {VISITORS}, n, 0, 2,
        (ARRAY['page_viewed', 'product_viewed', 'product_added'])[1 + abs(hashint4(n)) % 3],
        '{{"product_id": "hat"}}'
    FROM generate_series(1, {EVENTS}) AS n
"""
FUNNEL = {
    "range": {"start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"},
    "steps": [
        {"any_of": [{"event": name, "where": [{"property": "product_id", "op": "=", "value": "hat"}]}]}
        for name in ("page_viewed", "product_viewed", "product_added", "page_viewed")
    ],
}


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_50_heavy_reports_while_ingesting(system: System) -> None:
    async with system.connection() as connection:
        await connection.execute(MAKE_VISITORS)
        await connection.execute(MAKE_EVENTS)
    headers = {"Authorization": f"Bearer {system.keys.admin}"}
    quiet: list[float] = []
    busy: list[float] = []
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=60, trust_env=False) as client:
        assert await ask(client) == httpx.codes.OK  # the first one waits for the mirror
        for _ in range(ROUNDS):
            async with Load(system, pause_seconds=PAUSE_SECONDS) as load:
                await asyncio.sleep(QUIET_SECONDS)
            quiet.append(p99_seconds(load))
            async with Load(system, pause_seconds=PAUSE_SECONDS) as load:
                statuses = {status async for status in ask_all(client)}
            busy.append(p99_seconds(load))
            assert statuses <= {httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS}
            assert set(load.statuses) == {httpx.codes.OK}
    assert median(busy) <= 2 * median(quiet), f"p99 in seconds: quiet {quiet}, beside reports {busy}"


async def ask_all(client: httpx.AsyncClient) -> AsyncIterator[int]:
    """The status of each report."""
    for _ in range(REPORTS // CLIENTS):
        for status in await asyncio.gather(*(ask(client) for _ in range(CLIENTS))):
            yield status


async def ask(client: httpx.AsyncClient) -> int:
    return (await client.post("/v1/reports/funnel", json=FUNNEL)).status_code


def p99_seconds(load: Load) -> float:
    return quantiles(load.reply_seconds, n=100)[-1]
