"""matomo.js and servers that had nothing but their host changed: keys, replies, and a shop visit in a funnel."""

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.service import Service

BROWSER, SERVER = 1, 2  # trust, as it is stored
SITE = "7"
HIT = {"idsite": SITE, "rec": "1", "_id": "0123456789abcdef", "url": "https://tea.example/", "r": "1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.fixture(autouse=True)
async def site(service: Service) -> None:
    """The shop's number at Matomo, made a write key."""
    await create_key(service.engine, service.storefront_id, KeyKind.WRITE, chosen=SITE)


async def bulk(service: Service, *requests: object, **envelope: str) -> httpx.Response:
    return await service.client.post("/matomo.php", json={"requests": requests, **envelope})


async def stored(service: Service) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await service.rows("SELECT event_name, trust FROM event ORDER BY event_name")]


@pytest.mark.parametrize("path", ["/matomo.php", "/piwik.php"])
async def test_a_beacon_has_all_in_the_query_and_an_empty_body(service: Service, path: str) -> None:
    reply = await service.client.post(path, params={**HIT, "send_image": "0"}, headers=FORM)

    assert (reply.status_code, reply.content) == (204, b"")
    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_a_pixel_is_answered_with_one(service: Service) -> None:
    reply = await service.client.get("/matomo.php", params={**HIT, "send_image": "1"})

    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/gif")
    assert reply.content.startswith(b"GIF89a")
    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_a_form_holds_a_hit_and_its_key(service: Service) -> None:
    reply = await service.client.post("/matomo.php", content=urlencode(HIT), headers=FORM)

    assert reply.status_code == 200
    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_a_bulk_says_which_of_its_requests_were_no_good(service: Service) -> None:
    good = f"?{urlencode(HIT)}"

    reply = await bulk(service, good, f"{good}&cdt=yesterday", f"{good}&ping=1")

    assert reply.json() == {"status": "success", "tracked": 2, "invalid": 1, "invalid_indices": [1]}
    assert await stored(service) == [("page_engaged", BROWSER), ("page_viewed", BROWSER)]


@pytest.mark.parametrize("token", ["", "0123456789abcdef0123456789abcdef"])
async def test_the_token_of_a_matomo_left_behind_opens_and_closes_nothing(service: Service, token: str) -> None:
    await bulk(service, f"?{urlencode(HIT)}", token_auth=token)

    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_a_server_key_may_be_the_token_of_a_bulk(service: Service) -> None:
    await bulk(service, f"?{urlencode({**HIT, 'cdt': '2026-03-01 12:00:00'})}", token_auth=service.server_key)

    assert await stored(service) == [("page_viewed", SERVER)]


@pytest.mark.parametrize(("path", "name"), [("/matomo.php", "idsite"), ("/g/collect", "tid")])
async def test_a_server_key_is_no_site_in_an_address(service: Service, path: str, name: str) -> None:
    reply = await service.client.get(path, params={**HIT, "en": "a", "cid": "1", name: service.server_key})

    assert "must not stand in an address" in str(assert_problem(reply, 403, "forbidden")["detail"])
    assert await stored(service) == []


async def test_a_server_key_in_the_address_does_not_make_a_hit_more_trusted(service: Service) -> None:
    await service.client.get("/matomo.php", params={**HIT, "token_auth": service.server_key})

    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_an_unknown_site_is_refused(service: Service) -> None:
    assert_problem(await service.client.get("/matomo.php", params={**HIT, "idsite": "8"}), 401, "unauthenticated")


async def test_a_bulk_of_two_sites_is_refused_whole_and_kept(service: Service) -> None:
    reply = await bulk(service, f"?{urlencode(HIT)}", f"?{urlencode({**HIT, 'idsite': '8'})}")

    assert_problem(reply, 400, "unreadable")
    assert await stored(service) == []
    assert len(await service.rows("SELECT 1 FROM quarantined_event")) == 1


async def test_a_hit_that_is_sent_again_is_stored_once(service: Service) -> None:
    for _ in range(3):
        await service.client.get("/matomo.php", params=HIT)

    assert await stored(service) == [("page_viewed", BROWSER)]


async def test_a_browser_that_keeps_no_id_is_one_visitor_for_the_day(service: Service) -> None:
    nobody = {name: value for name, value in HIT.items() if name != "_id"}
    for number in ("1", "2"):
        await service.client.get("/matomo.php", params={**nobody, "r": number})

    [(visitors, events)] = await service.rows("SELECT count(DISTINCT visitor_id), count(*) FROM event")
    assert (visitors, events) == (1, 2)


async def test_a_visit_is_a_journey_to_its_order(service: Service) -> None:
    items = '[["A-1","Sencha","Green",4.2,2]]'
    hits = (
        {"_pks": "A-1", "r": "1"},
        {"idgoal": "0", "revenue": "8.4", "ec_items": items, "r": "2"},
        {"e_c": "Checkout", "e_a": "Started", "r": "3"},
        {"idgoal": "0", "ec_id": "8012", "revenue": "13.3", "ec_items": items, "uid": "customer-31", "r": "4"},
    )
    for hit in hits:
        await service.client.post("/matomo.php", params={**HIT, "send_image": "0", **hit})

    names = ("product_viewed", "cart_updated", "checkout_started", "order_completed")
    reply = await service.funnel(
        {
            "range": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-04T00:00:00Z"},
            "steps": [{"any_of": [{"event": name}]} for name in names],
        }
    )

    assert reply.status_code == 200, reply.text
    assert [step["reached_count"] for step in reply.json()["steps"]] == [1, 1, 1, 1]
