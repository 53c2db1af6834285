"""Devices and campaigns are stored once each; there is room for so many, and no event is lost for want of it."""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from app.domain.context import Campaign, Channel, Device, DeviceType
from app.domain.event import Event
from app.domain.outcome import Outcome
from app.storage import contexts
from app.storage.contexts import Contexts
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from tests.events import stored_event

PHONE = Device(DeviceType.MOBILE, "Safari", "iOS", "de", "AT")
NEWS = Campaign(Channel.EMAIL, "news", "email", "May", "hats", "top", "gclid")

DEVICES = """
    SELECT device_type, browser, os, language, country FROM event LEFT JOIN device_context USING (device_context_id)
    ORDER BY event.xid, position
"""
CAMPAIGNS = """
    SELECT channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, click_id
    FROM event LEFT JOIN campaign_context USING (campaign_context_id) ORDER BY event.xid, position
"""


@pytest.fixture
async def pool(database: DatabaseUrl) -> AsyncIterator[asyncpg.Pool]:
    async with create_ingest_pool(database, connections=2, timeout_seconds=10) as pool:
        yield pool


def event(device: Device | None = None, campaign: Campaign | None = None, *, storefront_id: int = 1) -> Event:
    made = stored_event(storefront_id=storefront_id)
    made.device, made.campaign = device, campaign
    return made


async def store(pool: asyncpg.Pool, *events: Event) -> None:
    """By a process of its own."""
    assert set(await PostgresSink(pool).store(events, [])) == {Outcome.STORED}


async def found(pool: asyncpg.Pool, query: str) -> Sequence[tuple[object, ...]]:
    return [tuple(row) for row in await pool.fetch(query)]


async def count(pool: asyncpg.Pool, table: str) -> int:
    number: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return number


async def test_an_event_gets_its_device_and_campaign_back(pool: asyncpg.Pool) -> None:
    await store(pool, event(PHONE, NEWS), event(), event(Device(os="iOS"), Campaign(Channel.SMS)))

    assert await found(pool, DEVICES) == [
        ("mobile", "Safari", "iOS", "de", "AT"),
        (None,) * 5,
        ("", "", "iOS", "", ""),
    ]
    assert await found(pool, CAMPAIGNS) == [
        ("email", "news", "email", "May", "hats", "top", "gclid"),
        (None,) * 7,
        ("sms", "", "", "", "", "", ""),
    ]


async def test_what_comes_again_is_stored_once_by_all_processes(pool: asyncpg.Pool) -> None:
    for _ in range(2):
        await store(pool, event(PHONE, NEWS), event(PHONE, NEWS))

    assert (await count(pool, "device_context"), await count(pool, "campaign_context")) == (1, 1)
    assert await found(pool, DEVICES) == [("mobile", "Safari", "iOS", "de", "AT")] * 4


async def test_two_storefronts_have_nothing_in_common(pool: asyncpg.Pool) -> None:
    await store(pool, event(PHONE), event(PHONE, storefront_id=2))

    assert await count(pool, "device_context") == 2


async def test_duplicates_and_new_events_of_one_batch_keep_theirs(pool: asyncpg.Pool) -> None:
    known = event(PHONE)
    await store(pool, known)

    outcomes = await PostgresSink(pool).store([known, event(campaign=NEWS)], [])

    assert outcomes == [Outcome.DUPLICATE, Outcome.STORED]
    assert await found(
        pool, "SELECT device_context_id IS NULL, campaign_context_id IS NULL FROM event ORDER BY xid"
    ) == [
        (False, True),
        (True, False),
    ]


async def test_without_room_a_coarser_one_is_taken_and_no_event_is_lost(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = [(frozenset(Device._fields), 2), (frozenset({"device_type", "os"}), 3)]
    monkeypatch.setattr(contexts, "devices", lambda: Contexts("device_context", Device._fields, levels))
    languages = [event(PHONE._replace(language=language)) for language in ("aa", "bb", "cc", "dd")]

    await store(pool, *languages, event(Device(DeviceType.TV)))

    assert sorted(await found(pool, DEVICES), key=str) == sorted(
        [
            ("mobile", "Safari", "iOS", "aa", "AT"),
            ("mobile", "Safari", "iOS", "bb", "AT"),
            ("mobile", "", "iOS", "", ""),
            ("mobile", "", "iOS", "", ""),
            (None,) * 5,
        ],
        key=str,
    )


async def test_what_is_known_is_bounded(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "KNOWN_MAX", 2)
    sink = PostgresSink(pool)
    for country in ("AT", "BE", "CH", "DE", "ES"):
        await sink.store([event(PHONE._replace(country=country))], [])

    assert len(sink._contexts._devices._known) <= 3
    assert [row[-1] for row in await found(pool, DEVICES)] == ["AT", "BE", "CH", "DE", "ES"]
