"""What a process of each role answers, and what it leaves to the others."""

import re
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase

import httpx
import pytest

from app.config import Role, Settings
from app.ingest.formats import FORMATS
from app.storage.database import PROJECT_ROOT, DatabaseUrl
from tests.api.problem import assert_problem
from tests.events import sent
from tests.service import Service, running_service

CADDYFILE = PROJECT_ROOT / "deploy" / "Caddyfile"
OF_OPERATORS = {"/livez", "/readyz", "/version", "/metrics"}
REPORTS = {
    "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": "product_viewed"}]}, {"any_of": [{"event": "order_completed"}]}],
}


@pytest.fixture
async def collector(settings: Settings, database: DatabaseUrl) -> AsyncIterator[Service]:
    async with running_service(settings.model_copy(update={"role": Role.COLLECT}), database) as service:
        yield service


@pytest.fixture
async def reporter(settings: Settings, database: DatabaseUrl) -> AsyncIterator[Service]:
    apart = {"role": Role.REPORT, "data_dir": settings.data_dir / "reports"}
    async with running_service(settings.model_copy(update=apart), database, shop_name="Other") as service:
        yield service


async def parts_of(service: Service) -> set[str]:
    reply = await service.client.get("/readyz")
    assert reply.status_code == httpx.codes.OK
    return set(reply.json()["checks"])


async def names_in(service: Service) -> str:
    return (await service.client.get("/metrics")).text


async def test_a_reporter_answers_over_what_a_collector_took(collector: Service, reporter: Service) -> None:
    bought = sent("order_completed", client_time="2026-03-02T12:05:00Z")
    assert (await collector.send([sent("product_viewed"), bought])).json()["stored"] == 2

    answer = (await reporter.client.post("/v1/reports/funnel", json=REPORTS, headers=collector.reader)).json()

    assert [step["reached_count"] for step in answer["steps"]] == [1, 1]


async def test_a_collector_says_who_answers_reports(collector: Service) -> None:
    reply = await collector.funnel(REPORTS)

    detail = assert_problem(reply, 421, "misdirected")["detail"]
    assert detail == (
        "This process has the role collect; a process with the role report answers this path. See to the proxy."
    )


async def test_a_reporter_says_who_takes_events_of_every_format(reporter: Service) -> None:
    paths = [path for wire_format in FORMATS for path in wire_format.paths]
    for path in [*paths, "/t.js"]:
        detail = assert_problem(await reporter.client.post(path, json=sent()), 421, "misdirected")["detail"]
        assert "a process with the role collect answers this path" in str(detail)


async def test_each_is_ready_by_what_it_needs(collector: Service, reporter: Service) -> None:
    common = {"serving", "postgres", "migrations", "partitions", "background"}
    await reporter.funnel(REPORTS)  # waits for the mirror's first look

    assert await parts_of(collector) == common | {"spool", "ingestion"}
    assert await parts_of(reporter) == common | {"mirror"}


async def test_a_collector_claims_nothing_of_a_mirror_or_reports(collector: Service, reporter: Service) -> None:
    for name in ("footfall_mirror_lag_seconds", "footfall_report_duration_seconds", "footfall_funnel_entered"):
        assert name not in await names_in(collector)
        assert name in await names_in(reporter)


async def test_the_proxy_of_our_compose_file_asks_whoever_answers(collector: Service, reporter: Service) -> None:
    [patterns] = re.findall(r"@reports path (.*)", CADDYFILE.read_text())

    def is_for_reports(path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in patterns.split())

    of_reports, of_events = await documented_paths(reporter), await documented_paths(collector)
    assert {path for path in of_reports if not is_for_reports(path)} == OF_OPERATORS
    assert of_events == {"/v1/events"} | OF_OPERATORS
    taking = {path for wire_format in FORMATS for path in wire_format.paths} | {"/t.js"}
    assert [path for path in taking if is_for_reports(path)] == []


async def documented_paths(service: Service) -> set[str]:
    return set((await service.client.get("/openapi.json")).json()["paths"])


@pytest.mark.parametrize("path", ["/livez", "/version", "/metrics", "/openapi.json"])
async def test_all_answer_probes_and_scrapers(collector: Service, reporter: Service, path: str) -> None:
    assert [(await service.client.get(path)).status_code for service in (collector, reporter)] == [200, 200]
