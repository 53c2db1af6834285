"""One identity over HTTP: who somebody was before and after login, on shared devices, and when it was a mistake."""

from typing import Any
from urllib.parse import quote

import pytest

from app.domain.storefront import KeyKind
from app.storage.keys import create_key
from tests.api.problem import assert_problem
from tests.events import sent
from tests.fakes import FixedClock
from tests.service import Service

VIEW_AND_ORDER = {
    "range": {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
    "steps": [{"any_of": [{"event": "product_viewed"}]}, {"any_of": [{"event": "order_completed"}]}],
}


def at(day: int, event: str, **more: object) -> dict[str, object]:
    return sent(event, client_time=f"2026-02-{day:02}T10:00:00Z", **more)


def viewed(day: int, visitor: str, customer: str | None = None) -> dict[str, object]:
    return at(day, "product_viewed", visitor_id=visitor, customer_id=customer)


def logged_in(day: int, visitor: str, customer: str) -> dict[str, object]:
    return at(day, "customer_identified", visitor_id=visitor, customer_id=customer)


def ordered(day: int, visitor: str | None, customer: str | None = None) -> dict[str, object]:
    return at(day, "order_completed", visitor_id=visitor, customer_id=customer)


async def reached(service: Service) -> list[int]:
    """How many viewed, and how many of those ordered."""
    reply = await service.funnel(VIEW_AND_ORDER)
    assert reply.status_code == 200, reply.text
    return [step["reached_count"] for step in reply.json()["steps"]]


async def events_of(service: Service, person: str) -> list[str]:
    """Day and name of each, as reports see the person."""
    reply = await service.client.get(f"/v1/persons/{quote(person, safe='')}/journey", headers=service.reader)
    assert reply.status_code == 200, reply.text
    return [f"{event['occurred_at'][8:10]} {event['event']}" for event in reply.json()["events"]]


async def links_of(service: Service, person: str, query: str = "") -> list[dict[str, Any]]:
    reply = await service.client.get(f"/v1/persons/{quote(person, safe='')}/links{query}", headers=service.reader)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["links"])


@pytest.fixture
async def admin(service: Service) -> dict[str, str]:
    """Headers with an admin key."""
    made = await create_key(service.engine, service.storefront_id, KeyKind.ADMIN)
    return {"Authorization": f"Bearer {made.secret}"}


async def test_a_funnel_across_login_is_one_person(service: Service) -> None:
    await service.send([viewed(1, "phone"), ordered(3, "phone")])
    assert await reached(service) == [1, 1]

    await service.send(logged_in(2, "phone", "ana"))

    assert await reached(service) == [1, 1]
    assert await events_of(service, "ana") == ["01 product_viewed", "02 customer_identified", "03 order_completed"]


async def test_an_order_that_only_the_server_reports_is_the_visitors_who_logs_in_later(service: Service) -> None:
    await service.send([viewed(1, "phone")])
    await service.send([ordered(2, None, "ana")], key=service.server_key)
    assert await reached(service) == [1, 0]

    await service.send(logged_in(9, "phone", "ana"))

    assert await reached(service) == [1, 1]


async def test_a_customer_on_two_devices_is_one_person(service: Service) -> None:
    await service.send([viewed(1, "phone"), ordered(2, "laptop")])
    assert await reached(service) == [1, 0]

    await service.send([logged_in(3, "phone", "ana"), logged_in(4, "laptop", "ana")])

    assert await reached(service) == [1, 1]


async def test_on_a_shared_device_a_new_login_begins_another_person_and_the_old_one_can_come_back(
    service: Service,
) -> None:
    await service.send(
        [
            viewed(1, "tablet"),
            logged_in(2, "tablet", "ana"),
            ordered(3, "tablet"),
            logged_in(4, "tablet", "ben"),
            viewed(5, "tablet"),
            logged_in(6, "tablet", "ana"),
            ordered(7, "tablet"),
        ]
    )
    assert await reached(service) == [2, 1]
    assert await events_of(service, "ben") == ["04 customer_identified", "05 product_viewed"]

    await service.send(logged_in(4, "tablet", "cleo") | {"client_time": "2026-02-04T12:00:00Z"})  # late

    assert await events_of(service, "ben") == ["04 customer_identified"]
    assert await events_of(service, "cleo") == ["04 customer_identified", "05 product_viewed"]


