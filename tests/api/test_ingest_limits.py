"""Rate limits through HTTP: refused before the body is looked at, counted, and told when to come back."""

import json

from app.config import Settings
from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.events import NOW, many, sent
from tests.fakes import FixedClock
from tests.service import Service, running_service
from tests.signed import signature_headers


async def refused_count(service: Service, limit: str) -> float:
    lines = (await service.client.get("/metrics")).text.splitlines()
    name = f'footfall_ingest_limited_requests_total{{limit="{limit}"}} '
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def test_a_key_that_is_too_fast_is_429_and_others_are_not(settings: Settings, database: DatabaseUrl) -> None:
    limited = settings.model_copy(update={"key_events_per_second": 10.0})
    async with running_service(limited, database) as service:
        taken = await service.send(many(200))
        refused = await service.send_bytes(b"not even JSON")
        others = await service.send(sent(), key=service.server_key)
        count = await refused_count(service, "key")

    assert taken.status_code == 200  # what a request costs is known when it is in
    assert_problem(refused, 429, "too-many")
    assert int(refused.headers["Retry-After"]) >= 14  # 200 events take 20 s, of which a burst of 5 s is free
    assert others.status_code == 200
    assert count == 1


async def test_a_network_that_is_too_fast_is_429_with_write_keys_only(
    settings: Settings, database: DatabaseUrl
) -> None:
    limited = settings.model_copy(update={"address_requests_per_second": 1.0})
    async with running_service(limited, database) as service:
        replies = [await service.send(sent()) for _ in range(20)]
        pretending = await service.send(sent(), headers={"X-Forwarded-For": "198.51.100.7"})
        server = await service.send(sent(), key=service.server_key)

    assert [reply.status_code for reply in replies[:5]] == [200] * 5
    assert_problem(replies[-1], 429, "too-many")
    assert pretending.status_code == 429  # nobody said that this proxy is one
    assert server.status_code == 200


async def test_without_limits_nobody_is_refused(service: Service) -> None:
    assert {(await service.send(many(100))).status_code for _ in range(20)} == {200}


async def test_what_others_sign_falsely_does_not_count_against_a_key(settings: Settings, database: DatabaseUrl) -> None:
    limited = settings.model_copy(update={"key_events_per_second": 1.0})
    async with running_service(limited, database, clock=FixedClock()) as service:
        key = await create_key(service.engine, service.storefront_id, KeyKind.SERVER)
        body, timestamp = json.dumps(sent()).encode(), int(NOW.timestamp())
        false = signature_headers(key.key_id, "guessed", body, timestamp)
        true = signature_headers(key.key_id, key.secret, body, timestamp)

        refused = [await service.client.post("/v1/events", content=body, headers=false) for _ in range(20)]
        taken = [await service.client.post("/v1/events", content=body, headers=true) for _ in range(10)]

    assert {reply.status_code for reply in refused} == {401}
    assert [reply.status_code for reply in taken[:5]] == [200] * 5
    assert taken[-1].status_code == 429  # a key's own requests do
