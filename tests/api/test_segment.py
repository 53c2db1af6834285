"""Segment's, RudderStack's and Jitsu's clients against the running service: keys, replies, and one person's journey."""

import gzip
import json
from base64 import b64encode

import httpx
import pytest

from tests.api.problem import assert_problem
from tests.events import NOW_TEXT
from tests.service import Service


def track(event: str = "Product Viewed", message_id: str = "m-1", **fields: object) -> dict[str, object]:
    return {
        "type": "track",
        "event": event,
        "messageId": message_id,
        "anonymousId": "ana",
        "timestamp": NOW_TEXT,
        **fields,
    }


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{key}:".encode()).decode()}


async def send(service: Service, path: str, body: object, headers: dict[str, str] | None = None) -> httpx.Response:
    return await service.client.post(path, json=body, headers=headers or basic(service.write_key))


# -- keys ------------------------------------------------------------------------------------------------------------


async def test_the_key_may_stand_wherever_a_client_has_it(service: Service) -> None:
    key, post = service.write_key, service.client.post

    replies = [
        await post("/v1/t", json=track(message_id="m-1"), headers=basic(key)),
        await post("/v1/t", json=track(message_id="m-2", writeKey=key)),
        await post("/v1/b", json={"batch": [track(message_id="m-3")], "writeKey": key}),
        await post(f"/beacon/v1/batch?writeKey={key}", json={"batch": [track(message_id="m-4")]}),
        await post("/api/s/track", json=track(message_id="m-5", writeKey="id:***"), headers={"X-Write-Key": key}),
    ]

    assert [reply.status_code for reply in replies] == [200] * 5
    assert await service.event_count() == 5


async def test_a_masked_key_is_no_key(service: Service) -> None:
    reply = await service.client.post("/api/s/track", json=track(writeKey="id:***"))

    assert_problem(reply, 401, "unauthenticated")


async def test_a_batch_in_a_form_content_type_compressed_without_a_header_is_read(service: Service) -> None:
    body = gzip.compress(json.dumps({"batch": [track(), track(message_id="m-2")]}).encode())
    headers = {**basic(service.write_key), "Content-Type": "application/x-www-form-urlencoded"}

    reply = await service.client.post("/v1/batch", content=body, headers=headers)

    assert (reply.status_code, reply.json()) == (200, {"success": True})
    assert await service.event_count() == 2


# -- replies ---------------------------------------------------------------------------------------------------------


async def test_a_batch_with_a_bad_event_is_answered_200_and_the_others_are_stored(service: Service) -> None:
    reply = await send(
        service, "/v1/batch", {"batch": [track(), {"type": "track"}, "nonsense", track("Cart Viewed", "m-2")]}
    )

    assert (reply.status_code, reply.json()) == (200, {"success": True})
    assert await service.event_count() == 2
    kept = await service.rows("SELECT reason FROM quarantined_event ORDER BY reason")
    assert [reason for (reason,) in kept] == ["missing_field", "not_an_object"]


async def test_a_body_that_is_no_json_is_refused(service: Service) -> None:
    reply = await service.client.post("/v1/t", content=b"{cut o", headers=basic(service.write_key))

    assert_problem(reply, 400, "unreadable")


async def test_a_batch_sent_again_with_more_events_stores_each_once(service: Service) -> None:
    await send(service, "/v1/batch", {"batch": [track(message_id="m-1")], "sentAt": NOW_TEXT})
    await send(service, "/v1/batch", {"batch": [track(message_id="m-1"), track(message_id="m-2")]})

    assert await service.event_count() == 2


async def test_a_preflight_allows_what_the_browser_asks_for(service: Service) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "anonymousid,authorization,content-type,sentat",
    }

    reply = await service.client.options("/v1/page", headers=asked)

    assert reply.status_code == 204
    assert reply.headers["access-control-allow-headers"] == asked["Access-Control-Request-Headers"]
    assert reply.headers["access-control-allow-origin"] == "https://shop.example"


# -- what clients ask before they send -------------------------------------------------------------------------------


async def test_analytics_js_finds_its_settings(service: Service) -> None:
    reply = await service.client.get("/v1/projects/a-key/settings", headers={"Origin": "https://shop.example"})

    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "https://shop.example"
    assert reply.json()["integrations"]["Segment.io"]["apiKey"] == "a-key"
    assert reply.json()["metrics"] == {"sampleRate": 0}


async def test_what_analytics_js_measures_of_itself_is_taken_and_not_kept(service: Service) -> None:
    reply = await service.client.post("/v1/m", content=b'{"series": []}', headers={"Content-Type": "text/plain"})

    assert (reply.status_code, reply.json()) == (200, {"success": True})
    assert await service.event_count() == 0


@pytest.mark.parametrize("path", ["/sourceConfig/?p=npm&v=3.34.1&writeKey=a-key", "/sourceConfig?p=android"])
async def test_rudderstack_finds_a_source_without_destinations(service: Service, path: str) -> None:
    reply = await service.client.get(path, headers=basic("a-key"))

    assert reply.status_code == 200
    source = reply.json()["source"]
    assert (source["enabled"], source["destinations"]) == (True, [])
    assert source["config"]["statsCollection"]["metrics"] == {"enabled": False}


# -- a journey -------------------------------------------------------------------------------------------------------


async def test_a_person_is_one_before_and_after_identifying(service: Service) -> None:
    """The browser sends one by one without knowing the customer, the server an order without knowing the browser."""
    page = {"type": "page", "name": "Home", "anonymousId": "ana", "messageId": "m-1"}
    await send(service, "/v1/p", {**page, "timestamp": "2026-03-02T11:50:00Z"})
    await send(service, "/v1/t", track("Product Added", "m-2", timestamp="2026-03-02T11:51:00Z"))
    identify = {"type": "identify", "userId": "c-1", "anonymousId": "ana", "traits": {}, "messageId": "m-3"}
    await send(service, "/v1/i", {**identify, "timestamp": "2026-03-02T11:52:00Z"})
    order = track(
        "Order Completed", "m-4", anonymousId=None, userId="c-1", properties={"order_id": "A-7", "total": 84.7}
    )
    await send(service, "/v1/batch", {"batch": [order]}, basic(service.server_key))

    steps = ("page_viewed", "product_added", "order_completed")
    funnel = await service.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
            "steps": [{"any_of": [{"event": name}]} for name in steps],
        }
    )

    assert [step["reached_count"] for step in funnel.json()["steps"]] == [1, 1, 1]


async def test_an_alias_links_the_previous_visitor_with_the_customer(service: Service) -> None:
    await send(
        service, "/v1/track", track("Product Viewed", "m-1", anonymousId="before", timestamp="2026-03-02T11:50:00Z")
    )
    alias = {"type": "alias", "previousId": "before", "userId": "c-1", "messageId": "m-2"}
    await send(service, "/v1/alias", {**alias, "timestamp": "2026-03-02T11:51:00Z"})
    await send(service, "/v1/track", track("Order Completed", "m-3", anonymousId=None, userId="c-1"))

    funnel = await service.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
            "steps": [{"any_of": [{"event": "product_viewed"}]}, {"any_of": [{"event": "order_completed"}]}],
        }
    )

    assert [step["reached_count"] for step in funnel.json()["steps"]] == [1, 1]
