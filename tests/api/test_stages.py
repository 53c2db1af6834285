"""A storefront's own stages through HTTP."""

import httpx

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.service import Service

STAGES = {
    "stages": [
        {"name": "visit", "rules": [{"event": "page_viewed"}]},
        {
            "name": "big order",
            "rules": [{"event": "order_completed", "where": [{"property": "value", "op": ">", "value": 100}]}],
        },
        {"name": "again", "rules": [{"event": "order_completed", "after": "big order"}]},
    ]
}


async def put(service: Service, body: object) -> httpx.Response:
    key = (await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)).secret
    return await service.client.put("/v1/stages", json=body, headers={"Authorization": f"Bearer {key}"})


async def reached(service: Service) -> dict[str, int]:
    days = {"from": "2020-01-01", "to": "2100-01-01"}
    reply = await service.client.get("/v1/reports/stages", params=days, headers=service.reader)
    return {step["label"]: step["reached_count"] for step in reply.json()["steps"]}


async def test_the_default_stages_are_shown(service: Service) -> None:
    stages = (await service.client.get("/v1/stages", headers=service.reader)).json()["stages"]

    assert [stage["name"] for stage in stages] == [
        "awareness", "consideration", "decision", "purchase", "retention", "advocacy",
    ]  # fmt: skip
    assert stages[4]["rules"][0] == {"event": "order_completed", "where": [], "after": "purchase"}


async def test_stages_of_ones_own_apply_to_history_at_once(service: Service) -> None:
    await service.send(
        [
            {"event": "page_viewed", "visitor_id": "ana", "seq": 1},
            {"event": "order_completed", "visitor_id": "ana", "seq": 2, "properties": {"value": 120}},
            {"event": "order_completed", "visitor_id": "ana", "seq": 3, "properties": {"value": 5}},
            {"event": "page_viewed", "visitor_id": "bo", "seq": 1},
            {"event": "order_completed", "visitor_id": "bo", "seq": 2, "properties": {"value": 5}},
        ]
    )
    assert (await put(service, STAGES)).status_code == 200

    assert await reached(service) == {"visit": 2, "big order": 1, "again": 1}
    shown = (await service.client.get("/v1/stages", headers=service.reader)).json()
    assert [stage["name"] for stage in shown["stages"]] == ["visit", "big order", "again"]


async def test_only_an_admin_key_changes_stages(service: Service) -> None:
    assert_problem(await service.client.put("/v1/stages", json=STAGES, headers=service.reader), 403, "forbidden")


async def test_faulty_stages_are_refused(service: Service) -> None:
    visit = {"name": "visit", "rules": [{"event": "page_viewed"}]}
    for stages in (
        [],
        [visit, visit],
        [{"name": "empty", "rules": []}],
        [{"name": "late", "rules": [{"event": "x", "after": "nowhere"}]}],
        [{"name": "hen", "rules": [{"event": "x", "after": "hen"}]}],
        [{"name": str(n), "rules": [{"event": "x", "after": str(n - 1)}] * 50} for n in range(1, 20)] + [visit],
    ):
        assert_problem(await put(service, {"stages": stages}), 422, "invalid")
