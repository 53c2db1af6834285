"""What came in and what became of it adds up; what does not is noticed, and so are events that are not there."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.config import Settings
from app.domain.event import Event
from app.domain.ledger import Received
from app.domain.outcome import Outcome, RefusedEvent
from app.ingest.sink import EventSink
from app.metrics import Metrics
from app.ops.ledger import ledger_router
from app.ops.ledger_watch import LedgerWatch
from app.storage.database import DatabaseUrl, create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.key_cache import CachedKeys
from app.storage.ledger import audit, imbalance, settle
from tests.events import NOW, many, sent
from tests.fakes import FixedClock
from tests.service import URL, Service, running_service

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def ledger(service: Service, **query: str) -> tuple[dict[str, int], list[dict[str, object]]]:
    """Totals, without those that are 0, and rows."""
    reply = await service.client.get("/v1/ledger", params=query, headers=service.reader)
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    return {name: count for name, count in answer["totals"].items() if count}, answer["rows"]


class ForgetfulSink:
    """Loses the first event of every batch, and says it is stored."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        return [Outcome.STORED, *await self._sink.store(events[1:], refused, received)]


class RepetitiveSink(ForgetfulSink):
    """Stores the first event of every batch twice."""

    async def store(
        self, events: Sequence[Event], refused: Sequence[RefusedEvent], received: Sequence[Received] = ()
    ) -> list[Outcome]:
        again = replace(events[0], event_id="99999999-9999-4999-8999-999999999999")
        return (await self._sink.store([*events, again], refused, received))[:-1]


async def test_everything_received_is_in_the_ledger_with_its_fate(service: Service, clock: FixedClock) -> None:
    known = many(3)
    await service.send(known)
    await service.send([*known, sent(), sent(seq=-1)])
    clock.advance(60)
    await service.send(sent())
    clock.advance(60)

    totals, rows = await ledger(service, granularity="minute")

    assert totals == {"received": 9, "stored": 5, "duplicate": 3, "rejected": 1}
    assert [(row["start"], row["source"], row["received"], row["stored"]) for row in rows] == [
        ("2026-03-02T12:00:00Z", "native", 8, 4),
        ("2026-03-02T12:01:00Z", "native", 1, 1),
    ]


async def test_a_request_refused_by_a_rate_limit_counts_as_one(
    settings: Settings, database: DatabaseUrl, clock: FixedClock
) -> None:
    limited = settings.model_copy(update={"key_events_per_second": 1.0})
    async with running_service(limited, database, clock=clock) as service:
        assert (await service.send(many(50))).status_code == 200
        assert (await service.send(many(5))).status_code == 429
        clock.advance(60)

        totals: dict[str, int] = {}
        async with asyncio.timeout(20):
            while "limited" not in totals:  # it rides in a commit of its own, soon
                totals, _ = await ledger(service)

    assert totals == {"received": 51, "stored": 50, "limited": 1}


async def test_periods_are_those_of_the_storefront_and_the_range_is_half_open(
    service: Service, clock: FixedClock
) -> None:
    async with service.engine.begin() as connection:
        await connection.execute(text("UPDATE storefront SET time_zone = 'Asia/Kolkata'"))
    await service.send(sent())
    clock.advance(3600)
    await service.send(many(2))

    _, hours = await ledger(service, **{"from": "2026-03-02", "to": "2026-03-03"})
    _, days = await ledger(service, **{"from": "2026-03-02", "to": "2026-03-03", "granularity": "day"})
    first, _ = await ledger(service, **{"from": "2026-03-02T12:00:00Z", "to": "2026-03-02T13:00:00Z"})

    assert [datetime.fromisoformat(str(row["start"])).minute for row in hours] == [30, 30]
    assert [(row["start"], row["received"]) for row in days] == [("2026-03-01T18:30:00Z", 3)]
    assert first == {"received": 1, "stored": 1}


async def test_what_waits_in_the_spool_is_received_and_in_balance(service: Service, clock: FixedClock) -> None:
    """Nothing of it is in Postgres yet; in the first minute something else is."""
    await service.send(many(2))
    later = NOW + timedelta(minutes=5)
    waiting = {
        (service.storefront_id, "native", NOW): 3,
        (service.storefront_id, "native", later): 4,
        (service.storefront_id + 1, "native", NOW): 50,
        (service.storefront_id, "native", NOW - 2 * DAY): 60,
    }
    clock.advance(600)
    app = FastAPI()
    app.include_router(ledger_router(service.engine, CachedKeys(service.engine), clock, lambda: waiting))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as client:
        reply = await client.get("/v1/ledger", params={"granularity": "minute"}, headers=service.reader)

    rows = [(row["start"], row["received"], row["stored"], row["spooled"]) for row in reply.json()["rows"]]
    assert rows == [("2026-03-02T12:00:00Z", 5, 2, 3), ("2026-03-02T12:05:00Z", 4, 0, 4)]
    assert reply.json()["totals"]["imbalance"] == 0


