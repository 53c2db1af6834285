"""PostHog's clients against the running service: how they start, send, are answered and send again."""

import gzip
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.ingest.reception import KEYLESS_BYTES
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.service import Service

KEY = "phc_hats"
ORIGIN = "https://shop.example"
DEVICE = "019caa10-1111-7000-8000-0000000000aa"
IDS = [f"019caa10-0000-7000-8000-{number:012}" for number in range(1, 5)]
SERVER = 2  # trust, as it is stored


@pytest.fixture
async def shop(service: Service) -> Service:
    """Its pages keep the key that they had at PostHog."""
    await create_key(service.engine, service.storefront_id, KeyKind.WRITE, chosen=KEY)
    return service


def event(event_id: str, name: str, distinct_id: str, **properties: object) -> dict[str, Any]:
    return {
        "uuid": event_id,
        "event": name,
        "timestamp": "2026-03-02T11:59:00.000Z",
        "properties": {"distinct_id": distinct_id, "$device_id": DEVICE, "token": KEY, **properties},
    }


def visit() -> dict[str, Any]:
    """Somebody looks at a bag, logs in and buys it."""
    page, bag, login, order = IDS
    return {
        "api_key": KEY,
        "sent_at": "2026-03-02T12:00:00.000Z",
        "batch": [
            event(page, "$pageview", DEVICE, **{"$current_url": "https://shop.example/bag"}),
            event(bag, "Product Added", DEVICE, product_id="bag-1"),
            event(login, "$identify", "c-7", **{"$anon_distinct_id": DEVICE}),
            event(order, "Order Completed", "c-7", order_id="A-7", total=49.9, currency="EUR"),
        ],
    }


async def send_as_browser(shop: Service, body: bytes, content_type: str = "text/plain", **query: str) -> httpx.Response:
    headers = {"Content-Type": content_type, "Origin": ORIGIN}
    return await shop.client.post("/e/", content=body, headers=headers, params=query)


# -- browsers --------------------------------------------------------------------------------------------------------


async def test_a_browser_sends_gzip_without_saying_so_and_may_read_the_reply(shop: Service) -> None:
    reply = await send_as_browser(shop, gzip.compress(json.dumps(visit()).encode()))

    assert reply.status_code == 200
    assert reply.json() == {"status": "Ok", "results": {event_id: {"result": "ok"} for event_id in IDS}}
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert await shop.event_count() == 4


async def test_what_a_browser_sends_twice_or_as_a_beacon_too_is_stored_once(shop: Service) -> None:
    body = json.dumps(visit()).encode()

    first = await send_as_browser(shop, body)
    again = await send_as_browser(shop, body, retry_count="1")
    beacon = b"data=" + quote(b64encode(body)).encode()
    last = await send_as_browser(shop, beacon, "application/x-www-form-urlencoded", compression="base64")

    assert first.json() == again.json() == last.json()
    assert await shop.event_count() == 4


async def test_a_visit_with_a_login_in_it_is_one_persons(shop: Service) -> None:
    await send_as_browser(shop, json.dumps(visit()).encode())

    reply = await shop.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
            "steps": [{"any_of": [{"event": name}]} for name in ("page_viewed", "product_added", "order_completed")],
        }
    )

    assert reply.status_code == 200, reply.text
    assert [step["reached_count"] for step in reply.json()["steps"]] == [1, 1, 1]


# -- servers ---------------------------------------------------------------------------------------------------------


async def test_a_server_sends_its_key_in_the_body(service: Service) -> None:
    reply = await service.client.post("/batch/", json=visit() | {"api_key": service.server_key})

    assert reply.status_code == 200
    assert {trust for (trust,) in await service.rows("SELECT trust FROM event")} == {SERVER}


async def test_capture_v1_is_told_what_became_of_each_event(service: Service) -> None:
    good, bad, *_ = visit()["batch"]
    body = {"created_at": "2026-03-02T12:00:00Z", "batch": [good, bad | {"timestamp": "soon"}]}
    headers = {"Authorization": f"Bearer {service.server_key}"}

    reply = await service.client.post("/i/v1/analytics/events", json=body, headers=headers)

    assert reply.status_code == 200
    assert reply.json()["results"] == {
        IDS[0]: {"result": "ok"},
        IDS[1]: {"result": "drop", "details": "bad_time"},
    }
    assert await service.event_count() == 1
    quarantine = (await service.client.get("/v1/quarantine", headers=service.reader)).json()
    assert [(group["format"], group["pointer"]) for group in quarantine["groups"]] == [("posthog", "/timestamp")]


@pytest.mark.parametrize("path", ["/e", "/batch", "/capture/", "/capture", "/i/v0/e/", "/i/v0/e"])
async def test_every_address_takes_events(shop: Service, path: str) -> None:
    reply = await shop.client.post(path, json=visit())

    assert reply.status_code == 200
    assert await shop.event_count() == 4


# -- what is no event ------------------------------------------------------------------------------------------------


async def test_an_unknown_key_and_a_body_of_nothing_are_refused(shop: Service) -> None:
    assert_problem(await shop.client.post("/e/", json=visit() | {"api_key": "phc_others"}), 401, "unauthenticated")
    assert_problem(await shop.client.post("/e/", content=b"nonsense"), 401, "unauthenticated")
    nonsense = await shop.client.post("/e/", content=b"7", headers={"Authorization": f"Bearer {KEY}"})
    assert_problem(nonsense, 400, "unreadable")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/flags/?v=2", "/flags/?v=2&config=true", "/flags", "/decide/?v=3", "/decide"])
async def test_there_are_no_feature_flags(shop: Service, method: str, path: str) -> None:
    reply = await shop.client.request(method, path, headers={"Origin": ORIGIN})

    answer = reply.json()
    assert reply.status_code == 200
    assert (answer["flags"], answer["featureFlags"], answer["errorsWhileComputingFlags"]) == ({}, {}, False)
    assert reply.headers["access-control-allow-origin"] == ORIGIN


async def test_the_config_turns_off_what_is_not_there(shop: Service) -> None:
    reply = await shop.client.get(f"/array/{KEY}/config", headers={"Origin": ORIGIN})

    config = reply.json()
    assert reply.status_code == 200
    assert {config[name] for name in ("sessionRecording", "heatmaps", "hasFeatureFlags")} == {False}
    assert "surveys" not in config  # even "false" has the browser load a script for them
    assert "gzip-js" in config["supportedCompression"]


async def test_the_config_is_there_as_a_script_too(shop: Service) -> None:
    reply = await shop.client.get(f"/array/{KEY}/config.js")

    assert reply.headers["content-type"] == "application/javascript; charset=utf-8"
    assert reply.text.startswith("window._POSTHOG_REMOTE_CONFIG=")
    assert f'"{KEY}":{{"config":{{"token":"{KEY}"' in reply.text


async def test_a_large_body_is_not_looked_through_for_its_key(service: Service) -> None:
    body = {"api_key": service.write_key, "batch": [], "padding": "x" * KEYLESS_BYTES}

    refused = await service.client.post("/batch/", json=body)
    taken = await service.client.post("/batch/", json=body, params={"key": service.write_key})

    assert "needs its key in Authorization or in ?key=" in str(assert_problem(refused, 413, "too-large")["detail"])
    assert taken.status_code == 200
