"""A person's whole journey over HTTP: every event once, in order, on pages, under all names of the person."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.api.problem import assert_problem
from tests.events import sent
from tests.service import Service


def at(clock: str, event: str, **more: object) -> dict[str, object]:
    return sent(event, client_time=f"2026-02-10T{clock}Z", **more)


@pytest.fixture
async def shop(service: Service) -> Service:
    """Ana looks around on her phone, and orders twice on her laptop, where her first order makes her a customer."""
    events = [
        at("10:00:00", "page_viewed", visitor_id="phone", url="https://shop.test/", referrer="https://search.test/"),
        at("10:00:10", "customer_identified", visitor_id="phone", customer_id="ana"),
        at("12:00:00", "order_completed", visitor_id="laptop", customer_id="ana", properties={"order_id": "1"}),
        at("12:00:30", "order_completed", visitor_id="laptop", properties={"order_id": "2"}),
        at("12:00:00", "page_viewed", visitor_id="somebody else"),
    ]
    assert (await service.send(events)).json()["stored"] == len(events)
    return service


async def journey(shop: Service, person: str, query: str = "") -> dict[str, Any]:
    reply = await shop.client.get(f"/v1/persons/{quote(person, safe='')}/journey{query}", headers=shop.reader)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_a_journey_with_everything_written_out(shop: Service) -> None:
    answer = await journey(shop, "ana")

    del answer["as_of"], answer["seconds"]
    plain: dict[str, Any] = {"url": None, "referrer": None, "properties": {}, "trust": "browser"}
    assert answer == {
        "events_read": 4,
        "first_seen_at": "2026-02-10T10:00:00Z",
        "last_seen_at": "2026-02-10T12:00:30Z",
        "events_count": 4,
        "sessions_count": 2,
        "visitors": ["laptop", "phone"],
        "events": [
            {**plain, "occurred_at": "2026-02-10T10:00:00Z", "event": "page_viewed", "stages": ["awareness"],
             "session_number": 1, "visitor_id": "phone", "url": "https://shop.test/",
             "referrer": "https://search.test/"},
            {**plain, "occurred_at": "2026-02-10T10:00:10Z", "event": "customer_identified", "stages": [],
             "session_number": 1, "visitor_id": "phone"},
            {**plain, "occurred_at": "2026-02-10T12:00:00Z", "event": "order_completed", "stages": ["purchase"],
             "session_number": 2, "visitor_id": "laptop", "properties": {"order_id": "1"}},
            {**plain, "occurred_at": "2026-02-10T12:00:30Z", "event": "order_completed",
             "stages": ["purchase", "retention"], "session_number": 2, "visitor_id": "laptop",
             "properties": {"order_id": "2"}},
        ],
        "next_after": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("order", "clocks"),
    [
        ("asc", ["10:00:00", "10:00:10", "12:00:00", "12:00:30"]),
        ("desc", ["12:00:30", "12:00:00", "10:00:10", "10:00:00"]),
    ],
)
async def test_pages_hold_every_event_once_though_new_ones_come(shop: Service, order: str, clocks: list[str]) -> None:
    first = await journey(shop, "ana", f"?order={order}&limit=2")
    given = first["events"]
    early_or_late = "09:00:00" if order == "asc" else "13:00:00"
    await shop.send(at(early_or_late, "page_viewed", visitor_id="phone"))
    second = await journey(shop, "ana", f"?order={order}&limit=3&after={first['next_after']}")
    given += second["events"]
    assert [event["occurred_at"] for event in given] == [f"2026-02-10T{clock}Z" for clock in clocks]
    assert second["next_after"] is None
    assert second["events_count"] == 5


async def test_a_visitor_stands_for_the_customer_unless_nobody_identified_them(shop: Service) -> None:
    assert (await journey(shop, "phone"))["events_count"] == 4
    assert (await journey(shop, "phone", "?kind=visitor"))["visitors"] == ["laptop", "phone"]
    assert (await journey(shop, "somebody else"))["events_count"] == 1


async def test_a_device_that_several_share_gives_each_their_own_part(shop: Service) -> None:
    await shop.send(
        [
            at("14:00:00", "page_viewed", visitor_id="tablet", customer_id="ana"),
            at("15:00:00", "page_viewed", visitor_id="tablet", customer_id="ben"),
            at("15:00:05", "product_viewed", visitor_id="tablet"),
        ]
    )
    ben = await journey(shop, "ben")
    assert [(event["event"], event["visitor_id"]) for event in ben["events"]] == [
        ("page_viewed", "tablet"),
        ("product_viewed", "tablet"),
    ]
    assert (await journey(shop, "ana"))["events_count"] == 5
    reply = await shop.client.get("/v1/persons/tablet/journey", headers=shop.reader)
    assert_problem(reply, 409, "shared-visitor")


async def test_nobody_has_no_journey(shop: Service) -> None:
    for path in ("unknown", "unknown/journey", "%20", "ana?kind=visitor"):
        name, _, query = path.partition("?")
        url = f"/v1/persons/{name}/journey" + (f"?{query}" if query else "")
        assert_problem(await shop.client.get(url, headers=shop.reader), 404, "not-found")


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=1001", "order=newest", "kind=account", "page=2"])
async def test_a_faulty_question_is_refused(shop: Service, query: str) -> None:
    reply = await shop.client.get(f"/v1/persons/ana/journey?{query}", headers=shop.reader)
    problem = assert_problem(reply, 422, "invalid")
    assert [fault["pointer"] for fault in problem["errors"]] == [f"/query/{query.partition('=')[0]}"]  # type: ignore[attr-defined]


async def test_only_those_who_may_read_see_a_journey(shop: Service) -> None:
    assert_problem(await shop.client.get("/v1/persons/ana/journey"), 401, "unauthenticated")
    sender = {"Authorization": f"Bearer {shop.write_key}"}
    assert_problem(await shop.client.get("/v1/persons/ana/journey", headers=sender), 403, "forbidden")
