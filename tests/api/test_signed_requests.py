"""A server that signs its requests never sends its secret; what it signed can't be changed or sent much later."""

import asyncio
import gzip
import json
from datetime import timedelta

import httpx
import pytest

from app.domain.storefront import KeyKind
from app.storage.keys import NewSecret, create_key, revoke_key, rotate_key
from tests.api.problem import assert_problem
from tests.events import NOW, sent
from tests.service import Service
from tests.signed import signature_headers

NOW_SECONDS = int(NOW.timestamp())
DAY = timedelta(days=1)


@pytest.fixture
async def key(service: Service) -> NewSecret:
    return await create_key(service.engine, service.storefront_id, KeyKind.SERVER)


def body_of(*events: object) -> bytes:
    return json.dumps(events or [sent()]).encode()


async def post(
    service: Service, body: bytes, headers: dict[str, str], query: dict[str, str] | None = None
) -> httpx.Response:
    return await service.client.post("/v1/events", content=body, headers=headers, params=query)


async def send_signed(service: Service, key: NewSecret, *, timestamp: int = NOW_SECONDS) -> httpx.Response:
    body = body_of()
    return await post(service, body, signature_headers(key.key_id, key.secret, body, timestamp))


async def trusts(service: Service) -> list[int]:
    return [trust for (trust,) in await service.rows("SELECT trust FROM event ORDER BY trust")]


# -- what is taken ---------------------------------------------------------------------------------------------------


async def test_events_of_a_signed_request_are_trusted_as_signed(service: Service, key: NewSecret) -> None:
    reply = await send_signed(service, key)

    assert reply.status_code == 200, reply.text
    assert await trusts(service) == [3]


async def test_signed_history_is_history(service: Service, key: NewSecret) -> None:
    body = body_of()
    headers = signature_headers(key.key_id, key.secret, body, NOW_SECONDS)

    assert (await post(service, body, headers, {"source": "import"})).status_code == 200
    assert await trusts(service) == [4]


async def test_the_bytes_as_sent_are_signed_before_they_are_decompressed(service: Service, key: NewSecret) -> None:
    plain = body_of()
    packed = gzip.compress(plain)
    encoding = {"Content-Encoding": "gzip"}

    good = signature_headers(key.key_id, key.secret, packed, NOW_SECONDS) | encoding
    bad = signature_headers(key.key_id, key.secret, plain, NOW_SECONDS) | encoding

    assert (await post(service, packed, good)).status_code == 200
    assert_problem(await post(service, packed, bad), 401, "unauthenticated")


@pytest.mark.parametrize("seconds", [-300, 300])
async def test_a_clock_may_be_five_minutes_off(service: Service, key: NewSecret, seconds: int) -> None:
    assert (await send_signed(service, key, timestamp=NOW_SECONDS + seconds)).status_code == 200


async def test_a_request_that_is_sent_again_within_the_five_minutes_stores_nothing_twice(
    service: Service, key: NewSecret
) -> None:
    body = body_of(sent("order_completed"), sent("order_completed"))
    headers = signature_headers(key.key_id, key.secret, body, NOW_SECONDS)

    first, again = await post(service, body, headers), await post(service, body, headers)

    assert first.json() == {"received": 2, "stored": 2, "duplicates": 0}
    assert again.json() == {"received": 2, "stored": 0, "duplicates": 2}


# -- what is not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-301, 301, -86_400])
async def test_a_signature_older_or_newer_than_that_is_refused(service: Service, key: NewSecret, seconds: int) -> None:
    reply = await send_signed(service, key, timestamp=NOW_SECONDS + seconds)

    assert "off our clock" in str(assert_problem(reply, 401, "unauthenticated")["detail"])
    assert await service.event_count() == 0


async def test_another_body_does_not_fit_the_signature(service: Service, key: NewSecret) -> None:
    headers = signature_headers(key.key_id, key.secret, body_of(sent(visitor_id="ana")), NOW_SECONDS)

    reply = await post(service, body_of(sent(visitor_id="eve")), headers)

    assert_problem(reply, 401, "unauthenticated")
    assert await service.event_count() == 0


