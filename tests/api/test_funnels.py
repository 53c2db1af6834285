"""Saved funnels: kept under a name, asked for by it, seen by their own storefront only."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from app.storage.storefronts import create_storefront
from tests.api.test_reports import ADDED, ORDERED, VIEWED, assert_problem, event, funnel, pointers, where
from tests.service import Service

BODY = funnel(VIEWED, ADDED, conversion_window_seconds=3600)


async def put(service: Service, name: str, body: object = BODY) -> Any:
    return await service.client.put(f"/v1/funnels/{name}", json=body, headers=service.reader)


async def get(service: Service, path: str) -> Any:
    return await service.client.get(path, headers=service.reader)


async def delete(service: Service, name: str) -> Any:
    return await service.client.delete(f"/v1/funnels/{name}", headers=service.reader)


async def test_a_new_name_is_created_and_a_known_one_replaced(service: Service) -> None:
    created = await put(service, "checkout")
    assert created.status_code == 201
    assert created.json()["name"] == "checkout"
    replaced = await put(service, "checkout", funnel(ORDERED))
    assert replaced.status_code == 200
    assert replaced.json()["updated_at"] > created.json()["updated_at"]
    shown = (await get(service, "/v1/funnels/checkout")).json()
    assert shown == replaced.json()
    assert shown["definition"]["steps"][0]["any_of"][0]["event"] == ORDERED


async def test_a_definition_is_kept_as_it_was_sent(service: Service) -> None:
    body = where("a'b/\"~😀", "in", [1, 1.5, True, "x"])
    await put(service, "odd", body)
    kept = (await get(service, "/v1/funnels/odd")).json()["definition"]["steps"][0]["any_of"][0]["where"][0]
    assert kept == {"property": "a'b/\"~😀", "op": "in", "value": [1, 1.5, True, "x"]}


async def test_all_are_listed_by_name(service: Service) -> None:
    assert (await get(service, "/v1/funnels")).json() == []
    for name in ("b", "c", "a"):
        await put(service, name)
    listed = (await get(service, "/v1/funnels")).json()
    assert [each["name"] for each in listed] == ["a", "b", "c"]
    assert listed[0] == (await get(service, "/v1/funnels/a")).json()


async def test_a_deleted_one_is_gone(service: Service) -> None:
    await put(service, "checkout")
    deleted = await delete(service, "checkout")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for reply in (
        await delete(service, "checkout"),
        await get(service, "/v1/funnels/checkout"),
        await get(service, "/v1/reports/funnel/checkout"),
    ):
        assert "checkout" in assert_problem(reply, 404)["detail"]
    assert (await put(service, "checkout")).status_code == 201


async def test_its_report_is_what_the_same_body_posted_gives(service: Service) -> None:
    at = datetime(2025, 3, 1, 12, tzinfo=UTC)
    await service.send([event("ana", VIEWED, at, price=10), event("ana", ADDED, at), event("ben", VIEWED, at)])
    for name, body in (("plain", BODY), ("priced", where("price", "=", 10.0)), ("other", where("price", "<", 9.5))):
        await put(service, name, body)
        saved = (await get(service, f"/v1/reports/funnel/{name}")).json()
        posted = (await service.funnel(body)).json()
        assert saved["steps"] == posted["steps"]
        assert saved.keys() == posted.keys()
    assert [each["reached_count"] for each in saved["steps"]] == [0]


ALLOWED = ["a", "A", "0", "a.b", "a-b_c", "x" * 100]


async def test_names_that_are_allowed(service: Service, subtests: pytest.Subtests) -> None:
    for name in ALLOWED:
        with subtests.test(name=name):
            assert (await put(service, name)).status_code == 201


NOT_ALLOWED = ["-a", ".a", "_a", "a b", "a%20", "a%0A", "é", "x" * 101, "a'b", "a%00b", "a%22b"]


async def test_names_that_are_not(service: Service, subtests: pytest.Subtests) -> None:
    for name in NOT_ALLOWED:
        with subtests.test(name=name):
            for reply in (
                await put(service, name),
                await get(service, f"/v1/funnels/{name}"),
                await get(service, f"/v1/reports/funnel/{name}"),
                await delete(service, name),
            ):
                assert pointers(reply) == ["/path/name"]


FAULTY = [{}, {**BODY, "steps": []}, {**BODY, "color": "red"}, {**BODY, "steps": [{"any_of": [{"stage": "loyalty"}]}]}]


async def test_a_faulty_definition_is_refused_and_not_kept(service: Service, subtests: pytest.Subtests) -> None:
    for body in FAULTY:
        with subtests.test(body=body):
            assert_problem(await put(service, "faulty", body), 422)
            assert_problem(await get(service, "/v1/funnels/faulty"), 404)


ODD = [
    where("price", "=", "a\0b"),
    where("a\0b", "exists"),
    funnel("a\0b"),
    {**BODY, "steps": [{"any_of": [{"event": VIEWED}], "label": "a\0b"}]},
    where("price", "=", 10**400),
    where("price", "=", 1e308),
    where("price", "=", -0.0),
]


async def test_what_can_not_be_kept_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    for body in ODD:
        with subtests.test(body=body):
            kept = await put(service, "odd", body)
            assert kept.status_code in (200, 201, 422), kept.text
            if kept.status_code != 422:
                assert (await get(service, "/v1/reports/funnel/odd")).status_code == 200


async def test_another_storefront_neither_sees_nor_touches_it(service: Service) -> None:
    other = await create_storefront(service.engine, "Another shop", "UTC", "EUR")
    other_key = (await create_key(service.engine, other.storefront_id, KeyKind.READ)).secret
    await put(service, "checkout")
    headers = {"Authorization": f"Bearer {other_key}"}
    assert (await service.client.get("/v1/funnels", headers=headers)).json() == []
    for method, path in (
        ("GET", "/v1/funnels/checkout"),
        ("GET", "/v1/reports/funnel/checkout"),
        ("DELETE", "/v1/funnels/checkout"),
    ):
        assert_problem(await service.client.request(method, path, headers=headers), 404)
    created = await service.client.put("/v1/funnels/checkout", json=funnel(ORDERED), headers=headers)
    assert created.status_code == 201
    mine = (await get(service, "/v1/funnels/checkout")).json()["definition"]["steps"]
    assert [each["any_of"][0]["event"] for each in mine] == [VIEWED, ADDED]
