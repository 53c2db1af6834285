"""Every row of the table of replies: what a sender is told, and what is stored then."""

import gzip

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.events import many, sent
from tests.service import URL, Service

MEGABYTE = 1024 * 1024


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# -- 200 -----------------------------------------------------------------------------------------------------


async def test_stored_events_are_counted(service: Service) -> None:
    reply = await service.send(many(3))

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"received": 3, "stored": 3, "duplicates": 0}
    assert await service.event_count() == 3


async def test_known_events_are_duplicates_and_no_error(service: Service) -> None:
    old, new = sent(), sent()
    await service.send(old)

    reply = await service.send([old, new])

    assert reply.status_code == 200
    assert reply.json() == {"received": 2, "stored": 1, "duplicates": 1}


async def test_receipts_tell_the_fate_of_each_event(service: Service) -> None:
    known = "11111111-1111-4111-8111-111111111111"
    await service.send(sent(event_id=known))

    reply = await service.send([sent(event_id=known), sent(event_id="order 7"), sent("")], receipts="1")

    assert reply.status_code == 207
    duplicate, stored, rejected = reply.json()["receipts"]
    assert duplicate == {"index": 0, "event_id": known, "outcome": "duplicate"}
    assert (stored["index"], stored["outcome"]) == (1, "stored")
    assert rejected == {"index": 2, "event_id": None, "outcome": "rejected"}
    [(event_id,)] = await service.rows(
        "SELECT event_id::text FROM event WHERE event_id::text = :id", id=stored["event_id"]
    )
    assert event_id == stored["event_id"]


async def test_an_empty_array_is_no_error(service: Service) -> None:
    reply = await service.send([])

    assert reply.status_code == 200
    assert reply.json() == {"received": 0, "stored": 0, "duplicates": 0}


# -- 207 and 422: some or all events refused -----------------------------------------------------------------


async def test_good_events_are_stored_beside_refused_ones(service: Service) -> None:
    reply = await service.send([sent(), sent(seq="first"), sent()])

    assert reply.status_code == 207
    assert reply.json() == {
        "received": 3,
        "stored": 2,
        "duplicates": 0,
        "rejected": [
            {
                "index": 1,
                "reason": "wrong_type",
                "pointer": "/seq",
                "detail": "Expected `int | null`, got `str`.",
            }
        ],
    }
    assert await service.event_count() == 2


async def test_when_every_event_is_refused_that_is_the_status(service: Service) -> None:
    reply = await service.send([sent(visitor_id=None), sent(visitor_id="")], key=service.server_key)

    assert reply.status_code == 422
    reasons = [refused["reason"] for refused in reply.json()["rejected"]]
    assert reasons == ["no_person", "empty"]
    assert await service.event_count() == 0
    [(kept,)] = await service.rows("SELECT count(*) FROM quarantined_event")
    assert kept == 2


# -- 400, 413, 415: the body ---------------------------------------------------------------------------------


async def test_an_unreadable_body_is_400(service: Service) -> None:
    for body in (b"", b"  ", b"[", b"hello", b'"page_viewed"', b"5", b"null"):
        reply = await service.send_bytes(body)

        assert_problem(reply, 400, "unreadable")


async def test_an_unreadable_envelope_names_the_field(service: Service) -> None:
    unknown = await service.send({"events": [sent()], "batch": 7})
    no_array = await service.send({"events": sent()})
    no_time = await service.send({"events": [sent()], "sent_at": "yesterday"})

    pointers = [reply.json()["errors"][0]["pointer"] for reply in (unknown, no_array, no_time)]
    assert pointers == ["/batch", "/events", "/sent_at"]
    for reply in (unknown, no_array, no_time):
        assert_problem(reply, 400, "unreadable")
    assert await service.event_count() == 0


async def test_a_body_of_too_many_bytes_is_413(service: Service) -> None:
    reply = await service.send_bytes(b"[" + b" " * 4 * MEGABYTE + b"]")

    assert_problem(reply, 413, "too-large")


async def test_a_body_of_too_many_events_is_413(service: Service) -> None:
    reply = await service.send(many(1_001))

    assert "1001" in str(assert_problem(reply, 413, "too-large")["detail"])
    assert await service.event_count() == 0


