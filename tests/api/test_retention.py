"""A storefront's retention, as senders and operators meet it."""

from app.storage.retention import set_retention
from tests.events import sent
from tests.service import Service


async def test_an_event_older_than_the_storefront_keeps_it_is_refused_with_a_reason(service: Service) -> None:
    await set_retention(service.engine, service.storefront_id, 10)  # FixedClock stands at noon on the 2nd of March

    reply = await service.send(
        [sent(client_time="2026-02-20T12:00:00Z"), sent(client_time="2026-02-20T11:59:59Z"), sent(client_time=None)]
    )

    assert reply.status_code == 207
    [refused] = reply.json()["rejected"]
    assert (refused["index"], refused["reason"], refused["pointer"]) == (1, "too_old", "/client_time")
    assert "10 days" in refused["detail"]
    assert await service.event_count() == 2


async def test_the_age_is_that_of_the_corrected_time(service: Service) -> None:
    await set_retention(service.engine, service.storefront_id, 10)
    event = sent(client_time="2020-01-01T00:00:00Z")

    reply = await service.send({"events": [event], "sent_at": "2020-01-01T00:01:00Z"})

    assert reply.status_code == 200


async def test_without_a_retention_history_is_welcome(service: Service) -> None:
    assert (await service.send([sent(client_time="1970-01-01T00:00:00Z")])).status_code == 200
