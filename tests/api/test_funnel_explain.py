"""What explains a step over HTTP: the answer, saved funnels, tables, and what is refused."""

import csv
import io
from typing import Any

import httpx
import pytest

from tests.api.problem import assert_problem
from tests.events import sent
from tests.service import Service

VIEWED, ORDERED = "product_viewed", "order_completed"
FUNNEL: dict[str, Any] = {
    "range": {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": name}]} for name in (VIEWED, ORDERED)],
    "conversion_window_seconds": 3600,
}
FORMULA = "=1+1"


def at(clock: str, event: str, visitor: str, **more: object) -> dict[str, object]:
    return sent(event, visitor_id=visitor, client_time=f"2026-02-10T{clock}Z", **more)


@pytest.fixture
async def shop(service: Service) -> Service:
    """Eight search and buy, eight of another campaign do neither."""
    events = []
    for number in range(8):
        events += [
            at("10:00:00", "product_searched", f"buyer {number}"),
            at("10:00:10", VIEWED, f"buyer {number}", url="https://shop.test/p/1", properties={"campaign": FORMULA}),
            at("10:00:20", ORDERED, f"buyer {number}"),
            at("10:00:10", VIEWED, f"viewer {number}", url="https://shop.test/p/1", properties={"campaign": "mail"}),
        ]
    assert (await service.send(events)).json()["stored"] == len(events)
    return service


async def explain(service: Service, accept: str = "application/json", **query: int) -> httpx.Response:
    return await service.client.post(
        "/v1/reports/funnel/explain",
        json=FUNNEL,
        params={key: str(value) for key, value in query.items()},
        headers={**service.reader, "Accept": accept},
    )


async def test_what_goes_with_converting_and_what_with_dropping(shop: Service) -> None:
    reply = await explain(shop, min_support_count=8)

    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert (answer["step_number"], answer["label"], answer["from_step_number"]) == (2, ORDERED, 1)
    assert (answer["population_count"], answer["converted_count"], answer["open_count"]) == (16, 8, 0)
    assert [(each["kind"], each["name"], each["value"]) for each in answer["more_likely"]] == [
        ("event", "product_searched", None),
        ("property", "campaign", FORMULA),
    ]
    [mail] = answer["less_likely"]
    assert (mail["with_count"], mail["with_converted_count"], mail["without_converted_count"]) == (8, 0, 8)
    assert mail["odds_ratio"] == pytest.approx(1 / 289)
    assert answer["tested_count"] == 3
    skipped = {"kind": "dimension", "name": "page_path", "of": "entry", "reason": "no_comparison"}
    assert skipped in answer["skipped"]


async def test_as_a_table_in_which_nothing_is_a_formula(shop: Service) -> None:
    reply = await explain(shop, "text/csv", min_support_count=8)

    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(row["direction"], row["name"], row["value"]) for row in rows] == [
        ("more_likely", "product_searched", ""),
        ("more_likely", "campaign", "'" + FORMULA),
        ("less_likely", "campaign", "mail"),
    ]


async def test_a_saved_funnel_over_its_own_range_or_another(shop: Service) -> None:
    saved = await shop.client.put("/v1/funnels/main", json=FUNNEL, headers=shop.reader)
    assert saved.status_code == 201, saved.text

    async def population(**query: str) -> int:
        reply = await shop.client.get("/v1/reports/funnel/main/explain", params=query, headers=shop.reader)
        assert reply.status_code == 200, reply.text
        found: int = reply.json()["population_count"]
        return found

    assert await population() == 16
    assert await population(**{"from": "2026-02-11", "to": "2026-02-12"}) == 0
    unknown = await shop.client.get("/v1/reports/funnel/other/explain", headers=shop.reader)
    assert_problem(unknown, 404, "not-found")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"step": 1}, "/query/step"),
        ({"step": 3}, "/query/step"),
        ({"step": 51}, "/query/step"),
        ({"limit": 0}, "/query/limit"),
        ({"limit": 101}, "/query/limit"),
        ({"min_support_count": 0}, "/query/min_support_count"),
        ({"minimum": 1}, "/query/minimum"),
    ],
)
async def test_what_cannot_be_asked_is_refused(service: Service, query: dict[str, Any], pointer: str) -> None:
    reply = await explain(service, **query)

    assert_problem(reply, 422, "invalid")
    assert [fault["pointer"] for fault in reply.json()["errors"]] == [pointer]


async def test_a_write_key_reads_nothing(service: Service) -> None:
    reply = await service.client.post(
        "/v1/reports/funnel/explain", json=FUNNEL, headers={"Authorization": f"Bearer {service.write_key}"}
    )

    assert_problem(reply, 403, "forbidden")
