"""What operators see: probes that say what is wrong, metrics that add up, logs without anybody's data."""

import json
import logging

import pytest
from sqlalchemy import text

from app.config import Settings
from app.domain.outcome import Outcome, RejectReason
from app.logs import JsonLines
from app.storage.database import DatabaseUrl
from tests.events import many, sent
from tests.fakes import FixedClock
from tests.proxy import postgres_proxy
from tests.service import Service, running_service


async def metrics(service: Service) -> dict[str, float]:
    """Every sample of /metrics by its name and labels."""
    reply = await service.client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    samples = [line.rsplit(" ", 1) for line in reply.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in samples}


async def readiness(service: Service) -> tuple[int, dict[str, dict[str, object]]]:
    reply = await service.client.get("/readyz")
    return reply.status_code, reply.json()["checks"]


async def test_the_process_is_alive(service: Service) -> None:
    assert (await service.client.get("/livez")).json() == {"status": "alive"}
    assert set((await service.client.get("/version")).json()) == {"version"}


async def test_it_is_ready_when_every_part_works(service: Service) -> None:
    await service.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"},
            "steps": [{"any_of": [{"event": "page_viewed"}]}],
        }
    )  # waits until the mirror has caught up once

    status, checks = await readiness(service)

    assert status == 200, checks
    parts = {"serving", "postgres", "migrations", "partitions", "mirror", "spool", "ingestion", "background"}
    assert set(checks) == parts


async def test_it_is_not_ready_while_postgres_is_away_and_there_is_no_spool(
    settings: Settings, database: DatabaseUrl
) -> None:
    unspooled = settings.model_copy(update={"spool_max_bytes": 0})
    async with postgres_proxy(database) as proxy, running_service(unspooled, proxy.url) as service:
        await proxy.cut()
        status, checks = await readiness(service)
        alive = await service.client.get("/livez")
        await proxy.mend()
        _, checks_after = await readiness(service)

    assert status == 503
    assert checks["postgres"]["ok"] is False
    assert checks["postgres"]["detail"] == "refuses connections"
    assert alive.status_code == 200
    assert checks_after["postgres"]["ok"] is True


async def test_it_is_not_ready_on_an_old_schema(service: Service) -> None:
    async with service.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '2026_11_21_first_tables'"))

    status, checks = await readiness(service)

    assert status == 503
    assert checks["migrations"]["ok"] is False
    assert "2026_11_21_first_tables" in str(checks["migrations"]["detail"])
    assert "footfall migrate" in str(checks["migrations"]["detail"])


async def test_it_is_ready_on_the_schema_of_a_later_version(service: Service) -> None:
    """So that old processes go on while new ones start."""
    async with service.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '2031_01_01_not_thought_of_yet'"))

    _, checks = await readiness(service)

    assert checks["migrations"] == {"ok": True, "detail": "at 2031_01_01_not_thought_of_yet"}


async def test_it_says_how_many_months_have_partitions(service: Service) -> None:
    _, checks = await readiness(service)

    assert checks["partitions"] == {"ok": True, "detail": "3 months ahead"}


async def test_every_metric_exists_before_the_first_event(service: Service) -> None:
    found = await metrics(service)

    for outcome in Outcome:
        assert found[f'footfall_ingest_events_total{{format="native",outcome="{outcome}"}}'] == 0
    for reason in RejectReason:
        assert found[f'footfall_ingest_rejections_total{{format="native",reason="{reason}"}}'] == 0
    for stage in ("awareness", "consideration", "decision", "purchase", "retention", "advocacy"):
        assert found[f'footfall_stage_events_total{{stage="{stage}"}}'] == 0
    for failure in ("connection", "timeout", "database", "unstorable"):
        assert found[f'footfall_flush_failures_total{{reason="{failure}"}}'] == 0
    for step in ("decode", "pipeline", "commit"):
        assert found[f'footfall_ingest_step_duration_seconds_count{{step="{step}"}}'] == 0
    for report in ("funnel", "stages"):
        assert found[f'footfall_report_duration_seconds_count{{report="{report}"}}'] == 0
    for name in (
        "footfall_buffer_events",
        "footfall_buffer_oldest_age_seconds",
        "footfall_flush_duration_seconds_count",
        "footfall_flush_batch_events_count",
        "footfall_event_delay_seconds_count",
        "footfall_mirror_events",
    ):
        assert found[name] == 0
    assert any(name.startswith("footfall_build_info{") for name in found)


async def test_outcomes_add_up_to_what_was_received(service: Service, clock: FixedClock) -> None:
    known = many(5, "order_completed")
    clock.advance(120)
    received = 0
    bodies: list[object] = [known, known, [*known, *many(3)], [sent(), {}, sent(seq=-1)], [{}, {}], [], sent()]
    for body in bodies:
        received += (await service.send(body)).json()["received"]
    await service.send_bytes(b"[{")
    received += 1  # an unreadable body is one refused event

    found = await metrics(service)

    events = {o: found[f'footfall_ingest_events_total{{format="native",outcome="{o}"}}'] for o in Outcome}
    assert events == {"stored": 10, "duplicate": 10, "rejected": 5, "spooled": 0, "no_consent": 0, "bot": 0}
    assert sum(events.values()) == received
    refusals = [v for name, v in found.items() if name.startswith("footfall_ingest_rejections_total")]
    assert sum(refusals) == 5
    assert found['footfall_stage_events_total{stage="purchase"}'] == 15
    assert found["footfall_flush_batch_events_sum"] == 20
    assert found['footfall_event_delay_seconds_bucket{le="60.0"}'] == 0


async def test_requests_are_timed_by_route_and_status(service: Service) -> None:
    await service.send(sent())
    await service.send_bytes(b"[")
    await service.client.get("/v1/funnels/mine", headers=service.reader)
    await service.client.get("/some/secret/path")

    found = await metrics(service)

    counts = {
        name.removeprefix("footfall_http_request_duration_seconds_count"): value
        for name, value in found.items()
        if name.startswith("footfall_http_request_duration_seconds_count")
    }
    assert counts['{method="POST",route="/v1/events",status="200"}'] == 1
    assert counts['{method="POST",route="/v1/events",status="400"}'] == 1
    assert counts['{method="GET",route="/v1/funnels/{name}",status="404"}'] == 1
    assert not [labels for labels in counts if "secret" in labels]


async def test_logs_hold_no_key_no_visitor_and_no_body(
    settings: Settings, database: DatabaseUrl, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "nobody-may-read-this"
    for talkative in ("asyncio", "httpx", "httpcore", "numba"):  # as in the service, see app/logs.py
        caplog.set_level(logging.WARNING, logger=talkative)
    caplog.set_level(logging.DEBUG)
    event = sent(secret, visitor_id=secret, customer_id=secret, url=f"https://{secret}/", properties={"x": secret})
    async with running_service(settings, database) as service:
        await service.send([event, event, {**event, "unknown": secret}])
        await service.send_bytes(b'[{"event": "' + secret.encode())
        await service.client.post("/v1/events", json=event, params={"key": service.write_key})
        await service.client.post("/v1/events", json=event, params={"key": secret})
        await service.client.get(f"/v1/{secret}", headers=service.reader)
        keys = (service.write_key, service.server_key, service.read_key)

    lines = [JsonLines().format(record) for record in caplog.records]

    assert [line for line in lines if any(word in line for word in (secret, *keys))] == []
    requests = [fields for fields in map(json.loads, lines) if fields.get("action") == "request"]
    assert [request["status"] for request in requests] == [207, 400, 200, 401, 404]
    assert {"method", "route", "status", "seconds", "request_id"} <= set(requests[0])
