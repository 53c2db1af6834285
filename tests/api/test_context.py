"""Device, country and campaign of an event, from the request to the report; and what no report shows any more."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.config import Settings
from app.storage.database import DatabaseUrl
from tests.api.test_ops import metrics
from tests.events import sent
from tests.fakes import FixedClock
from tests.service import Service, running_service

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36"

IN_MARCH = {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}
VISITED = [{"any_of": [{"event": "page_viewed"}]}]


@pytest.fixture
async def proxied(settings: Settings, database: DatabaseUrl, clock: FixedClock) -> AsyncIterator[Service]:
    """Behind a proxy that says the country."""
    changed = Settings.model_validate(
        {**settings.model_dump(), "country_header": "X-Country", "trusted_proxies": "127.0.0.0/8"}
    )
    async with running_service(changed, database, clock=clock) as service:
        yield service


async def groups(service: Service, dimension: str, of: str = "entry") -> dict[str, int]:
    """How many people entered, by what the dimension is of their first page."""
    breakdown = {"dimension": dimension, "of": of, "limit": 20}
    reply = await service.funnel({"range": IN_MARCH, "steps": VISITED, "breakdown": breakdown})
    assert reply.status_code == 200, reply.text
    return {group["value"]: group["steps"][0]["reached_count"] for group in reply.json()["groups"]}


async def reached(service: Service, **condition: Any) -> int:
    reply = await service.funnel({"range": IN_MARCH, "steps": VISITED, "filters": [condition]})
    count: int = reply.json()["steps"][0]["reached_count"]
    return count


async def test_reports_know_the_devices_of_browsers(proxied: Service) -> None:
    for visitor, user_agent, country in (("ana", WINDOWS, "AT"), ("ben", ANDROID, "DE"), ("cat", ANDROID, "XX")):
        headers = {"User-Agent": user_agent, "Accept-Language": "de-AT,en;q=0.5", "X-Country": country}
        assert (await proxied.send(sent(visitor_id=visitor), headers=headers)).status_code == 200

    assert await groups(proxied, "device_type") == {"mobile": 2, "desktop": 1}
    assert await groups(proxied, "browser") == {"Chrome": 3}
    assert await groups(proxied, "os", "first_touch") == {"Android": 2, "Windows": 1}
    assert await groups(proxied, "language") == {"de": 3}
    assert await groups(proxied, "country") == {"AT": 1, "DE": 1, "(not set)": 1}
    assert await reached(proxied, dimension="device_type", op="=", value="mobile") == 2
    assert await reached(proxied, dimension="country", op="in", value=["AT", "DE"]) == 2


async def test_a_server_says_itself_whose_device_it_was(service: Service) -> None:
    device = {"user_agent": ANDROID, "language": "fr-CH", "country": "ch"}
    headers = {"User-Agent": "shop/1.0", "Accept-Language": "en"}
    await service.send(sent(visitor_id="ana", context=device), key=service.server_key, headers=headers)
    await service.send(sent(visitor_id="ben"), key=service.server_key, headers=headers)

    assert await groups(service, "device_type") == {"mobile": 1, "(not set)": 1}
    assert await groups(service, "language") == {"fr": 1, "(not set)": 1}
    assert await groups(service, "country") == {"CH": 1, "(not set)": 1}


@pytest.mark.parametrize(
    ("context", "pointer"),
    [
        ({"country": "Austria"}, "/context/country"),
        ({"channel": "email"}, "/context/channel"),
        ({"device": "phone"}, "/context"),
        ({"user_agent": "x" * 1_001}, "/context/user_agent"),
        ("phone", "/context"),
    ],
)
async def test_a_context_that_can_not_be_is_refused(service: Service, context: object, pointer: str) -> None:
    reply = await service.send(sent(context=context))

    assert reply.status_code == 422
    assert reply.json()["rejected"][0]["pointer"] == pointer


async def test_reports_know_what_brought_people(service: Service) -> None:
    page = "https://shop.example/"
    landings = {
        "ana": {"url": page + "?utm_source=news&utm_medium=email&utm_campaign=May&utm_term=hat&utm_content=top"},
        "ben": {"url": page + "?gclid=1", "referrer": "https://www.google.com/"},
        "cat": {"url": page, "referrer": "https://www.google.com/"},
        "dan": {"url": page, "referrer": page + "hats"},
        "eve": {"url": page},
    }
    for visitor, landing in landings.items():
        await service.send(sent(visitor_id=visitor, **landing))
    await service.send(sent(visitor_id="fay", context={"channel": "offline"}), key=service.server_key)
    await service.send(sent(visitor_id="gil"), key=service.server_key)

    assert await groups(service, "channel") == {
        "direct": 2,
        "email": 1,
        "paid_search": 1,
        "organic_search": 1,
        "offline": 1,
        "(not set)": 1,
    }
    assert await groups(service, "utm_source") == {"news": 1, "(not set)": 6}
    assert await groups(service, "utm_medium") == {"email": 1, "(not set)": 6}
    assert await groups(service, "utm_campaign", "first_touch") == {"May": 1, "(not set)": 6}
    assert await groups(service, "utm_term") == {"hat": 1, "(not set)": 6}
    assert await groups(service, "utm_content") == {"top": 1, "(not set)": 6}
    assert await groups(service, "click_id") == {"gclid": 1, "(not set)": 6}
    assert await reached(service, dimension="channel", op="=", value="direct") == 2


async def test_addresses_and_texts_are_stored_without_what_names_somebody(service: Service) -> None:
    event = sent(
        url="https://shop.example/reset?token=s3cret&mail=ana@shop.example&utm_source=news#top",
        referrer="https://ana:s3cret@mail.example/?q=hats",
        properties={"note": "ana@shop.example", "card": "4111 1111 1111 1111"},
    )
    await service.send([event, sent(properties={"mail": "ana@shop.example"})])

    [(url, referrer, properties)] = await service.rows(
        "SELECT url, referrer, properties FROM event WHERE url IS NOT NULL"
    )
    assert (url, referrer) == ("https://shop.example/reset?utm_source=news", "https://mail.example/")
    assert properties == {"note": "[email]", "card": "[card]"}
    found = await metrics(service)
    assert found['footfall_redacted_total{kind="email"}'] == 2
    assert found['footfall_redacted_total{kind="card"}'] == 1


async def test_what_is_refused_is_kept_as_it_came(service: Service) -> None:
    await service.send(sent(client_time="1960-01-01T00:00:00Z", properties={"mail": "ana@shop.example"}))

    [(raw,)] = await service.rows("SELECT encode(raw, 'escape') FROM quarantined_event")
    assert "ana@shop.example" in raw


async def test_redaction_can_be_turned_off(settings: Settings, database: DatabaseUrl, clock: FixedClock) -> None:
    async with running_service(settings.model_copy(update={"redact": False}), database, clock=clock) as service:
        await service.send(sent(properties={"mail": "ana@shop.example"}))

        assert await service.rows("SELECT properties->>'mail' FROM event") == [("ana@shop.example",)]
