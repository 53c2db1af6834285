"""The document at /openapi.json tells the truth about the ingest route, which is described by hand."""

from typing import Any

import msgspec

from app.domain.outcome import Outcome, RejectReason
from app.ingest.formats.native_event import NativeEvent
from tests.events import many
from tests.service import Service

# The table of replies in the design.
STATUSES = {"200", "202", "207", "400", "401", "403", "408", "413", "415", "422", "429", "503", "507"}


async def document(service: Service) -> dict[str, Any]:
    reply = await service.client.get("/openapi.json")
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json()
    return found


async def test_the_ingest_route_documents_every_status_it_answers(service: Service) -> None:
    operation = (await document(service))["paths"]["/v1/events"]["post"]

    assert set(operation["responses"]) == STATUSES
    media_types = {status: set(reply["content"]) for status, reply in operation["responses"].items()}
    good = {"200", "202", "207", "422"}
    assert {s for s, types in media_types.items() if types == {"application/json"}} == good
    assert {s for s, types in media_types.items() if types == {"application/problem+json"}} == STATUSES - good


async def test_the_body_is_documented_field_by_field(service: Service) -> None:
    found = await document(service)

    event = found["components"]["schemas"]["NativeEvent"]
    assert set(event["properties"]) == set(NativeEvent.__struct_fields__)
    assert event["required"] == ["event"]
    content = found["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "text/plain", "application/x-ndjson"}


async def test_a_reply_has_the_documented_members_and_values(service: Service) -> None:
    schema = (await document(service))["paths"]["/v1/events"]["post"]["responses"]["207"]
    reply = schema["content"]["application/json"]["schema"]["properties"]

    answer = (await service.send([*many(1), {}], receipts="1")).json()

    assert set(answer) <= set(reply)
    assert set(answer["rejected"][0]) == set(reply["rejected"]["items"]["properties"])
    assert set(answer["receipts"][0]) == set(reply["receipts"]["items"]["properties"])
    assert set(reply["rejected"]["items"]["properties"]["reason"]["enum"]) == set(RejectReason)
    assert set(reply["receipts"]["items"]["properties"]["outcome"]["enum"]) == set(Outcome) - {Outcome.BOT}


async def test_a_problem_has_the_documented_members(service: Service) -> None:
    schema = (await document(service))["components"]["schemas"]["Problem"]

    problem = (await service.send({"events": 5})).json()

    assert set(schema["required"]) <= set(problem) <= set(schema["properties"])


async def test_every_reference_of_the_document_leads_somewhere(service: Service) -> None:
    found = await document(service)
    text = msgspec.json.encode(found).decode()

    for reference in {part.split('"')[0] for part in text.split('"$ref":"')[1:]}:
        place: Any = found
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