async def test_the_same_event_twice_changes_nobody(service: Service) -> None:
    events = [logged_in(1, "tablet", "ana"), logged_in(2, "tablet", "ben"), viewed(3, "tablet")]
    for _ in range(2):
        await service.send(events)
    assert await events_of(service, "ana") == ["01 customer_identified"]
    assert await events_of(service, "ben") == ["02 customer_identified", "03 product_viewed"]


# Undoing


async def test_a_link_that_is_undone_counts_in_no_report_until_the_two_are_seen_together_again(
    service: Service, admin: dict[str, str], clock: FixedClock
) -> None:
    await service.send([viewed(1, "tablet"), logged_in(2, "tablet", "ana"), ordered(3, None, "ana")])
    assert await reached(service) == [1, 1]

    reply = await service.client.delete("/v1/persons/ana/links/tablet", headers=admin)

    assert reply.status_code == 200
    assert reply.json() == {"customer_id": "ana", "visitor_id": "tablet", "unlinked_at": "2026-03-02T12:00:00Z"}
    assert await reached(service) == [1, 0]
    assert await events_of(service, "ana") == ["02 customer_identified", "03 order_completed"]
    assert await events_of(service, "tablet") == ["01 product_viewed"]

    await service.send(logged_in(4, "tablet", "ana"))  # late: of before
    assert await reached(service) == [1, 0]

    clock.advance(3600)
    await service.send(
        sent("customer_identified", visitor_id="tablet", customer_id="ana", client_time="2026-03-02T13:00:00Z")
    )
    assert await reached(service) == [1, 1]


async def test_the_history_of_links_says_who_was_seen_with_whom_and_when_it_was_undone(
    service: Service, admin: dict[str, str]
) -> None:
    await service.send([logged_in(2, "tablet", "ana"), logged_in(7, "tablet", "ana"), logged_in(5, "phone", "ana")])
    await service.send([logged_in(3, "tablet", "ben"), viewed(9, "tablet")])
    await service.client.delete("/v1/persons/ana/links/tablet", headers=admin)

    tablet = {
        "customer_id": "ana",
        "visitor_id": "tablet",
        "first_seen_at": "2026-02-02T10:00:00Z",
        "last_seen_at": "2026-02-07T10:00:00Z",
        "unlinked_at": ["2026-03-02T12:00:00Z"],
        "is_linked": False,
    }
    phone = {
        "customer_id": "ana",
        "visitor_id": "phone",
        "first_seen_at": "2026-02-05T10:00:00Z",
        "last_seen_at": "2026-02-05T10:00:00Z",
        "unlinked_at": [],
        "is_linked": True,
    }
    assert await links_of(service, "ana") == [tablet, phone]
    assert await links_of(service, "ana", "?limit=1") == [tablet]
    assert [(link["customer_id"], link["is_linked"]) for link in await links_of(service, "tablet")] == [
        ("ana", False),
        ("ben", True),
    ]
    assert await links_of(service, "tablet", "?kind=visitor") == await links_of(service, "tablet")


async def test_links_are_also_a_table(service: Service) -> None:
    await service.send([logged_in(5, "phone", "ana")])
    headers = {**service.reader, "Accept": "text/csv"}
    reply = await service.client.get("/v1/persons/ana/links", headers=headers)
    head, row = reply.text.splitlines()
    assert head == "unlinked_at,customer_id,visitor_id,first_seen_at,last_seen_at,is_linked,as_of"
    assert row.startswith(",ana,phone,2026-02-05T10:00:00Z,2026-02-05T10:00:00Z,true,")


async def test_undoing_takes_an_admin_key_and_two_who_were_seen_together(
    service: Service, admin: dict[str, str]
) -> None:
    await service.send([logged_in(1, "tablet", "ana"), viewed(1, "phone")])

    async def undo(path: str, headers: dict[str, str]) -> Any:
        return await service.client.delete(f"/v1/persons/{path}", headers=headers)

    assert_problem(await undo("ana/links/tablet", service.reader), 403, "forbidden")
    assert_problem(await undo("ana/links/tablet", {}), 401, "unauthenticated")
    for path in ("ana/links/phone", "ben/links/tablet", "tablet/links/ana", "ana/links/Tablet"):
        assert_problem(await undo(path, admin), 404, "not-found")
    assert_problem(await undo(f"ana/links/{'x' * 201}", admin), 422, "invalid")
    assert_problem(await service.client.get("/v1/persons/nobody/links", headers=service.reader), 404, "not-found")
    assert_problem(await service.client.get("/v1/persons/ana/links?limit=0", headers=service.reader), 422, "invalid")


