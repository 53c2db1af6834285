"""A page that names nobody is told apart from others by the service, for a day."""

from tests.events import sent
from tests.fakes import FixedClock
from tests.service import Service

VISITORS = "SELECT visitor_key FROM event JOIN visitor USING (visitor_id) ORDER BY client_time"


async def test_events_of_a_page_that_names_nobody_are_one_visitors(service: Service) -> None:
    reply = await service.send([sent(event_id="e-1", visitor_id=None), sent(event_id="e-2", visitor_id=None)])

    assert reply.json()["stored"] == 2
    (first,), (second,) = await service.rows(VISITORS)
    assert first == second
    assert first.startswith("day-")


async def test_the_next_day_it_is_another_visitor(service: Service, clock: FixedClock) -> None:
    await service.send(sent(event_id="e-1", visitor_id=None))
    clock.advance(24 * 3600)
    await service.send(sent(event_id="e-2", visitor_id=None))

    assert len({key for (key,) in await service.rows(VISITORS)}) == 2


async def test_who_is_named_needs_no_such_name(service: Service) -> None:
    await service.send([sent(event_id="e-1"), sent(event_id="e-2", visitor_id=None, customer_id="c-7")])

    assert [key for (key,) in await service.rows(VISITORS)] == ["ana"]


async def test_a_servers_event_has_to_name_somebody(service: Service) -> None:
    reply = await service.send(sent(visitor_id=None), key=service.server_key)

    assert reply.status_code == 422
    assert reply.json()["rejected"][0]["reason"] == "no_person"


async def test_neither_address_nor_salt_is_stored_or_logged(service: Service) -> None:
    await service.send(sent(visitor_id=None), headers={"User-Agent": "OddBrowser/1.0"})

    [(row,)] = await service.rows("SELECT event::text FROM event")
    assert "127.0.0" not in row
    assert "OddBrowser" not in row
