"""The people behind a funnel's numbers over HTTP: the sender's own ids, pages, reasons, and what is refused."""

import csv
import io
from typing import Any

import httpx
import pytest

from tests.api.problem import assert_problem
from tests.events import sent
from tests.service import Service

VIEWED, ADDED, ORDERED = "product_viewed", "product_added", "order_completed"
FUNNEL: dict[str, Any] = {
    "range": {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": name}]} for name in (VIEWED, ADDED, ORDERED)],
    "conversion_window_seconds": 3600,
}
HOSTILE = "<script>alert(1)</script>\"'; DROP TABLE event; --"


def at(clock: str, event: str, visitor: str, **more: object) -> dict[str, object]:
    return sent(event, visitor_id=visitor, client_time=f"2026-02-10T{clock}Z", **more)


@pytest.fixture
async def shop(service: Service) -> Service:
    """Ana orders; ben, a customer, adds and orders 10 s too late; cleo only views."""
    events = [
        at("10:00:00", VIEWED, "ana"),
        at("10:00:10", ADDED, "ana"),
        at("10:00:20", ORDERED, "ana"),
        at("10:00:00", VIEWED, "ben's phone", account_id="acme", url="https://shop.test/p/1"),
        at("10:00:10", ADDED, "ben's phone", customer_id="ben", properties={"cart_id": "b"}),
        at("11:00:10", ORDERED, "ben's phone"),
        at("10:00:00", VIEWED, HOSTILE),
        at("10:00:05", "page_viewed", HOSTILE, url="https://shop.test/help"),
    ]
    assert (await service.send(events)).json()["stored"] == len(events)
    return service


async def post(shop: Service, path: str, body: object = FUNNEL, **headers: str) -> httpx.Response:
    return await shop.client.post(f"/v1/reports/funnel/{path}", json=body, headers={**shop.reader, **headers})


async def test_a_person_has_the_senders_ids_the_matched_events_and_a_reason(shop: Service) -> None:
    answer = (await post(shop, "people?step=2&outcome=lost")).json()

    assert (answer["total_count"], answer["next_after"]) == (1, None)
    assert answer["people"] == [
        {
            "person": {"customer_id": "ben", "visitor_id": "ben's phone", "account_id": "acme"},
            "depth": 2,
            "entered_at": "2026-02-10T10:00:00Z",
            "outcome": "lost",
            "reason": {"reason": "too_late", "seconds_late": 10.0, "excluded_by": None, "missing": None},
            "steps": [
                {
                    "step_number": 1,
                    "label": VIEWED,
                    "event": VIEWED,
                    "occurred_at": "2026-02-10T10:00:00Z",
                    "url": "https://shop.test/p/1",
                    "properties": {},
                },
                {
                    "step_number": 2,
                    "label": ADDED,
                    "event": ADDED,
                    "occurred_at": "2026-02-10T10:00:10Z",
                    "url": None,
                    "properties": {"cart_id": "b"},
                },
            ],
        }
    ]


async def test_pages_follow_one_another_and_hostile_ids_are_data(shop: Service) -> None:
    names, after = [], ""
    for _ in range(3):
        page = (await post(shop, f"people?step=1&outcome=reached&limit=1{after}")).json()
        names.append(page["people"][0]["person"]["visitor_id"])
        after = f"&after={page['next_after']}"
    assert sorted(names) == sorted(["ana", "ben's phone", HOSTILE])
    assert page["next_after"] is None


async def test_a_saved_funnel_has_people_and_drop_offs_too(shop: Service) -> None:
    await shop.client.put("/v1/funnels/bags", json=FUNNEL, headers=shop.reader)

    async def get(path: str) -> dict[str, Any]:
        reply = await shop.client.get(f"/v1/reports/funnel/bags/{path}", headers=shop.reader)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    assert (await get("people?step=1&outcome=reached"))["total_count"] == 3
    assert (await get("people?step=1&outcome=reached&from=2026-01-01&to=2026-02-01"))["total_count"] == 0
    assert (await get("drop_off?step=2"))["dropped_count"] == 1


async def test_a_drop_off_says_why_and_what_came_next(shop: Service) -> None:
    answer = (await post(shop, "drop_off?step=1")).json()

    del answer["as_of"], answer["events_read"], answer["seconds"]
    assert answer == {
        "step_number": 1,
        "label": VIEWED,
        "dropped_count": 1,
        "lost_count": 1,
        "in_progress_count": 0,
        "reasons": [{"reason": "never", "count": 1, "ratio": 1.0, "seconds_late": None, "excluded_by": []}],
        "next_events": [{"event": "page_viewed", "count": 1, "ratio": 1.0}],
        "next_pages": [{"page_path": "/help", "count": 1}],
    }


async def test_lists_come_as_csv_too(shop: Service) -> None:
    reply = await post(shop, "people?step=1&outcome=lost", Accept="text/csv")
    assert reply.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(reply.text))
    assert (row["person_visitor_id"], row["reason_reason"]) == (HOSTILE, "never")


async def test_an_answer_that_is_known_already_is_named_all_the_same(shop: Service) -> None:
    path = "people?step=1&outcome=lost"
    first, second = await post(shop, path), await post(shop, path)
    assert first.json()["people"] == second.json()["people"]
    unchanged = await post(shop, path, **{"If-None-Match": first.headers["etag"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("people?step=4&outcome=reached", "/query/step"),
        ("people?step=3", "/query/step"),
        ("people?step=0", "/query/step"),
        ("people?outcome=lost", "/query/step"),
        ("people?step=1&outcome=none", "/query/outcome"),
        ("people?step=1&limit=501", "/query/limit"),
        ("people?step=1&after=garbage", "/query/after"),
        ("people?step=1&after=" + "%F0%9F%98%80" * 32, "/query/after"),
        ("people?step=1&stop=2", "/query/stop"),
        ("drop_off?step=3", "/query/step"),
        ("drop_off", "/query/step"),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_named(service: Service, path: str, pointer: str) -> None:
    problem = assert_problem(await post(service, path), 422, "invalid")
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]  # type: ignore[attr-defined]


@pytest.mark.parametrize("after", ["A" * 32, "_" * 32, "f" + "_" * 31, "gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
async def test_a_place_that_nobody_was_given_is_a_place_all_the_same(shop: Service, after: str) -> None:
    assert (await post(shop, f"people?step=1&outcome=reached&after={after}")).status_code == 200


async def test_only_those_who_may_read_see_people(service: Service) -> None:
    for path in ("people?step=1", "drop_off?step=1"):
        url = f"/v1/reports/funnel/{path}"
        assert_problem(await service.client.post(url, json=FUNNEL), 401, "unauthenticated")
        sender = {"Authorization": f"Bearer {service.server_key}"}
        assert_problem(await service.client.post(url, json=FUNNEL, headers=sender), 403, "forbidden")