async def test_another_time_does_not_fit_the_signature(service: Service, key: NewSecret) -> None:
    body = body_of()
    headers = signature_headers(key.key_id, key.secret, body, NOW_SECONDS - 3600)

    reply = await post(service, body, headers | {"Footfall-Timestamp": str(NOW_SECONDS)})

    assert_problem(reply, 401, "unauthenticated")


async def test_the_secret_of_another_key_does_not_fit(service: Service, key: NewSecret) -> None:
    other = await create_key(service.engine, service.storefront_id, KeyKind.SERVER)

    reply = await send_signed(service, NewSecret(key.key_id, other.secret))

    assert_problem(reply, 401, "unauthenticated")


async def test_a_key_that_there_is_not_signs_nothing(service: Service, key: NewSecret) -> None:
    reply = await send_signed(service, key._replace(key_id=9_999_999_999))

    assert_problem(reply, 401, "unauthenticated")


@pytest.mark.parametrize("kind", [KeyKind.WRITE, KeyKind.READ, KeyKind.ADMIN])
async def test_only_server_keys_sign(service: Service, kind: KeyKind) -> None:
    other = await create_key(service.engine, service.storefront_id, kind)

    assert_problem(await send_signed(service, other), 403, "forbidden")


@pytest.mark.parametrize("missing", ["Footfall-Key-Id", "Footfall-Timestamp", "Footfall-Signature"])
async def test_a_request_signed_by_halves_is_refused_though_it_has_a_good_key(
    service: Service, key: NewSecret, missing: str
) -> None:
    body = body_of()
    headers = signature_headers(key.key_id, key.secret, body, NOW_SECONDS)
    del headers[missing]

    reply = await post(service, body, headers | {"Authorization": f"Bearer {key.secret}"})

    assert_problem(reply, 401, "unauthenticated")
    assert await service.event_count() == 0


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Footfall-Key-Id", "seven"),
        ("Footfall-Key-Id", "-1"),
        ("Footfall-Key-Id", "9" * 5_000),
        ("Footfall-Timestamp", "2026-03-02T12:00:00Z"),
        ("Footfall-Timestamp", "1" * 5_000),
        ("Footfall-Timestamp", "1772452800.0"),
        ("Footfall-Signature", ""),
        ("Footfall-Signature", "v1="),
        ("Footfall-Signature", "v2=" + "0" * 64),
        ("Footfall-Signature", "v1=" + "0" * 63),
        ("Footfall-Signature", "v1=" + "0" * 64),
        ("Footfall-Signature", "v1=" + "g" * 64),
    ],
)
async def test_garbled_headers_are_refused(service: Service, key: NewSecret, header: str, value: str) -> None:
    body = body_of()

    reply = await post(service, body, signature_headers(key.key_id, key.secret, body, NOW_SECONDS) | {header: value})

    assert_problem(reply, 401, "unauthenticated")
    assert await service.event_count() == 0


# -- rotation --------------------------------------------------------------------------------------------------------


async def test_both_secrets_sign_while_a_key_is_rotated(service: Service, key: NewSecret) -> None:
    assert (await send_signed(service, key)).status_code == 200

    new = await rotate_key(service.engine, key.key_id, DAY)

    assert new.key_id == key.key_id
    async with asyncio.timeout(3):  # far less than the time between two looks at the keys
        while (await send_signed(service, new)).status_code != 200:
            pass
    assert (await send_signed(service, key)).status_code == 200


async def test_a_key_rotated_without_overlap_signs_with_its_new_secret_only(service: Service, key: NewSecret) -> None:
    new = await rotate_key(service.engine, key.key_id, timedelta(0))

    assert (await send_signed(service, new)).status_code == 200
    assert_problem(await send_signed(service, key), 401, "unauthenticated")


async def test_a_revoked_key_signs_with_none_of_its_secrets(service: Service, key: NewSecret) -> None:
    new = await rotate_key(service.engine, key.key_id, DAY)
    await revoke_key(service.engine, key.key_id)

    for secret in (key, new):
        assert_problem(await send_signed(service, secret), 401, "unauthenticated")