async def test_ten_thousand_events_in_one_body_are_413(service: Service) -> None:
    reply = await service.send([{"event": "e", "visitor_id": "v"}] * 10_000)

    assert_problem(reply, 413, "too-large")


async def test_a_gzip_bomb_is_413(service: Service) -> None:
    bomb = gzip.compress(b"[" + b" " * 50 * MEGABYTE + b"]")

    reply = await service.send_bytes(bomb, headers={"Content-Encoding": "gzip"})

    assert len(bomb) < 100_000
    assert_problem(reply, 413, "too-large")


async def test_every_member_of_a_gzip_is_read(service: Service) -> None:
    """Shippers of logs append compressed chunks to one file."""
    lines = (b'{"event":"page_viewed","visitor_id":"ana"}\n', b'{"event":"page_viewed","visitor_id":"bo"}\n')

    reply = await service.send_bytes(
        b"".join(map(gzip.compress, lines)), headers={"Content-Type": "application/x-ndjson"}
    )

    assert reply.json() == {"received": 2, "stored": 2, "duplicates": 0}


async def test_broken_gzip_is_400(service: Service) -> None:
    for broken in (gzip.compress(b"[]")[:-4], b"\x1f\x8bnonsense"):
        reply = await service.send_bytes(broken, headers={"Content-Encoding": "gzip"})

        assert_problem(reply, 400, "unreadable")


async def test_another_content_type_is_415(service: Service) -> None:
    reply = await service.send_bytes(b"<event/>", content_type="application/xml")

    assert "application/json" in str(assert_problem(reply, 415, "unsupported-type")["detail"])


async def test_another_encoding_is_415(service: Service) -> None:
    reply = await service.send_bytes(b"[]", headers={"Content-Encoding": "compress"})

    assert_problem(reply, 415, "unsupported-type")


# -- 401 and 403: the key ------------------------------------------------------------------------------------


async def test_no_key_is_401(service: Service) -> None:
    reply = await service.client.post("/v1/events", json=sent())

    assert_problem(reply, 401, "unauthenticated")


async def test_an_unknown_key_is_401(service: Service) -> None:
    for key in ("ff_write_guess", "naïve", "x" * 10_000):
        reply = await service.client.post("/v1/events", json=sent(), params={"key": key})

        assert_problem(reply, 401, "unauthenticated")
    assert await service.event_count() == 0


async def test_a_write_key_may_stand_in_the_address(service: Service) -> None:
    reply = await service.client.post("/v1/events", json=sent(), params={"key": service.write_key})

    assert reply.status_code == 200


async def test_a_server_key_must_not_stand_in_the_address(service: Service) -> None:
    reply = await service.client.post("/v1/events", json=sent(), params={"key": service.server_key})

    assert_problem(reply, 403, "forbidden")


async def test_a_read_key_sends_no_events(service: Service) -> None:
    reply = await service.send(sent(), key=service.read_key)

    assert_problem(reply, 403, "forbidden")


async def test_a_write_key_does_not_import(service: Service) -> None:
    reply = await service.send(sent(), source="import")

    assert_problem(reply, 403, "forbidden")


async def test_a_key_for_one_origin_is_not_used_from_another(service: Service) -> None:
    key = (await create_key(service.engine, service.storefront_id, KeyKind.WRITE, ["https://shop.example"])).secret

    own = await service.send(sent(), key=key, headers={"Origin": "https://shop.example"})
    other = await service.send(sent(), key=key, headers={"Origin": "https://evil.example"})

    assert own.status_code == 200
    assert_problem(other, 403, "forbidden")
    assert await service.event_count() == 1


async def test_trust_comes_from_the_key(service: Service) -> None:
    await service.send(sent("from_browser"))
    await service.send(sent("from_server"), key=service.server_key)
    await service.send(sent("from_import"), key=service.server_key, source="import")

    stored = await service.rows("SELECT event_name, trust FROM event ORDER BY trust")
    assert [tuple(row) for row in stored] == [("from_browser", 1), ("from_server", 2), ("from_import", 4)]


async def test_another_method_is_405(service: Service) -> None:
    reply = await service.client.get(f"{URL}/v1/events", headers=bearer(service.write_key))

    assert_problem(reply, 405, "method-not-allowed")
    assert "POST" in reply.headers["allow"]
