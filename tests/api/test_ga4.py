"""Clients of GA4 that had nothing but their host changed: keys, replies, consent, and a shop visit in a funnel."""

import json
from typing import Any

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.service import Service

BROWSER, SERVER = 1, 2  # trust, as it is stored
MEASUREMENT_ID = "G-TEA1"


@pytest.fixture(autouse=True)
async def measurement_id(service: Service) -> None:
    """The shop's id, made a write key."""
    await create_key(service.engine, service.storefront_id, KeyKind.WRITE, chosen=MEASUREMENT_ID)


async def collect(service: Service, *events: object, path: str = "/mp/collect", **query: str) -> httpx.Response:
    body = json.dumps({"client_id": "512.177", "events": events})
    address = {"measurement_id": MEASUREMENT_ID, **query}
    return await service.client.post(path, content=body, headers={"Content-Type": "text/plain"}, params=address)


async def hit(service: Service, method: str, body: str = "", **parameters: str) -> httpx.Response:
    page = {"v": "2", "tid": MEASUREMENT_ID, "_p": "77", "_s": "1", "cid": "512.177", "dl": "https://tea.example/"}
    return await service.client.request(method, "/g/collect", params={**page, **parameters}, content=body)


async def stored(service: Service) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await service.rows("SELECT event_name, trust FROM event ORDER BY event_name")]


# -- Measurement Protocol --------------------------------------------------------------------------------------------


async def test_a_measurement_id_is_a_write_key_whatever_google_s_secret_beside_it(service: Service) -> None:
    reply = await collect(service, {"name": "view_item"}, api_secret="of Google")

    assert (reply.status_code, reply.content) == (204, b"")
    assert await stored(service) == [("product_viewed", BROWSER)]


async def test_a_server_key_may_be_the_secret(service: Service) -> None:
    reply = await collect(service, {"name": "purchase"}, api_secret=service.server_key)

    assert reply.status_code == 204
    assert await stored(service) == [("order_completed", SERVER)]


async def test_a_server_key_in_the_secret_s_place_opens_no_other_address(service: Service) -> None:
    reply = await service.client.post("/v1/events", json={"event": "a"}, params={"api_secret": service.server_key})

    assert_problem(reply, 401, "unauthenticated")


async def test_an_unknown_id_is_refused(service: Service) -> None:
    assert_problem(await collect(service, {"name": "view_item"}, measurement_id="G-OTHER"), 401, "unauthenticated")


async def test_a_bad_event_spoils_no_other_and_is_no_error_to_the_client(service: Service) -> None:
    reply = await collect(service, {"name": "view_item"}, {"params": {}}, "odd")

    assert reply.status_code == 204
    assert await stored(service) == [("product_viewed", BROWSER)]
    refused = await service.rows("SELECT reason FROM quarantined_event ORDER BY reason")
    assert [reason for (reason,) in refused] == ["missing_field", "not_an_object"]


async def test_an_order_that_is_sent_again_is_stored_once(service: Service) -> None:
    order = {"name": "purchase", "params": {"transaction_id": "8012", "value": 13.3, "currency": "EUR"}}

    replies = [await collect(service, order) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [204, 204, 204]
    assert await stored(service) == [("order_completed", BROWSER)]


async def test_validation_tells_what_is_wrong_and_stores_nothing(service: Service) -> None:
    reply = await collect(service, {"name": "view_item"}, {"name": ""}, path="/debug/mp/collect")

    assert reply.status_code == 200
    assert reply.json() == {
        "validationMessages": [
            {
                "fieldPath": "events.name",
                "description": "Event at index: [1]. Give the event a name.",
                "validationCode": "VALUE_REQUIRED",
                "reason": "missing_field",
            }
        ]
    }
    assert await stored(service) == []
    assert await service.rows("SELECT 1 FROM quarantined_event") == []


async def test_validation_of_nonsense_stores_nothing_either(service: Service) -> None:
    reply = await service.client.post(
        "/debug/mp/collect", content=b"nonsense", params={"measurement_id": MEASUREMENT_ID}
    )

    assert [message["validationCode"] for message in reply.json()["validationMessages"]] == ["VALUE_INVALID"]
    assert await service.rows("SELECT 1 FROM quarantined_event") == []


async def test_validation_takes_a_key_too(service: Service) -> None:
    assert_problem(await service.client.post("/debug/mp/collect", content=b"{}"), 401, "unauthenticated")


# -- browsers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_one_hit_comes_in_the_query(service: Service, method: str) -> None:
    reply = await hit(service, method, en="page_view", dt="Teas")

    assert (reply.status_code, reply.content) == (204, b"")
    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_several_hits_come_in_the_body(service: Service) -> None:
    reply = await hit(service, "POST", "en=view_item&pr1=idA-1~pr4.2\r\nen=add_to_cart&pr1=idA-1~pr4.2")

    assert reply.status_code == 204
    assert await stored(service) == [("product_added", BROWSER), ("product_viewed", BROWSER)]


async def test_a_hit_that_is_sent_again_is_stored_once(service: Service) -> None:
    for _ in range(3):
        await hit(service, "POST", en="page_view")

    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_of_visitors_who_denied_analytics_nothing_is_kept(service: Service) -> None:
    reply = await hit(service, "GET", en="page_view", gcs="G100")

    assert reply.status_code == 204
    assert await stored(service) == []
    [(received, no_consent)] = await service.rows("SELECT sum(received), sum(no_consent) FROM ledger")
    assert (received, no_consent) == (1, 1)


async def test_a_page_may_send_from_another_origin_with_its_cookies(service: Service) -> None:
    reply = await service.client.post(
        "/g/collect",
        params={"tid": MEASUREMENT_ID, "cid": "1", "en": "page_view"},
        headers={"Origin": "https://tea.example"},
    )

    assert reply.headers["access-control-allow-origin"] == "https://tea.example"
    assert reply.headers["access-control-allow-credentials"] == "true"


async def test_a_visit_of_browser_and_server_is_one_journey(service: Service) -> None:
    await hit(service, "GET", en="view_item", _s="1")
    await hit(service, "POST", "en=add_to_cart\r\nen=begin_checkout", _s="2")
    order = {"name": "purchase", "params": {"transaction_id": "8012", "value": 13.3}}
    await collect(service, order, api_secret=service.server_key)

    names = ("product_viewed", "product_added", "checkout_started", "order_completed")
    reply = await service.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-04T00:00:00Z"},
            "steps": [{"any_of": [{"event": name}]} for name in names],
        }
    )

    assert reply.status_code == 200, reply.text
    assert [step["reached_count"] for step in reply.json()["steps"]] == [1, 1, 1, 1]
