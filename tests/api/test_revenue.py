"""The revenue report through HTTP: browser and server tell of the same orders; who may ask; faulty input."""

import csv
import io
import re
from typing import Any

import httpx
import pytest

from tests.api.problem import assert_problem
from tests.service import Service

URL = "/v1/reports/revenue"
FEBRUARY = {"from": "2026-02-01", "to": "2026-03-01"}


def told(event: str, day: int, visitor: str = "ana", **properties: object) -> dict[str, Any]:
    at = f"2026-02-{day:02}T12:00:00Z"
    return {"visitor_id": visitor, "event": f"order_{event}", "client_time": at, "properties": properties}


@pytest.fixture
async def shop(service: Service) -> Service:
    """A1 by browser, reload and server; A2 refunded in part; A3 cancelled; one order without an id; yen."""
    browser = [
        told("completed", 1, order_id="A1", value=99.0, coupon="=1+1"),
        told("completed", 1, order_id="A1", value=99.0, coupon="=1+1"),
        told("completed", 2, "ben", order_id="A2", value=50, currency="EUR"),
        told("completed", 3, "ben", order_id="A3", value=70, currency="EUR"),
        told("completed", 4, "cleo", value=10.1),
        told("completed", 4, "cleo", order_id="A5", value=1500, currency="JPY"),
    ]
    server = [
        told("completed", 1, order_id="A1", value="100.20", currency="EUR"),
        told("refunded", 5, "ben", order_id="A2", value=20, refund_id="R1"),
        told("refunded", 6, "ben", order_id="A2", value=20, refund_id="R1"),
        told("cancelled", 6, "ben", order_id="A3"),
    ]
    assert (await service.send(browser)).json()["stored"] == len(browser)
    assert (await service.send(server, key=service.server_key)).json()["stored"] == len(server)
    return service


async def ask(shop: Service, **query: str) -> httpx.Response:
    return await shop.client.get(URL, params={**FEBRUARY, **query}, headers=shop.reader)


async def test_every_number_written_out(shop: Service) -> None:
    answer = (await ask(shop)).json()
    assert answer["events_read"] == 10
    assert answer["left_out_currencies"] == []
    euros, yen = answer["currencies"]
    assert euros == {
        "currency": "EUR",
        "order_count": 3,
        "gross": 160.3,
        "refunds": 20.0,
        "revenue": 140.3,
        "average_order_value": pytest.approx(46.7666667),
        "customer_count": 3,
        "orders_per_customer": 1.0,
        "refund_count": 1,
        "cancelled_count": 1,
        "remarks": {
            "repeated_count": 2,
            "without_order_id_count": 1,
            "without_value_count": 0,
            "refunds_without_value_count": 0,
            "refunds_in_other_currency_count": 0,
            "refunds_of_unknown_orders_count": 0,
        },
        "periods": None,
        "groups": None,
    }
    assert (yen["currency"], yen["order_count"], yen["gross"]) == ("JPY", 1, 1500.0)


async def test_by_day_and_value_and_as_a_file_without_formulas(shop: Service) -> None:
    query = {"to": "2026-02-03", "period": "day", "property": "coupon"}
    euros = (await ask(shop, **query)).json()["currencies"][0]
    assert [(each["period_start"], each["gross"]) for each in euros["periods"]] == [
        ("2026-02-01T00:00:00Z", 100.2),
        ("2026-02-02T00:00:00Z", 50.0),
    ]
    assert [(each["value"], each["gross"]) for each in euros["groups"]] == [("=1+1", 100.2), ("(not set)", 50.0)]
    headers = {**shop.reader, "Accept": "text/csv"}
    reply = await shop.client.get(URL, params={**FEBRUARY, **query}, headers=headers)
    assert reply.headers["Content-Disposition"] == 'attachment; filename="revenue.csv"'
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(row["group"], row["period_start"], row["gross"]) for row in rows][3:5] == [
        ("'=1+1", "", "100.2"),
        ("'=1+1", "2026-02-01T00:00:00Z", "100.2"),
    ]


async def test_an_orders_channel_is_what_brought_its_buyer(service: Service) -> None:
    """An ad, then the page that says "thank you", to which the payment service led; the shop system tells of it too."""
    thanks = "https://shop.example/thanks"
    paid = told("completed", 1, order_id="A1", value=20) | {"url": thanks, "referrer": "https://pay.example/"}
    landed = {"event": "page_viewed", "visitor_id": "ana", "client_time": "2026-02-01T11:50:00Z"}
    await service.send([landed | {"url": "https://shop.example/?gclid=1", "customer_id": "c-1"}, paid])
    by_server = told("completed", 1, order_id="A2", value=30) | {"customer_id": "c-1", "visitor_id": None}
    await service.send(by_server, key=service.server_key)

    [euros] = (await ask(service, dimension="channel")).json()["currencies"]

    assert [(group["value"], group["revenue"]) for group in euros["groups"]] == [("paid_search", 50)]


async def test_conditions_come_in_a_body(shop: Service) -> None:
    trusted = {"dimension": "trust", "op": "in", "value": ["server", "signed"]}
    reply = await shop.client.post(URL, json={**FEBRUARY, "filters": [trusted]}, headers=shop.reader)
    [euros] = reply.json()["currencies"]
    assert (euros["order_count"], euros["gross"], euros["refunds"]) == (1, 100.2, 0.0)


async def test_polling_gets_304_until_another_order_comes(shop: Service) -> None:
    tag = (await ask(shop)).headers["ETag"]
    again = {**shop.reader, "If-None-Match": tag}
    assert (await shop.client.get(URL, params=FEBRUARY, headers=again)).status_code == 304
    await shop.send([told("completed", 9, order_id="A9", value=1)])
    assert (await shop.client.get(URL, params=FEBRUARY, headers=again)).status_code == 200


async def test_only_readers_may_ask(shop: Service) -> None:
    headers = {"Authorization": f"Bearer {shop.write_key}"}
    assert_problem(await shop.client.get(URL, params=FEBRUARY, headers=headers), 403, "forbidden")
    assert_problem(await shop.client.get(URL, params=FEBRUARY), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"to": "2026-02-01"}, "/to"),
        ({"to": "soon"}, "/to"),
        ({"period": "hour", "to": "2027-02-01"}, "/period"),
        ({"period": "minute"}, "/period"),
        ({"limit": "0"}, "/limit"),
        ({"as_of": "2026-02-01"}, "/as_of"),
        ({"dimension": "shoe_size"}, "/dimension"),
        ({"dimension": "url", "property": "coupon"}, "/dimension"),
        ({"currency": "EUR"}, "/currency"),
    ],
)
async def test_faulty_questions_say_what_to_change(service: Service, query: dict[str, str], pointer: str) -> None:
    by_get = assert_problem(await ask(service, **query), 422, "invalid")
    assert _pointers(by_get) == {"/query" + pointer}
    body = {**FEBRUARY, **query}
    by_post = assert_problem(await service.client.post(URL, json=body, headers=service.reader), 422, "invalid")
    assert _pointers(by_post) == {pointer}


def _pointers(problem: dict[str, Any]) -> set[str]:
    """Without the branches of a union, which the checks of a time name, too."""
    return {re.sub("/(date|constrained-|datetime).*", "", fault["pointer"]) for fault in problem["errors"]}
