"""The rights of a person over HTTP: erasure with a receipt, and an export of everything held."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.events import NOW_TEXT, many, sent
from tests.service import Service

FUNNEL = {
    "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": "product_viewed"}]}],
}


@pytest.fixture
async def admin(service: Service) -> dict[str, str]:
    """Headers with an admin key."""
    made = await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)
    return {"Authorization": f"Bearer {made.secret}"}


async def entered(service: Service) -> int:
    """How many persons viewed a product."""
    reply = await service.funnel(FUNNEL)
    assert reply.status_code == 200
    return int(reply.json()["steps"][0]["reached_count"])


async def until_finished(service: Service, admin: dict[str, str], receipt: int) -> dict[str, Any]:
    """Puts the moments of the erasure back, so that nobody has to wait for the time between its stages."""
    for _ in range(200):
        async with service.engine.begin() as connection:
            for moment in ("requested_at", "forgotten_at"):
                await connection.execute(text(f"UPDATE erasure SET {moment} = {moment} - interval '1 hour'"))
        reply = await service.client.get(f"/v1/erasures/{receipt}", headers=admin)
        assert reply.status_code == 200
        if reply.json()["finished_at"]:
            return dict(reply.json())
        await asyncio.sleep(0.1)
    raise AssertionError("the erasure does not end")


def lines(reply: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.text.splitlines()]


async def test_an_erased_person_is_gone_from_reports_and_comes_back_as_somebody_new(
    service: Service, admin: dict[str, str]
) -> None:
    await service.send(
        [sent("product_viewed", visitor_id="ana", customer_id="c1"), sent("product_viewed", visitor_id="ben")]
    )
    await service.send([sent("product_viewed", visitor_id="ana"), {"visitor_id": "ana", "note": "no event name"}])
    assert await entered(service) == 2

    erased = await service.client.delete("/v1/persons/c1", headers=admin)

    assert erased.status_code == 202
    receipt = erased.json()
    counts = {name: receipt[name] for name in ("events", "quarantined", "spooled", "visitors", "customers")}
    assert counts == {"events": 2, "quarantined": 1, "spooled": 0, "visitors": 1, "customers": 1}
    assert (receipt["erased_at"] is not None, receipt["finished_at"]) == (True, None)
    assert await entered(service) == 1

    finished = await until_finished(service, admin, receipt["receipt"])

    assert finished["events"] == 2
    assert (await service.client.delete("/v1/persons/c1", headers=admin)).status_code == 404
    await service.send([sent("product_viewed", visitor_id="ana")])
    assert await entered(service) == 2


async def test_an_erasure_asked_for_again_has_the_same_receipt(service: Service, admin: dict[str, str]) -> None:
    await service.send([sent(visitor_id="ana", customer_id="c1")])

    first = await service.client.delete("/v1/persons/c1", headers=admin)
    second = await service.client.delete("/v1/persons/ana", headers=admin)

    assert first.json()["receipt"] == second.json()["receipt"]


@pytest.mark.parametrize("person_id", ["a/b", "zoë", "50%", "a?b#c", "ana/export"])
async def test_an_id_may_be_any_text(service: Service, admin: dict[str, str], person_id: str) -> None:
    await service.send([sent(visitor_id=person_id)])
    path = "/v1/persons/" + quote(person_id, safe="")

    export = await service.client.get(f"{path}/export", headers=admin)
    erased = await service.client.delete(path, headers=admin)

    assert lines(export)[0] == {"type": "person", "customer_ids": [], "visitor_ids": [person_id]}
    assert erased.json()["events"] == 1


async def test_who_is_unknown_is_not_found(service: Service, admin: dict[str, str]) -> None:
    await service.send([sent(visitor_id="ana")])

    assert_problem(await service.client.delete("/v1/persons/nobody", headers=admin), 404, "not-found")
    assert_problem(await service.client.delete("/v1/persons/ana?kind=customer", headers=admin), 404, "not-found")
    assert_problem(await service.client.delete("/v1/persons/ana?kind=dog", headers=admin), 422, "invalid")
    assert_problem(await service.client.get("/v1/persons/nobody/export", headers=admin), 404, "not-found")
    assert_problem(await service.client.get("/v1/erasures/1", headers=admin), 404, "not-found")


@pytest.mark.parametrize("path", ["/v1/persons/a%00b", "/v1/persons/", f"/v1/persons/{'x' * 201}"])
async def test_what_can_be_nobodys_id_is_refused(service: Service, admin: dict[str, str], path: str) -> None:
    assert_problem(await service.client.delete(path, headers=admin), 422, "invalid")


@pytest.mark.parametrize("receipt", ["0", str(2**63), "seven"])
async def test_what_can_be_no_receipt_is_refused(service: Service, admin: dict[str, str], receipt: str) -> None:
    assert_problem(await service.client.get(f"/v1/erasures/{receipt}", headers=admin), 422, "invalid")


async def test_a_visitor_that_was_several_customers_is_not_guessed_at(service: Service, admin: dict[str, str]) -> None:
    await service.send([sent(visitor_id="family", customer_id="c1"), sent(visitor_id="family", customer_id="c2")])

    assert_problem(await service.client.delete("/v1/persons/family", headers=admin), 409, "shared-visitor")


async def test_erasing_takes_an_admin_key_and_seeing_a_read_key(service: Service, admin: dict[str, str]) -> None:
    await service.send([sent(visitor_id="ana")])

    assert_problem(await service.client.delete("/v1/persons/ana", headers=service.reader), 403, "forbidden")
    assert_problem(await service.client.get("/v1/erasures/1", headers=service.reader), 403, "forbidden")
    assert_problem(await service.client.delete("/v1/persons/ana"), 401, "unauthenticated")
    writer = {"Authorization": f"Bearer {service.write_key}"}
    assert_problem(await service.client.get("/v1/persons/ana/export", headers=writer), 403, "forbidden")
    assert (await service.client.get("/v1/persons/ana/export", headers=service.reader)).status_code == 200


async def test_persons_of_another_storefront_are_unknown(service: Service) -> None:
    await service.send([sent(visitor_id="ana")])
    async with service.engine.begin() as connection:
        await connection.execute(text("INSERT INTO storefront (name, time_zone, currency) VALUES ('x', 'UTC', 'EUR')"))
    other = await create_key(service.engine, service.storefront_id + 1, KeyKind.ADMIN)
    headers = {"Authorization": f"Bearer {other.secret}"}

    assert_problem(await service.client.delete("/v1/persons/ana", headers=headers), 404, "not-found")
    assert_problem(await service.client.get("/v1/persons/ana/export", headers=headers), 404, "not-found")


async def test_an_export_has_everything_in_the_words_of_the_api(service: Service) -> None:
    event = sent(
        "product_viewed",
        event_id="0195f2a0-0000-7000-8000-000000000001",
        visitor_id="phone",
        customer_id="ana",
        account_id="acme",
        url="https://shop.example/hat",
        referrer="https://news.example",
        seq=3,
        context={"user_agent": "iPhone", "language": "de-AT"},
        properties={"price": 19.90, "tags": ["a", "ü"], "note": None},
    )
    await service.send([event, sent("undated", visitor_id="phone", client_time=None), sent(visitor_id="ben")])
    await service.send([{"visitor_id": "phone", "note": "no name"}])

    reply = await service.client.get("/v1/persons/phone/export", headers=service.reader)

    assert reply.headers["content-type"] == "application/x-ndjson"
    found = lines(reply)
    assert [line["type"] for line in found] == ["person", "link", "event", "event", "quarantined_event", "end"]
    person, link, *events, refused, end = found
    undated, viewed = sorted(events, key=lambda event: event["client_time"] is not None)
    assert person == {"type": "person", "customer_ids": ["ana"], "visitor_ids": ["phone"]}
    assert link == {"type": "link", "visitor_id": "phone", "linked_at": NOW_TEXT}
    assert (undated["event"], undated["client_time"]) == ("undated", None)
    assert viewed == {
        "type": "event",
        "event_id": "0195f2a0-0000-7000-8000-000000000001",
        "event": "product_viewed",
        "visitor_id": "phone",
        "customer_id": "ana",
        "account_id": "acme",
        "client_time": NOW_TEXT,
        "occurred_at": NOW_TEXT,
        "received_at": NOW_TEXT,
        "seq": 3,
        "url": "https://shop.example/hat",
        "referrer": "https://news.example",
        "trust": "browser",
        "is_bot": False,
        "context": {
            "device_type": "mobile",
            "browser": "Safari",
            "os": "iOS",
            "language": "de",
            "channel": "referral",
        },
        "properties": {"price": 19.90, "tags": ["a", "ü"], "note": None},
    }
    assert (refused["reason"], json.loads(refused["raw"])) == (
        "unknown_field",
        {"visitor_id": "phone", "note": "no name"},
    )
    assert end == {"type": "end", "events": 2, "quarantined_events": 1}


async def test_an_export_of_events_with_a_common_shape_has_their_properties(service: Service) -> None:
    for number in range(4):  # more than it takes until such events store their values only
        await service.send(many(20, visitor_id="ana", properties={"size": number, "colour": "red"}))

    reply = await service.client.get("/v1/persons/ana/export", headers=service.reader)

    [(shaped,)] = await service.rows("SELECT count(*) FROM event WHERE shape_id IS NOT NULL")
    assert shaped > 0
    properties = [line["properties"] for line in lines(reply) if line["type"] == "event"]
    assert properties == [{"size": number, "colour": "red"} for number in range(4) for _ in range(20)]
