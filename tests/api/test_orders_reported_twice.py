"""One order, reported by the page and by the shop system: bought once, and nobody comes back by it."""

from typing import Any

import pytest

from app.storage.webhooks import create_webhook
from tests.events import sent
from tests.golden_cases import GOLDEN
from tests.service import Service
from tests.signed_webhooks import SECRET, shopify_headers

VISITOR, ORDER_ID = "0199aa00-5b1c-7000-8000-0000000000a7", "5812004417"  # of the golden order, 2026-03-02 at 11:41:07
DAYS = {"from": "2026-03-01", "to": "2026-03-09"}
RANGE = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-09T00:00:00Z"}


def at(time: str, event: str, **properties: object) -> dict[str, object]:
    return sent(event, visitor_id=VISITOR, client_time=f"2026-03-{time}Z", properties=properties)


@pytest.fixture
async def shop(service: Service) -> Service:
    """Mira looks around, decides, and buys; the page reports her order, then the shop system does."""
    looks = [at(f"02T11:3{n}:00", name) for n, name in enumerate(("page_viewed", "product_viewed", "product_added"))]
    await service.send([*looks, at("02T11:41:05", "order_completed", order_id=int(ORDER_ID), value=70.5)])
    webhook_id = await create_webhook(service.engine, service.storefront_id, "shopify", SECRET)
    body = (GOLDEN / "shopify/order_created.request.json").read_bytes()
    reply = await service.client.post(
        f"/v1/webhooks/shopify?id={webhook_id}", content=body, headers=shopify_headers("orders/create", body)
    )
    assert reply.json() == {"received": 2, "rejected": 0}
    return service


async def stages(shop: Service) -> dict[str, int]:
    reply = await shop.client.get("/v1/reports/stages", params=DAYS, headers=shop.reader)
    return {step["label"]: step["reached_count"] for step in reply.json()["steps"]}


async def came_back(shop: Service) -> list[dict[str, Any]]:
    """The people who bought and came back to buy, as many as the total says."""
    steps = [{"any_of": [{"stage": stage}]} for stage in ("purchase", "retention")]
    body: dict[str, Any] = {"range": RANGE, "steps": steps}
    query = {"step": "2", "outcome": "reached"}
    reply = await shop.client.post("/v1/reports/funnel/people", params=query, json=body, headers=shop.reader)
    answer = reply.json()
    total = (await shop.funnel(body)).json()["steps"][1]["reached_count"]
    assert total == answer["total_count"] == len(answer["people"])
    return list(answer["people"])


async def meanings(shop: Service) -> list[list[str]]:
    """Of the person's orders, in the order of time."""
    journey = (await shop.client.get("/v1/persons/7720091/journey", headers=shop.reader)).json()
    return [event["stages"] for event in journey["events"] if event["event"] == "order_completed"]


async def test_who_bought_once_is_not_retained(shop: Service) -> None:
    assert await stages(shop) == {
        "awareness": 1, "consideration": 1, "decision": 1, "purchase": 1, "retention": 0, "advocacy": 0,
    }  # fmt: skip
    assert await came_back(shop) == []
    assert await meanings(shop) == [["purchase"], ["purchase"]]


async def test_who_buys_again_is(shop: Service) -> None:
    await shop.send([at("03T09:00:00", "order_completed", order_id="5812009999")])

    assert (await stages(shop))["retention"] == 1
    [mira] = await came_back(shop)
    assert mira["steps"][1]["properties"]["order_id"] == "5812009999"
    assert await meanings(shop) == [["purchase"], ["purchase"], ["purchase", "retention"]]


async def test_so_is_who_renews_a_subscription(shop: Service) -> None:
    await shop.send([at("03T09:00:00", "subscription_renewed", order_id=ORDER_ID)])

    assert (await stages(shop))["retention"] == 1


async def test_a_report_that_comes_late_counts_at_its_time(shop: Service) -> None:
    """An earlier order turns up: that was the first, so the one known until now is another, once."""
    await shop.send([at("02T10:00:00", "page_viewed"), at("02T10:00:01", "order_completed", order_id="5812001111")])

    assert len(await came_back(shop)) == 1
    assert await meanings(shop) == [["purchase"], ["purchase", "retention"], ["purchase"]]
