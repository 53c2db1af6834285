"""Further questions about a funnel through HTTP: numbers written out, and what is refused."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.service import Service

VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"
# The clocks of Berlin go back on 2025-10-26 at 03:00+02:00.
RANGE = {"start": "2025-10-26T00:00:00+02:00", "end": "2025-10-26T05:00:00+01:00"}


def funnel(**members: Any) -> dict[str, Any]:
    steps = [{"any_of": [{"event": name}]} for name in (VIEWED, ADDED, ORDERED)]
    return {"range": RANGE, "steps": steps, **members}


def event(visitor: str, name: str, at: str, **properties: object) -> dict[str, Any]:
    return {"visitor_id": visitor, "event": name, "client_time": f"2025-10-{at}", "properties": properties}


@pytest.fixture
async def berlin(service: Service) -> Service:
    """A shop in Berlin and two persons: Ana views at 02:30 summer time, Ben at 02:30 winter time, an hour later."""
    async with service.engine.begin() as connection:
        await connection.execute(text("UPDATE storefront SET time_zone = 'Europe/Berlin'"))
    reply = await service.send(
        [
            event("ana", "ad_clicked", "20T12:00:00+02:00", source="mail"),
            event("ana", VIEWED, "26T02:30:00+02:00", device="phone", value=10),
            event("ana", ADDED, "26T02:30:40+02:00", device="phone", value=10),
            event("ana", ORDERED, "26T02:32:00+02:00", device="phone", value=12.5, currency="CHF"),
            event("ben", VIEWED, "26T02:30:00+01:00", device="desktop", value=20),
            event("ben", ADDED, "26T02:31:00+01:00", device="desktop", value=20),
        ]
    )
    assert reply.status_code == 200, reply.text
    return service


async def answer(service: Service, **members: Any) -> dict[str, Any]:
    reply = await service.funnel(funnel(**members))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def faults(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 422, reply.text
    problem = reply.json()
    return [fault["pointer"] for fault in problem["errors"]]


async def test_what_was_not_asked_for_is_null(berlin: Service) -> None:
    found = await answer(berlin)
    assert [found[name] for name in ("groups", "trend", "compare", "between", "curve")] == [None] * 5
    assert [(step["value"], step["without_value_count"]) for step in found["steps"]] == [(None, None)] * 3


async def test_a_breakdown(berlin: Service) -> None:
    found = await answer(berlin, breakdown={"property": "device"})
    groups = [
        (group["value"], group["kind"], [step["reached_count"] for step in group["steps"]], group["conversion_ratio"])
        for group in found["groups"]
    ]
    assert groups == [("desktop", "value", [1, 1, 0], 0.0), ("phone", "value", [1, 1, 1], 1.0)]
    assert found["groups"][0]["significance"] == {
        "p_value": pytest.approx(1),
        "p_value_adjusted": pytest.approx(1),
        "is_significant": False,
    }


async def test_a_breakdown_by_first_touch(berlin: Service) -> None:
    found = await answer(berlin, breakdown={"property": "source", "of": "first_touch", "limit": 5})
    assert [(group["value"], group["kind"]) for group in found["groups"]] == [
        ("mail", "value"),
        ("(not set)", "not_set"),
    ]


async def test_a_bot_is_nobodys_first_touch_unless_asked_for(berlin: Service) -> None:
    crawled = event("ben", "page_viewed", "21T12:00:00+02:00", source="crawler")
    reply = await berlin.send([crawled], headers={"User-Agent": "Googlebot/2.1"})
    assert reply.status_code == 200, reply.text
    asked = {"breakdown": {"property": "source", "of": "first_touch"}}
    people, everybody = await answer(berlin, **asked), await answer(berlin, **asked, include_bots=True)
    assert [group["value"] for group in people["groups"]] == ["mail", "(not set)"]
    assert [group["value"] for group in everybody["groups"]] == ["crawler", "mail"]


async def test_a_trend_by_the_hour_through_the_hour_that_comes_twice(berlin: Service) -> None:
    trend = (await answer(berlin, trend="hour"))["trend"]
    assert [(period["period_start"], period["reached_counts"]) for period in trend] == [
        ("2025-10-26T00:00:00+02:00", [0, 0, 0]),
        ("2025-10-26T01:00:00+02:00", [0, 0, 0]),
        ("2025-10-26T02:00:00+02:00", [1, 1, 1]),
        ("2025-10-26T02:00:00+01:00", [1, 1, 0]),
        ("2025-10-26T03:00:00+01:00", [0, 0, 0]),
        ("2025-10-26T04:00:00+01:00", [0, 0, 0]),
    ]
    assert trend[2] == {
        "period_start": "2025-10-26T02:00:00+02:00",
        "period_end": "2025-10-26T02:00:00+01:00",
        "complete": True,
        "entered_count": 1,
        "converted_count": 1,
        "conversion_ratio": 1.0,
        "reached_counts": [1, 1, 1],
    }


async def test_a_comparison_with_the_time_before(berlin: Service) -> None:
    day = {"start": "2025-10-27T00:00:00+01:00", "end": "2025-10-28T00:00:00+01:00"}
    compare = (await answer(berlin, range=day, compare="previous"))["compare"]
    assert compare["range"] == {"start": "2025-10-26T00:00:00+02:00", "end": "2025-10-27T00:00:00+01:00"}
    assert [step["reached_count"] for step in compare["steps"]] == [2, 2, 1]
    assert compare["seconds_to_convert"]["mean"] == 120
    assert (compare["conversion_ratio_change"], compare["p_value"]) == (None, None)  # nobody entered on the 27th


async def test_a_comparison_with_another_range(berlin: Service) -> None:
    other = {"start": "2025-10-26T00:00:00Z", "end": "2025-10-26T01:00:00Z"}
    compare = (await answer(berlin, compare=other))["compare"]
    assert [step["reached_count"] for step in compare["steps"]] == [1, 1, 1]
    assert compare["conversion_ratio_change"] == -0.5


async def test_times_between_steps(berlin: Service) -> None:
    [between] = (await answer(berlin, between=[{"from_step": 1, "to_step": 2}]))["between"]
    assert (between["seconds"]["count"], between["seconds"]["mean"]) == (2, 50)
    assert between["histogram"][0] == {"from_seconds": 40, "to_seconds": 41, "count": 1}
    assert between["histogram"][-1] == {"from_seconds": 59, "to_seconds": 60, "count": 1}


async def test_a_curve(berlin: Service) -> None:
    curve = (await answer(berlin, curve=True, conversion_window_seconds=200))["curve"]
    assert curve[0] == {
        "seconds": 0.0,
        "at_risk_count": 2,
        "converted_count": 0,
        "conversion_ratio": 0.0,
        "low_ratio": None,
        "high_ratio": None,
    }
    assert [point["conversion_ratio"] for point in curve if point["seconds"] in (115, 120, 200)] == [0, 0.5, 0.5]


async def test_values(berlin: Service) -> None:
    steps = (await answer(berlin, value="value"))["steps"]
    assert [step["value"] for step in steps] == [
        [{"currency": "EUR", "sum": 30.0, "lost_sum": 0.0, "in_progress_sum": 0.0}],
        [{"currency": "EUR", "sum": 30.0, "lost_sum": 20.0, "in_progress_sum": 0.0}],
        [{"currency": "CHF", "sum": 12.5, "lost_sum": None, "in_progress_sum": None}],
    ]
    assert [step["without_value_count"] for step in steps] == [0, 0, 0]


async def test_everything_at_once_and_saved_under_a_name(berlin: Service) -> None:
    asked = {
        "breakdown": {"dimension": "page_path", "of": "step", "step": 2},
        "trend": "day",
        "compare": "previous",
        "between": [{"from_step": 1, "to_step": 3}],
        "curve": True,
        "value": "value",
    }
    saved = await berlin.client.put("/v1/funnels/all", json=funnel(**asked), headers=berlin.reader)
    assert saved.status_code == 201, saved.text
    by_name = (await berlin.client.get("/v1/reports/funnel/all", headers=berlin.reader)).json()
    at_once = await answer(berlin, **asked)
    volatile = ("as_of", "seconds", "events_read")
    assert {k: v for k, v in by_name.items() if k not in volatile} == {
        k: v for k, v in at_once.items() if k not in volatile
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"breakdown": {"property": "device", "dimension": "url"}}, "/breakdown"),
    ({"breakdown": {"property": "device", "of": "step"}}, "/breakdown"),
    ({"breakdown": {"property": "device", "of": "entry", "step": 1}}, "/breakdown"),
    ({"breakdown": {"property": "device", "of": "step", "step": 4}}, "/breakdown/step"),
    ({"breakdown": {"property": "device", "limit": 0}}, "/breakdown/limit"),
    ({"breakdown": {"property": "device", "limit": 101}}, "/breakdown/limit"),
    ({"breakdown": {"property": "device\x00"}}, "/breakdown/property"),
    ({"trend": "year"}, "/trend"),
    ({"trend": "hour", "range": {"start": "2025-01-01T00:00:00Z", "end": "2025-03-01T00:00:00Z"}}, "/trend"),
    ({"compare": "before", "trend": "day"}, "/compare"),
    ({"compare": "previous", "range": {"start": "0001-01-01T00:00:00Z", "end": "0001-02-01T00:00:00Z"}}, "/compare"),
    ({"between": [{"from_step": 2, "to_step": 1}]}, "/between/0/to_step"),
    ({"between": [{"from_step": 1, "to_step": 2}] * 11}, "/between"),
    ({"curve": "maybe"}, "/curve"),
    ({"value": ""}, "/value"),
]


@pytest.mark.parametrize(("members", "pointer"), REFUSED, ids=[str(members)[:60] for members, _ in REFUSED])
async def test_what_contradicts_itself_is_refused(service: Service, members: dict[str, Any], pointer: str) -> None:
    found = faults(await service.funnel(funnel(**members)))
    assert all(each.startswith(pointer) for each in found)
    assert found


async def test_a_dimension_that_there_is_not_is_refused_with_those_there_are(service: Service) -> None:
    reply = await service.funnel(funnel(breakdown={"dimension": "device"}))
    assert reply.status_code == 422
    assert [fault["pointer"] for fault in reply.json()["errors"]] == ["/breakdown"]
    assert "page_path" in reply.json()["errors"][0]["detail"]


async def test_ranges_at_the_ends_of_time_are_answered(service: Service) -> None:
    ends = {"start": "0001-01-01T00:00:00+14:00", "end": "0001-01-02T00:00:00+14:00"}
    for range_ in (ends, {"start": "9999-12-01T00:00:00-12:00", "end": "9999-12-31T00:00:00-12:00"}):
        reply = await service.funnel(funnel(range=range_, trend="month", curve=True, value="value"))
        assert reply.status_code in (200, 422), reply.text
