"""Orders that shop systems send themselves: signed, stored once, and nothing taken from anybody else."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.storage import key_cache
from app.storage.webhooks import create_webhook, remove_webhook
from tests.api.problem import assert_problem
from tests.golden_cases import GOLDEN
from tests.service import Service
from tests.signed_webhooks import SECRET, shopify_headers, woocommerce_headers

SIGNED = 3  # trust, as it is stored
SHOPIFY, WOOCOMMERCE = "/v1/webhooks/shopify", "/v1/webhooks/woocommerce"


def golden(name: str) -> bytes:
    return Path(GOLDEN / f"{name}.request.json").read_bytes()


@pytest.fixture
async def shopify_id(service: Service) -> int:
    return await create_webhook(service.engine, service.storefront_id, "shopify", SECRET)


@pytest.fixture
async def woocommerce_id(service: Service) -> int:
    return await create_webhook(service.engine, service.storefront_id, "woocommerce", SECRET)


async def post(service: Service, path: str, webhook_id: object, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return await service.client.post(path, params={"id": str(webhook_id)}, content=body, headers=headers)


async def send_order(service: Service, webhook_id: object, *, secret: str = SECRET) -> httpx.Response:
    body = golden("shopify/order_created")
    return await post(service, SHOPIFY, webhook_id, body, shopify_headers("orders/create", body, secret))


async def stored(service: Service) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await service.rows("SELECT event_name, trust FROM event ORDER BY event_name")]


# -- what is taken ---------------------------------------------------------------------------------------------------


async def test_a_signed_order_is_stored_and_trusted(service: Service, shopify_id: int) -> None:
    reply = await send_order(service, shopify_id)

    assert (reply.status_code, reply.json()) == (200, {"received": 2, "rejected": 0})
    assert await stored(service) == [("customer_identified", SIGNED), ("order_completed", SIGNED)]


async def test_a_delivery_that_is_repeated_stores_nothing_twice(service: Service, shopify_id: int) -> None:
    replies = [await send_order(service, shopify_id) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert len(await stored(service)) == 2


async def test_an_order_of_woocommerce_is_stored(service: Service, woocommerce_id: int) -> None:
    body = golden("woocommerce/order_updated_with_refunds")

    reply = await post(service, WOOCOMMERCE, woocommerce_id, body, woocommerce_headers("order.updated", body))

    assert reply.status_code == 200
    names = [name for name, _ in await stored(service)]
    assert names == ["order_completed", "order_refunded", "order_refunded", "order_updated"]


async def test_a_large_order_is_decoded_like_a_small_one(service: Service, shopify_id: int) -> None:
    order = json.loads(golden("shopify/order_created"))
    body = json.dumps(order | {"line_items": order["line_items"] * 200}).encode()
    assert len(body) > 64 * 1024

    reply = await post(service, SHOPIFY, shopify_id, body, shopify_headers("orders/create", body))

    assert reply.json() == {"received": 2, "rejected": 0}


async def test_the_browsers_order_and_the_webhooks_are_of_one_person(service: Service, shopify_id: int) -> None:
    visitor = "0199aa00-5b1c-7000-8000-0000000000a7"  # as the golden order's note says
    viewed = {"event": "product_viewed", "visitor_id": visitor, "client_time": "2026-03-02T11:30:00Z"}
    await service.send(viewed)
    await send_order(service, shopify_id)
    body = golden("shopify/refund")
    await post(service, SHOPIFY, shopify_id, body, shopify_headers("refunds/create", body))

    funnel = {
        "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
        "steps": [{"any_of": [{"event": f}]} for f in ("product_viewed", "order_completed", "order_refunded")],
    }

    answer = (await service.funnel(funnel)).json()
    assert [step["reached_count"] for step in answer["steps"]] == [1, 1, 1], answer


async def test_an_order_counts_once_with_the_shop_systems_figure_whoever_else_reports_it(
    service: Service, shopify_id: int
) -> None:
    """The page reports it twice and without shipping; the shop system says what was paid, and what was paid back."""
    browser = {
        "event": "order_completed",
        "visitor_id": "browser-7",
        "client_time": "2026-03-02T11:41:00Z",
        "properties": {"order_id": "5812004417", "value": 70.5, "currency": "EUR"},
    }
    await service.send([browser, browser])
    await send_order(service, shopify_id)
    for name, topic in (("order_paid_by_a_guest", "orders/paid"), ("refund", "refunds/create")):
        body = golden(f"shopify/{name}")
        await post(service, SHOPIFY, shopify_id, body, shopify_headers(topic, body))

    day = {"from": "2026-03-02", "to": "2026-03-03"}
    answer = (await service.client.get("/v1/reports/revenue", params=day, headers=service.reader)).json()

    [euros] = answer["currencies"]
    figures = {name: euros[name] for name in ("order_count", "gross", "refunds", "revenue")}
    assert figures == {"order_count": 1, "gross": 75.4, "refunds": 15.3, "revenue": 60.1}


async def test_what_is_no_order_is_answered_200_and_only_its_topic_is_kept(service: Service, shopify_id: int) -> None:
    body = golden("shopify/unknown_topic")

    reply = await post(service, SHOPIFY, shopify_id, body, shopify_headers("customers/update", body))

    assert reply.json() == {"received": 1, "rejected": 1}
    [(reason, raw)] = await service.rows("SELECT reason, raw FROM quarantined_event")
    assert reason == "wrong_type"
    assert b"customers/update" in raw
    assert b"mira" not in raw


async def test_woocommerces_ping_is_answered_and_stores_nothing(service: Service, woocommerce_id: int) -> None:
    """It is not signed, and WooCommerce takes nothing but 200 for an answer."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    reply = await post(service, WOOCOMMERCE, woocommerce_id, b"webhook_id=12", headers)

    assert (reply.status_code, reply.content) == (200, b"")
    assert await service.rows("SELECT 1 FROM ledger") == []