async def test_the_ledger_comes_as_csv_when_asked_for(service: Service, clock: FixedClock) -> None:
    await service.send(many(2))
    clock.advance(60)

    reply = await service.client.get("/v1/ledger", headers={**service.reader, "Accept": "text/csv"})

    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.text.splitlines() == [
        "start,source,received,stored,duplicate,rejected,bot,no_consent,limited,spooled,imbalance,erased",
        "2026-03-02T12:00:00Z,native,2,2,0,0,0,0,0,0,0,0",
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-02", "to": "2026-03-02"},
        {"granularity": "week"},
        {"form": "2026-03-02"},
        {"from": "yesterday"},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(service: Service, query: dict[str, str]) -> None:
    reply = await service.client.get("/v1/ledger", params=query, headers=service.reader)

    assert reply.status_code == 422


async def test_only_keys_that_read_see_the_ledger(service: Service) -> None:
    refused = await service.client.get("/v1/ledger", headers={"Authorization": f"Bearer {service.write_key}"})

    assert refused.status_code == 403


async def test_settling_changes_no_sum(service: Service, clock: FixedClock) -> None:
    for _ in range(3):
        await service.send([sent(), {}])
    clock.advance(600)
    before = await ledger(service)

    await settle(service.engine, clock.now())
    async with service.engine.begin() as connection:  # a line that comes when its minute is settled
        await connection.execute(
            text(
                "INSERT INTO ledger (storefront_id, minute, source, received, stored, duplicate, rejected, bot, "
                "no_consent, limited) SELECT storefront_id, minute, source, 1, 0, 1, 0, 0, 0, 0 FROM ledger"
            )
        )
    await settle(service.engine, clock.now())

    assert before[0] == {"received": 6, "stored": 3, "rejected": 3}
    assert (await ledger(service))[0] == {"received": 7, "stored": 3, "duplicate": 1, "rejected": 3}
    assert await service.rows("SELECT settled FROM ledger") == [(True,)]
    assert (await audit(service.engine, NOW - HOUR, NOW + HOUR)).differences == []


@pytest.mark.parametrize("broken", [ForgetfulSink, RepetitiveSink])
async def test_a_lost_event_and_one_counted_twice_show_as_imbalance(
    broken: type[ForgetfulSink], settings: Settings, database: DatabaseUrl, clock: FixedClock
) -> None:
    off = 1 if broken is ForgetfulSink else -1
    metrics = Metrics()
    async with (
        create_ingest_pool(database, connections=2, timeout_seconds=5) as pool,
        running_service(settings, database, clock=clock, sink=broken(PostgresSink(pool))) as service,
    ):
        watch = LedgerWatch(service.engine, service.engine, metrics, clock)
        await service.send(many(3))
        clock.advance(600)
        await watch.settle_and_compare()

        totals, _ = await ledger(service)

    assert totals == {"received": 3, "stored": 3 - off, "imbalance": off}
    assert metrics.registry.get_sample_value("footfall_ledger_imbalance_events") == 1


async def test_one_lost_and_one_counted_twice_in_another_minute_do_not_look_like_none(
    service: Service, clock: FixedClock
) -> None:
    await service.send(many(2))
    clock.advance(60)
    await service.send(many(2))
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE ledger SET stored = CASE minute WHEN :now THEN 1 ELSE 3 END"), {"now": NOW}
        )

    assert await imbalance(service.engine, NOW - HOUR) == 2


async def test_an_event_that_is_gone_from_the_table_is_noticed_by_the_hourly_audit(
    service: Service, clock: FixedClock
) -> None:
    for _ in range(2):
        await service.send(many(3))
        clock.advance(60)
    metrics = Metrics()
    watch = LedgerWatch(service.engine, service.engine, metrics, clock)
    clock.advance(3600)

    await watch.audit_last_hour()
    well = metrics.registry.get_sample_value("footfall_ledger_audit_difference_events")
    async with service.engine.begin() as connection:
        await connection.execute(text("DELETE FROM event WHERE position = 0 AND received_at = :now"), {"now": NOW})
    await watch.settle_and_compare()
    await watch.audit_last_hour()
    found = await audit(service.engine, NOW - HOUR, NOW + HOUR)

    assert well == 0
    assert metrics.registry.get_sample_value("footfall_ledger_audit_difference_events") == 1
    assert metrics.registry.get_sample_value("footfall_ledger_imbalance_events") == 0
    assert found.events_count == 6
    assert found.differences == [(service.storefront_id, NOW, 3, 2)]


async def test_an_event_that_nobody_received_is_noticed(service: Service) -> None:
    await service.send(many(2))
    async with service.engine.begin() as connection:
        await connection.execute(text("UPDATE ledger SET received = 1, stored = 1"))

    assert (await audit(service.engine, NOW - HOUR, NOW + HOUR)).events_off == 1


async def test_an_event_erased_on_purpose_is_not_missed(service: Service) -> None:
    await service.send(many(3))
    async with service.engine.begin() as connection:
        await connection.execute(text("DELETE FROM event WHERE position = 0"))
        await connection.execute(
            text(
                "INSERT INTO ledger (storefront_id, minute, source, received, stored, duplicate, rejected, bot, "
                "no_consent, limited, erased) VALUES (:id, :now, 'erased', 0, 0, 0, 0, 0, 0, 0, 1)"
            ),
            {"id": service.storefront_id, "now": NOW},
        )

    assert (await audit(service.engine, NOW - HOUR, NOW + HOUR)).differences == []
    assert await imbalance(service.engine, NOW - HOUR) == 0


async def test_a_busy_hour_is_audited_in_part(service: Service, clock: FixedClock) -> None:
    for _ in range(5):
        await service.send(many(10))
        clock.advance(60)

    assert (await audit(service.engine, NOW - HOUR, NOW + HOUR, max_events=20)).events_count == 20
    assert (await audit(service.engine, NOW - HOUR, NOW + HOUR, max_events=1)).events_count == 10
