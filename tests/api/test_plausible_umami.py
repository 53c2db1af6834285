"""Plausible's and Umami's trackers against the running service: keys by site, visitors by request, replies."""

import json

import pytest

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.service import Service

SITE = "shop.example"
WEBSITE = "94db1cb1-74f4-4a40-ad6c-962362670409"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
SAFARI = {"User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15"}


@pytest.fixture
async def shop(service: Service) -> Service:
    """Its pages keep the names of their site."""
    for site in (SITE, WEBSITE):
        await create_key(service.engine, service.storefront_id, KeyKind.WRITE, chosen=site)
    return service


def page(**fields: object) -> bytes:
    return json.dumps({"n": "pageview", "v": 36, "u": f"https://{SITE}/", "d": SITE, "r": None} | fields).encode()


def item(kind: str = "event", **payload: object) -> dict[str, object]:
    return {"type": kind, "payload": {"website": WEBSITE, "hostname": SITE, "url": "/", **payload}}


async def visitors(shop: Service) -> list[tuple[str, int]]:
    """Each with the number of their events, the least first."""
    counted = "SELECT visitor_key, count(*) FROM event JOIN visitor USING (visitor_id) GROUP BY 1 ORDER BY 2"
    return [(str(key), int(count)) for key, count in await shop.rows(counted)]


# -- Plausible -------------------------------------------------------------------------------------------------------


async def test_plausible_is_answered_as_by_plausible(shop: Service) -> None:
    headers = {"Content-Type": "text/plain", "Origin": f"https://{SITE}"}

    reply = await shop.client.post("/api/event", content=page(), headers=headers)

    assert (reply.status_code, reply.text) == (202, "ok")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["access-control-allow-origin"] == f"https://{SITE}"
    assert await shop.event_count() == 1


async def test_plausible_s_visitors_are_told_apart_by_their_requests(shop: Service) -> None:
    for headers in (FIREFOX, SAFARI, FIREFOX):
        await shop.client.post("/api/event", content=page(), headers=headers)

    (one, once), (other, twice) = await visitors(shop)
    assert (once, twice) == (1, 2)
    assert one.startswith("day-")
    assert other.startswith("day-")


async def test_two_equal_hits_of_plausible_are_two(shop: Service) -> None:
    for _ in range(2):
        await shop.client.post("/api/event", content=page(), headers=FIREFOX)

    assert await shop.event_count() == 2


async def test_a_site_without_a_key_is_told_so(shop: Service) -> None:
    reply = await shop.client.post("/api/event", content=page(d="others.example"))

    assert_problem(reply, 401, "unauthenticated")


async def test_a_refused_event_is_no_error_to_the_tracker_and_keeps_its_visitor_in_quarantine(shop: Service) -> None:
    reply = await shop.client.post("/api/event", content=page(p="nonsense"), headers=FIREFOX)

    assert reply.status_code == 202
    [group] = (await shop.client.get("/v1/quarantine", headers=shop.reader)).json()["groups"]
    assert (group["format"], group["reason"], group["pointer"]) == ("plausible", "wrong_type", "/p")
    assert '"footfall_visitor_id":"day-' in group["example"]["raw"]


async def test_from_a_server_plausible_s_events_name_nobody(shop: Service) -> None:
    headers = {"Authorization": f"Bearer {shop.server_key}"}

    reply = await shop.client.post("/api/event", content=page(), headers=headers)

    assert reply.status_code == 202
    [group] = (await shop.client.get("/v1/quarantine", headers=shop.reader)).json()["groups"]
    assert group["reason"] == "no_person"


# -- Umami -----------------------------------------------------------------------------------------------------------


async def test_umami_is_answered_as_by_umami_and_its_cache_means_nothing(shop: Service) -> None:
    headers = {"Origin": f"https://{SITE}"}

    first = await shop.client.post("/api/send", json=item(), headers=headers)
    second = await shop.client.post("/api/send", json=item(), headers=headers | {"X-Umami-Cache": "whatever"})

    assert (first.status_code, second.status_code) == (200, 200)
    assert {name: first.json()[name] for name in ("cache", "sessionId", "visitId")} == dict.fromkeys(
        ("cache", "sessionId", "visitId"), "footfall"
    )
    assert first.headers["access-control-allow-origin"] == f"https://{SITE}"
    assert len(await visitors(shop)) == 1


async def test_umami_s_tracker_may_send_its_cache_as_a_header(shop: Service) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-umami-cache"}

    reply = await shop.client.options("/api/send", headers={"Origin": f"https://{SITE}", **asked})

    assert reply.status_code == 204
    assert reply.headers["access-control-allow-headers"] == "content-type,x-umami-cache"


async def test_a_visit_to_a_shop_with_umami_is_one_persons_before_and_after_login(shop: Service) -> None:
    visit = [
        item(),
        item(name="product_added", data={"product_id": "bag-1"}),
        item("identify", id="c-7"),
        item(name="order_completed", id="c-7", data={"order_id": "A-7", "revenue": 49.9, "currency": "EUR"}),
    ]
    for each in visit:
        await shop.client.post("/api/send", json=each, headers=FIREFOX)

    reply = await shop.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
            "steps": [{"any_of": [{"event": name}]} for name in ("page_viewed", "product_added", "order_completed")],
        }
    )

    assert reply.status_code == 200, reply.text
    assert [step["reached_count"] for step in reply.json()["steps"]] == [1, 1, 1]


async def test_a_batch_says_which_of_its_events_were_refused(shop: Service) -> None:
    reply = await shop.client.post("/api/batch", json=[item(), item(timestamp="noon")], headers=FIREFOX)

    answer = reply.json()
    assert reply.status_code == 200
    assert {name: answer[name] for name in ("size", "processed", "errors")} == {"size": 2, "processed": 1, "errors": 1}
    assert answer["details"] == [{"index": 1, "response": {"error": "bad_time"}}]
    assert await shop.event_count() == 1