async def test_ids_with_slashes_are_told_apart(service: Service, admin: dict[str, str]) -> None:
    await service.send([logged_in(1, "t/links/1", "a/b"), viewed(1, "a/links/b")])

    undone = await service.client.delete("/v1/persons/a%2Fb/links/t%2Flinks%2F1", headers=admin)
    erased = await service.client.delete("/v1/persons/a%2Flinks%2Fb", headers=admin)

    assert (undone.json()["customer_id"], undone.json()["visitor_id"]) == ("a/b", "t/links/1")
    assert (erased.status_code, erased.json()["events"]) == (202, 1)


async def test_an_erased_customer_takes_only_the_own_times_of_a_shared_device(
    service: Service, admin: dict[str, str]
) -> None:
    await service.send(
        [
            viewed(1, "tablet"),
            logged_in(2, "tablet", "ana"),
            logged_in(3, "tablet", "ben"),
            viewed(4, "tablet"),
            logged_in(5, "tablet", "ana"),
            ordered(6, "tablet"),
        ]
    )

    erased = await service.client.delete("/v1/persons/ana", headers=admin)

    assert erased.status_code == 202
    assert (erased.json()["events"], erased.json()["visitors"], erased.json()["customers"]) == (4, 0, 1)
    assert await reached(service) == [1, 0]
    assert await events_of(service, "ben") == ["03 customer_identified", "04 product_viewed"]
    left = await service.rows("SELECT event_name FROM event ORDER BY occurred_at")
    assert [name for (name,) in left] == ["customer_identified", "product_viewed"]


async def test_what_was_undone_is_no_part_of_a_customers_export_or_erasure(
    service: Service, admin: dict[str, str]
) -> None:
    await service.send([viewed(1, "tablet"), logged_in(2, "tablet", "ana"), viewed(3, "phone", "ana")])
    await service.client.delete("/v1/persons/ana/links/tablet", headers=admin)

    export = await service.client.get("/v1/persons/ana/export", headers=service.reader)
    of_tablet = await service.client.get("/v1/persons/tablet/export", headers=service.reader)
    erased = await service.client.delete("/v1/persons/ana", headers=admin)

    assert [line.split('"')[3] for line in export.text.splitlines()] == [
        "person",
        "link",
        "link",
        "unlink",
        "event",
        "event",
        "end",
    ]
    assert '"unlinked_at":"2026-03-02T12:00:00Z"' in export.text
    assert of_tablet.text.count('"event":"product_viewed"') == 1
    assert erased.json()["events"] == 2
    assert await events_of(service, "tablet") == ["01 product_viewed"]


# Nobody's ids


@pytest.mark.parametrize("customer", ["null", "Undefined", "0", "", " anonymous ", "[object Object]"])
async def test_an_id_of_nobody_makes_no_customer_of_all_visitors(service: Service, customer: str) -> None:
    reply = await service.send([viewed(1, "phone", customer), ordered(2, "laptop", customer)])

    assert (reply.status_code, reply.json()) == (200, {"received": 2, "stored": 2, "duplicates": 0})
    assert await reached(service) == [1, 0]
    assert await service.rows("SELECT * FROM customer") == []
    metrics = (await service.client.get("/metrics")).text
    assert 'footfall_customers_refused_total{format="native"} 2.0' in metrics


async def test_an_event_of_nobody_at_all_is_refused(service: Service) -> None:
    reply = await service.send([ordered(1, None, "guest"), ordered(1, None, "ana")], key=service.server_key)

    assert reply.status_code == 207
    [refused] = reply.json()["rejected"]
    assert (refused["index"], refused["reason"], refused["pointer"]) == (0, "bad_customer", "/customer_id")


async def test_persons_of_one_company_are_one_account_across_login(service: Service) -> None:
    await service.send(
        [
            at(1, "product_viewed", visitor_id="phone", customer_id="ana", account_id="acme"),
            at(2, "order_completed", visitor_id="laptop", customer_id="ben", account_id="acme"),
        ]
    )
    assert await reached(service) == [1, 0]
    reply = await service.funnel({**VIEW_AND_ORDER, "actor": "account"})
    assert [step["reached_count"] for step in reply.json()["steps"]] == [1, 1]