# -- what is not -----------------------------------------------------------------------------------------------------


async def test_a_body_that_was_changed_is_refused(service: Service, shopify_id: int) -> None:
    body = golden("shopify/order_created")
    headers = shopify_headers("orders/create", body)

    reply = await post(service, SHOPIFY, shopify_id, body.replace(b"75.40", b"7540.0"), headers)

    assert "does not fit" in str(assert_problem(reply, 401, "unauthenticated")["detail"])
    assert await service.event_count() == 0


async def test_another_secret_is_refused(service: Service, shopify_id: int) -> None:
    reply = await send_order(service, shopify_id, secret="another secret of the shop")

    assert_problem(reply, 401, "unauthenticated")


@pytest.mark.parametrize("signature", ["", "c2hvcnQ=", "no base64!", "ä"])
async def test_what_is_no_signature_is_refused(service: Service, shopify_id: int, signature: str) -> None:
    body = golden("shopify/order_created")
    headers = httpx.Headers(shopify_headers("orders/create", body))
    headers["X-Shopify-Hmac-Sha256"] = signature

    reply = await service.client.post(SHOPIFY, params={"id": str(shopify_id)}, content=body, headers=headers)

    assert_problem(reply, 401, "unauthenticated")


@pytest.mark.parametrize("webhook_id", ["", "999999", "-1", "1 OR 1=1", "9" * 40])
async def test_a_webhook_that_there_is_not_is_refused(service: Service, webhook_id: str) -> None:
    assert_problem(await send_order(service, webhook_id), 401, "unauthenticated")


async def test_a_webhook_of_one_shop_system_takes_nothing_from_another(service: Service, woocommerce_id: int) -> None:
    assert_problem(await send_order(service, woocommerce_id), 401, "unauthenticated")


async def test_a_key_is_no_signature(service: Service, shopify_id: int) -> None:
    headers = {"Authorization": f"Bearer {service.server_key}", "X-Shopify-Topic": "orders/create"}

    reply = await post(service, SHOPIFY, shopify_id, golden("shopify/order_created"), headers)

    assert_problem(reply, 401, "unauthenticated")


async def test_only_a_ping_needs_no_signature(service: Service, woocommerce_id: int) -> None:
    for body in (golden("woocommerce/order_created"), b"webhook_id=12&more=1", b""):
        assert_problem(await post(service, WOOCOMMERCE, woocommerce_id, body, {}), 401, "unauthenticated")


async def test_a_webhook_that_was_removed_is_refused_within_seconds(
    service: Service, shopify_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(key_cache, "MISS_REFRESH_SECONDS", 0.0)
    assert (await send_order(service, shopify_id)).status_code == 200

    await remove_webhook(service.engine, shopify_id)

    async with asyncio.timeout(10):
        while (await send_order(service, shopify_id)).status_code != 401:
            pass


async def test_a_webhook_made_just_now_works_at_once(service: Service, shopify_id: int) -> None:
    await send_order(service, shopify_id)
    second = await create_webhook(service.engine, service.storefront_id, "shopify", SECRET * 2)

    assert (await send_order(service, second, secret=SECRET * 2)).status_code == 200


async def test_no_reply_no_log_and_no_copy_on_disk_tells_a_secret(
    service: Service, shopify_id: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    replies = [await send_order(service, shopify_id), await send_order(service, shopify_id, secret="guess" * 5)]

    assert [reply.status_code for reply in replies] == [200, 401]
    for reply in replies:
        assert SECRET not in reply.text + str(reply.headers)
    assert not [record for record in caplog.records if SECRET in str(vars(record))]
    files = [path for path in (tmp_path / "data").iterdir() if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
