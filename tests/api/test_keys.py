"""What each kind of key may do, how long it works, and that nothing a sender writes makes it more trusted."""

import asyncio
import json
from datetime import timedelta

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.errors import Invalid, NotFound
from app.ingest.formats import FORMATS
from app.storage import key_cache
from app.storage.keys import NewSecret, create_key, list_keys, revoke_key, rotate_key
from tests.api.problem import assert_problem
from tests.events import NOW, sent
from tests.service import Service
from tests.signed import signature_headers

DAY = timedelta(days=1)
BROWSER, SERVER, SIGNED = 1, 2, 3  # trust, as it is stored


@pytest.fixture
async def key(service: Service) -> NewSecret:
    return await create_key(service.engine, service.storefront_id, KeyKind.SERVER)


@pytest.fixture
def quick_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked at again at each use, as after a few seconds."""
    monkeypatch.setattr(key_cache, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(key_cache, "MISS_REFRESH_SECONDS", 0.0)


async def status_with(service: Service, secret: str) -> int:
    return (await service.send(sent(), key=secret)).status_code


async def until_refused(service: Service, secret: str) -> None:
    async with asyncio.timeout(10):
        while await status_with(service, secret) != 401:
            pass


# -- what a kind of key may do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/reports/funnel"),
        ("GET", "/v1/reports/stages"),
        ("GET", "/v1/funnels"),
        ("PUT", "/v1/funnels/bags"),
        ("DELETE", "/v1/funnels/bags"),
        ("GET", "/v1/stages"),
        ("PUT", "/v1/stages"),
        ("DELETE", "/v1/stages"),
        ("GET", "/v1/quarantine"),
    ],
)
@pytest.mark.parametrize("kind", ["write", "server"])
async def test_keys_that_send_can_do_nothing_else(service: Service, method: str, path: str, kind: str) -> None:
    secret = service.write_key if kind == "write" else service.server_key

    reply = await service.client.request(method, path, headers={"Authorization": f"Bearer {secret}"})

    assert_problem(reply, 403, "forbidden")


async def test_a_key_sends_to_its_own_storefront_only(service: Service) -> None:
    await service.send(sent(), key=service.server_key)

    assert [tuple(row) for row in await service.rows("SELECT DISTINCT storefront_id FROM event")] == [
        (service.storefront_id,)
    ]


# -- trust -----------------------------------------------------------------------------------------------------------

# For each wire format: its path, a body that claims a trust wherever one could stand, and how many events are stored.
CLAIMS: dict[str, list[tuple[object, int]]] = {
    "native": [
        (sent(trust="signed"), 0),
        ([sent(trust=3)], 0),
        ({"events": [sent()], "trust": "signed"}, 0),
        ({"events": [sent(trust="server")]}, 0),
        (sent(source="import"), 0),
        (sent(properties={"trust": "signed", "source": "import"}), 1),
    ],
    "segment": [({"type": "track", "event": "a", "userId": "7", "trust": "signed", "context": {"trust": "signed"}}, 1)],
    "shopify": [({"id": 1, "created_at": "2026-03-02T12:00:00Z", "trust": "signed"}, 0)],  # unsigned: 401
    "woocommerce": [({"id": 1, "status": "completed", "trust": "signed"}, 0)],
    "ga4": [({"client_id": "7", "trust": "signed", "events": [{"name": "a", "params": {"trust": "signed"}}]}, 1)],
    "ga4_validation": [({"client_id": "7", "trust": "signed", "events": [{"name": "a", "trust": "signed"}]}, 0)],
    "ga4_collect": [({"en": "a", "cid": "7", "trust": "signed"}, 0)],  # no form
    "matomo": [({"requests": ["?_id=7&url=a&trust=signed", {"_id": "7", "url": "a", "trust": "signed"}]}, 2)],
    "posthog": [({"event": "a", "distinct_id": "7", "trust": "signed", "properties": {"trust": "signed"}}, 1)],
    "plausible": [({"n": "a", "u": "https://shop.example/", "trust": "signed", "p": {"trust": "signed"}}, 1)],
    "umami": [({"type": "event", "trust": "signed", "payload": {"url": "/", "data": {"trust": "signed"}}}, 1)],
}


def test_every_wire_format_is_among_the_claims() -> None:
    assert set(CLAIMS) == {wire_format.name for wire_format in FORMATS}


@pytest.mark.parametrize(
    ("path", "body", "stored_count"),
    [
        (wire_format.paths[0], body, stored_count)
        for wire_format in FORMATS
        for body, stored_count in CLAIMS.get(wire_format.name, [])
    ],
)
async def test_no_body_makes_its_events_more_trusted(
    service: Service, path: str, body: object, stored_count: int
) -> None:
    headers = {"Authorization": f"Bearer {service.write_key}", "Footfall-Trust": "signed", "X-Trust": "signed"}
    await service.client.post(path, json=body, headers=headers, params={"trust": "signed"})

    stored = [trust for (trust,) in await service.rows("SELECT trust FROM event")]
    assert stored == [BROWSER] * stored_count


# -- rotation, expiry and revocation ---------------------------------------------------------------------------------


async def test_both_secrets_work_while_a_key_is_rotated(service: Service, key: NewSecret) -> None:
    assert await status_with(service, key.secret) == 200

    new = await rotate_key(service.engine, key.key_id, DAY)

    assert new.key_id == key.key_id
    assert new.secret != key.secret
    assert await status_with(service, new.secret) == 200
    assert await status_with(service, key.secret) == 200


async def test_a_rotated_key_stays_what_it_was(service: Service) -> None:
    key = await create_key(service.engine, service.storefront_id, KeyKind.WRITE, ["https://shop.example"])

    new = await rotate_key(service.engine, key.key_id, DAY)

    other = await service.send(sent(), key=new.secret, headers={"Origin": "https://evil.example"})
    assert_problem(other, 403, "forbidden")
    [entry] = [found for found in await list_keys(service.engine, service.storefront_id) if found.key_id == key.key_id]
    assert (entry.kind, entry.origins) == ("write", ["https://shop.example"])
    assert new.secret.startswith(entry.prefix)


async def test_the_old_secret_ends_at_its_time(service: Service, key: NewSecret, quick_refresh: None) -> None:
    new = await rotate_key(service.engine, key.key_id, timedelta(milliseconds=1))

    await until_refused(service, key.secret)
    assert await status_with(service, new.secret) == 200


async def test_the_old_secret_ends_at_its_time_also_while_postgres_is_away(
    service: Service, key: NewSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await rotate_key(service.engine, key.key_id, timedelta(seconds=1))
    assert await status_with(service, key.secret) == 200
    monkeypatch.setattr(key_cache, "_read_secrets", None)  # from here on reading fails

    await until_refused(service, key.secret)
    assert await status_with(service, new.secret) == 200


async def test_a_third_secret_is_refused_while_two_are_at_work(service: Service, key: NewSecret) -> None:
    await rotate_key(service.engine, key.key_id, DAY)

    with pytest.raises(Invalid, match="two secrets until"):
        await rotate_key(service.engine, key.key_id, DAY)


async def test_a_leaked_key_is_rotated_at_once_whatever_was_at_work(service: Service, key: NewSecret) -> None:
    second = await rotate_key(service.engine, key.key_id, DAY)

    third = await rotate_key(service.engine, key.key_id, timedelta(0))

    assert [await status_with(service, secret.secret) for secret in (key, second, third)] == [401, 401, 200]


async def test_revoking_ends_both_secrets_within_seconds(service: Service, key: NewSecret, quick_refresh: None) -> None:
    new = await rotate_key(service.engine, key.key_id, DAY)
    assert await status_with(service, key.secret) == await status_with(service, new.secret) == 200

    await revoke_key(service.engine, key.key_id)

    assert await status_with(service, key.secret) == await status_with(service, new.secret) == 401
    with pytest.raises(NotFound):
        await rotate_key(service.engine, key.key_id, DAY)


# -- secrecy ---------------------------------------------------------------------------------------------------------


async def test_the_database_holds_no_secret(service: Service, key: NewSecret) -> None:
    new = await rotate_key(service.engine, key.key_id, DAY)

    stored = str(await service.rows("SELECT t::text, encode(digest, 'escape') FROM api_key AS t"))

    for secret in (key.secret, new.secret):
        assert secret not in stored
        assert secret.encode().hex() not in stored


async def test_no_reply_repeats_a_secret(service: Service, key: NewSecret) -> None:
    body = json.dumps(sent()).encode()
    wrong = signature_headers(key.key_id, "ff_server_wrong", body, int(NOW.timestamp()))
    replies: list[httpx.Response] = [
        await service.send(sent(), key="ff_write_guess"),
        await service.client.post("/v1/events", json=sent(), params={"key": key.secret}),
        await service.client.get("/v1/stages", headers={"Authorization": f"Bearer {key.secret}"}),
        await service.client.post("/v1/events", content=body, headers=wrong),
    ]

    assert [reply.status_code for reply in replies] == [401, 403, 403, 401]
    for reply in replies:
        said = reply.text + str(reply.headers)
        assert "ff_write_guess" not in said
        assert key.secret not in said
        assert wrong["Footfall-Signature"] not in said
