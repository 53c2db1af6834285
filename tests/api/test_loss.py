"""The loss report through HTTP: numbered events in, the share that never came out."""

from typing import Any

import pytest

from tests.api.problem import assert_problem
from tests.service import Service

URL = "/v1/reports/loss"
FEBRUARY = {"from": "2026-02-01", "to": "2026-03-01"}


def numbered(seq: int, visitor: str = "ana", **properties: object) -> dict[str, Any]:
    at = f"2026-02-{seq:02}T12:00:00Z"
    return {
        "event_id": f"{visitor}-{seq}",
        "visitor_id": visitor,
        "event": "page_viewed",
        "client_time": at,
        "seq": seq,
        "properties": properties,
    }


async def test_of_ten_events_two_never_came(service: Service) -> None:
    came = [numbered(seq, browser="Firefox") for seq in (1, 2, 3, 5, 6, 7, 9, 10)]
    await service.send(came)
    await service.send(came[3:])  # once more: the answer got lost
    await service.send([numbered(seq, "shop-server") for seq in (1, 9)], key=service.server_key)
    query = {**FEBRUARY, "property": "browser"}
    answer = (await service.client.get(URL, params=query, headers=service.reader)).json()
    assert (answer["received_count"], answer["lost_count"], answer["lost_ratio"]) == (8, 2, 0.2)
    [firefox] = answer["groups"]
    assert (firefox["value"], firefox["lost_count"]) == ("Firefox", 2)
    await service.send([numbered(4), numbered(8)])  # they had been kept while offline
    answer = (await service.client.get(URL, params=FEBRUARY, headers=service.reader)).json()
    assert (answer["received_count"], answer["lost_count"], answer["lost_ratio"]) == (10, 0, 0.0)


async def test_faulty_questions_say_what_to_change(service: Service) -> None:
    reply = await service.client.get(URL, params={**FEBRUARY, "dimension": "shoe_size"}, headers=service.reader)
    assert "there is no dimension 'shoe_size'" in str(assert_problem(reply, 422, "invalid")["errors"])


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_as_of_a_time_that_no_calendar_in_utc_has_is_answered(service: Service, as_of: str) -> None:
    reply = await service.client.get(URL, params={**FEBRUARY, "as_of": as_of}, headers=service.reader)
    assert (reply.status_code, reply.json()["received_count"]) == (200, 0)
