"""Bots are stored and marked; what a visitor has not consented to is counted and not kept anywhere."""

import pytest

from app.config import Settings
from app.storage.database import DatabaseUrl
from tests.api.test_ledger import ledger
from tests.api.test_ops import metrics
from tests.events import many, sent
from tests.fakes import FixedClock
from tests.service import Service, running_service

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"

IN_MARCH = {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}
VISITED = [{"any_of": [{"event": "page_viewed"}]}]


async def stored(service: Service) -> int:
    return await service.event_count()


async def kept(service: Service) -> list[str]:
    """Everything of visitors that is in a table."""
    rows = await service.rows(
        "SELECT visitor_key FROM visitor UNION ALL SELECT encode(raw, 'escape') FROM quarantined_event"
    )
    return [str(value) for (value,) in rows]


async def test_a_bot_is_told_nothing_and_its_events_are_stored_apart(service: Service, clock: FixedClock) -> None:
    known = many(2)
    reply = await service.send(known, headers={"User-Agent": GOOGLEBOT}, receipts="1")
    again = await service.send(known, headers={"User-Agent": GOOGLEBOT})
    await service.send(sent(), headers={"User-Agent": CHROME})
    clock.advance(60)

    assert (reply.status_code, reply.json()["stored"]) == (200, 2)
    assert {receipt["outcome"] for receipt in reply.json()["receipts"]} == {"stored"}
    assert again.json()["duplicates"] == 2
    assert await service.rows("SELECT is_bot, count(*) FROM event GROUP BY 1 ORDER BY 1") == [(True, 2), (None, 1)]
    assert (await ledger(service))[0] == {"received": 5, "stored": 1, "bot": 2, "duplicate": 2}
    found = await metrics(service)
    assert found['footfall_ingest_events_total{format="native",outcome="bot"}'] == 2
    assert found['footfall_ingest_events_total{format="native",outcome="stored"}'] == 1


async def test_a_server_sends_on_behalf_of_people_whatever_it_calls_itself(service: Service) -> None:
    await service.send(sent(), key=service.server_key, headers={"User-Agent": GOOGLEBOT})

    assert await service.rows("SELECT is_bot FROM event") == [(None,)]


async def test_reports_leave_bots_out_unless_asked(service: Service) -> None:
    await service.send(sent(visitor_id="ana"), headers={"User-Agent": CHROME})
    await service.send(sent(visitor_id="crawler"), headers={"User-Agent": GOOGLEBOT})
    question = {"range": IN_MARCH, "steps": VISITED}

    people = (await service.funnel(question)).json()
    everybody = (await service.funnel({**question, "include_bots": True})).json()
    in_range = {"from": "2026-03-01", "to": "2026-04-01"}
    stages = await service.client.get("/v1/reports/stages", params=in_range, headers=service.reader)
    all_stages = await service.client.get(
        "/v1/reports/stages", params={**in_range, "include_bots": "true"}, headers=service.reader
    )

    assert people["steps"][0]["reached_count"] == 1
    assert everybody["steps"][0]["reached_count"] == 2
    assert stages.json()["steps"][0]["reached_count"] == 1
    assert all_stages.json()["steps"][0]["reached_count"] == 2


@pytest.mark.parametrize(
    "body",
    [
        sent(visitor_id="no", consent=False),
        [sent(visitor_id="no", consent=False)],
        {"events": [sent(visitor_id="no")], "consent": False},
        {"events": [sent(visitor_id="no", consent=True)], "consent": False},
        {"events": [sent(visitor_id="no", seq=-1)], "consent": False},
        sent(visitor_id="no", consent=False, seq=-1),
    ],
)
async def test_an_event_without_consent_is_counted_and_not_kept(
    service: Service, clock: FixedClock, body: object
) -> None:
    reply = await service.send(body, receipts="1")
    clock.advance(60)

    assert reply.status_code == 200
    assert reply.json() == {
        "received": 1,
        "stored": 0,
        "duplicates": 0,
        "no_consent": 1,
        "receipts": [{"index": 0, "event_id": None, "outcome": "no_consent"}],
    }
    assert await kept(service) == []
    assert (await ledger(service))[0] == {"received": 1, "no_consent": 1}
    found = await metrics(service)
    assert found['footfall_ingest_events_total{format="native",outcome="no_consent"}'] == 1


async def test_consent_however_it_is_spelt_in_json(service: Service) -> None:
    body = b'[{"event": "page_viewed", "visitor_id": "no", "\\u0063onsent": false}]'

    assert (await service.send_bytes(body)).json()["no_consent"] == 1
    assert await kept(service) == []


async def test_a_body_that_cannot_be_read_is_not_kept_without_consent(service: Service, clock: FixedClock) -> None:
    reply = await service.send_bytes(b'[{"event": "page_viewed", "visitor_id": "no", "consent": false')
    clock.advance(60)

    assert reply.status_code == 400
    assert await kept(service) == []
    assert (await ledger(service))[0] == {"received": 1, "no_consent": 1}


async def test_neighbours_with_consent_are_stored(service: Service) -> None:
    reply = await service.send(
        [
            sent(visitor_id="no", consent=False),
            sent(visitor_id="ana", consent=True),
            sent(visitor_id="ben", properties={"consent": False}),
            sent(visitor_id="eve", consent=False, seq=-1),
            sent(visitor_id="kim", seq=-1, client_time=None),
        ],
        receipts="1",
    )

    outcomes = [receipt["outcome"] for receipt in reply.json()["receipts"]]
    assert reply.status_code == 207
    assert outcomes == ["no_consent", "stored", "stored", "no_consent", "rejected"]
    assert await stored(service) == 2


async def test_consent_is_true_or_false(service: Service) -> None:
    assert (await service.send(sent(consent="no"))).status_code == 422
    assert (await service.send({"events": [sent()], "consent": "no"})).status_code == 400


@pytest.mark.parametrize("is_respected", [True, False])
async def test_global_privacy_control_is_honoured_where_the_settings_say_so(
    settings: Settings, database: DatabaseUrl, is_respected: bool
) -> None:
    changed = settings.model_copy(update={"respect_gpc": is_respected})
    async with running_service(changed, database) as service:
        reply = await service.send([sent(), {}], headers={"Sec-GPC": "1"})
        await service.send(sent(visitor_id="order", client_time=None), key=service.server_key, headers={"Sec-GPC": "1"})

        assert reply.json().get("no_consent", 0) == (2 if is_respected else 0)
        assert await stored(service) == (1 if is_respected else 2)
        assert len(await kept(service)) == (1 if is_respected else 3)
