"""`GET /v1/quarantine`: refused events by cause, for whoever has to find the broken sender."""

from datetime import timedelta
from typing import Any

import pytest

from app.domain.storefront import KeyKind
from app.storage.database import DatabaseUrl
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.api.shops import another_shop
from tests.conftest import run_sql
from tests.events import NOW, NOW_TEXT, sent
from tests.fakes import FixedClock
from tests.service import Service

DAY_SECONDS = 86_400


async def groups(service: Service, **query: str) -> list[dict[str, Any]]:
    reply = await service.client.get("/v1/quarantine", headers=service.reader, params=query)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["groups"]
    return found


async def test_a_shop_without_refused_events_has_no_groups(service: Service) -> None:
    await service.send(sent())

    assert await groups(service) == []


async def test_events_refused_for_one_cause_are_one_group_the_largest_first(
    service: Service, clock: FixedClock
) -> None:
    await service.send([sent(visitor_id=None), sent(price=1)], key=service.server_key)
    clock.advance(60)
    await service.send(sent(event="newest", price=2, event_id="e-2"))

    first, second = await groups(service)

    assert {name: first[name] for name in first if name != "example"} == {
        "reason": "unknown_field",
        "pointer": "/price",
        "format": "native",
        "count": 2,
        "replayed_count": 0,
        "first_received_at": NOW_TEXT,
        "last_received_at": "2026-03-02T12:01:00Z",
    }
    assert '"newest"' in first["example"]["raw"]
    assert first["example"]["size_bytes"] == len(first["example"]["raw"])
    assert "unknown field `price`" in first["example"]["detail"]
    assert (second["reason"], second["pointer"], second["count"]) == ("no_person", "/visitor_id", 1)


async def test_the_same_fault_at_another_place_is_another_group(service: Service) -> None:
    await service.send([sent(price=1), sent(colour="red")])

    assert [(group["pointer"], group["count"]) for group in await groups(service)] == [("/colour", 1), ("/price", 1)]


async def test_a_body_that_could_not_be_read_is_there_too(service: Service) -> None:
    await service.send_bytes(b'[{"event": "cut o')

    [group] = await groups(service)
    assert (group["reason"], group["example"]["raw"]) == ("invalid_json", '[{"event": "cut o')


# -- choosing --------------------------------------------------------------------------------------------------------


async def test_one_reason_is_chosen(service: Service) -> None:
    await service.send([sent(price=1), sent(visitor_id=None)], key=service.server_key)

    assert [group["reason"] for group in await groups(service, reason="no_person")] == ["no_person"]


async def test_a_range_is_half_open_and_counts_by_arrival(service: Service, clock: FixedClock) -> None:
    await service.send(sent(price=1, client_time="2020-01-01T00:00:00Z"))
    clock.advance(DAY_SECONDS)
    await service.send(sent(price=1))
    tomorrow = (NOW + timedelta(days=1)).isoformat()

    async def count(**query: str) -> int:
        return sum(group["count"] for group in await groups(service, **query))

    assert await count() == 2
    assert await count(**{"from": NOW_TEXT}) == 2
    assert await count(to=tomorrow) == 1
    assert await count(**{"from": tomorrow}) == 1
    assert await count(**{"from": NOW_TEXT, "to": NOW_TEXT}) == 0


async def test_a_day_begins_at_midnight_where_the_storefront_is(
    service: Service, clock: FixedClock, database: DatabaseUrl
) -> None:
    run_sql(database, "UPDATE storefront SET time_zone = 'Pacific/Auckland'")  # 13 h ahead: 3 March, 01:00
    await service.send(sent(price=1))

    assert len(await groups(service, **{"from": "2026-03-03"})) == 1
    assert len(await groups(service, to="2026-03-03")) == 0


@pytest.mark.parametrize(
    "moment", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
async def test_the_ends_of_the_calendar_are_no_fault(service: Service, moment: str) -> None:
    for name in ("from", "to"):
        assert await groups(service, **{name: moment}) == []


async def test_the_number_of_groups_is_limited(service: Service) -> None:
    await service.send([{**sent(), f"field_{n}": 1} for n in range(10)])

    assert len(await groups(service, limit="3")) == 3
    assert len(await groups(service)) == 10


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"reason": "boredom"}, {"from": "yesterday"}, {"to": "12:00"}],
)
async def test_a_query_that_makes_no_sense_is_422(service: Service, query: dict[str, str]) -> None:
    reply = await service.client.get("/v1/quarantine", headers=service.reader, params=query)

    assert_problem(reply, 422, "invalid")


# -- what senders may have put in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff\xfe\x00", "\\xff\\xfe\x00"),
        ("<script>müsli</script>".encode(), "<script>müsli</script>"),
        (b'"\x1b[31m\r\n', '"\x1b[31m\r\n'),
    ],
)
async def test_any_bytes_can_be_shown(service: Service, raw: bytes, text: str) -> None:
    await service.send_bytes(raw)

    reply = await service.client.get("/v1/quarantine", headers=service.reader)

    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["groups"][0]["example"]["raw"] == text


async def test_an_example_is_cut_and_its_size_told(service: Service) -> None:
    await service.send_bytes(b"[" + b"x" * 60_000)

    [group] = await groups(service)
    assert len(group["example"]["raw"]) == 1_000
    assert group["example"]["size_bytes"] == 60_001


# -- who may ---------------------------------------------------------------------------------------------------------


async def test_nobody_sees_what_another_shop_sent(service: Service) -> None:
    await service.send(sent(price=1), key=await another_shop(service))

    assert await groups(service) == []


async def test_an_admin_key_may_look_too(service: Service) -> None:
    key = await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)

    reply = await service.client.get("/v1/quarantine", headers={"Authorization": f"Bearer {key.secret}"})

    assert reply.status_code == 200


async def test_without_a_key_it_is_401(service: Service) -> None:
    assert_problem(await service.client.get("/v1/quarantine"), 401, "unauthenticated")
