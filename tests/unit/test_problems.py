"""Every error leaves as an RFC 9457 problem that says what to change, and shows nothing it should not."""

import json
import logging
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.requests import Request

from app.errors import FieldError, FootfallError, Forbidden, Invalid, TooMany, Unauthenticated, Unavailable
from app.outage import outage
from app.problems import ERRORS_SHOWN_MAX, TEXT_SHOWN_MAX, install, problem_response

LONE_SURROGATE = "\ud800"


AWAY = (
    ConnectionRefusedError(111, "Connect call failed ('10.0.0.5', 5432)"),
    TimeoutError(),
    PoolTimeoutError("QueuePool limit reached"),
    asyncpg.CannotConnectNowError("starting up"),
    asyncpg.InterfaceError("connection is closed"),
    OperationalError("SELECT secret FROM key", {}, asyncpg.AdminShutdownError("stopping")),
    OperationalError("SELECT secret FROM key", {}, RuntimeError("gone"), connection_invalidated=True),
)


class Step(BaseModel):
    event: str


class Funnel(BaseModel):
    steps: list[Step] = Field(min_length=1)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install(app)

    @app.post("/funnel")
    async def funnel(funnel: Funnel) -> int:
        return len(funnel.steps)

    @app.get("/stages")
    async def stages(limit: int) -> int:
        return limit

    @app.get("/forbidden")
    async def forbidden(request: Request) -> None:
        request.state.request_id = "req-7"
        raise Forbidden("This key may write; use a read key.")

    @app.get("/unusable/{number}")
    async def unusable(number: int) -> None:
        raise AWAY[number]

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("SELECT secret FROM key")

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(error: FootfallError) -> dict[str, object]:
    body = json.loads(bytes(problem_response(error, "req-1").body))
    assert isinstance(body, dict)
    return body


async def test_an_error_carries_all_the_fields_of_a_problem(client: httpx.AsyncClient) -> None:
    reply = await client.get("/forbidden")

    assert reply.status_code == 403
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json() == {
        "type": "urn:footfall:problem:forbidden",
        "title": "This key may not do that",
        "status": 403,
        "detail": "This key may write; use a read key.",
        "instance": "req-7",
    }


async def test_faults_in_the_body_point_to_their_fields(client: httpx.AsyncClient) -> None:
    reply = await client.post("/funnel", json={"steps": [{"event": "product_viewed"}, {"event": 5}]})

    assert reply.status_code == 422
    assert reply.json()["type"] == "urn:footfall:problem:invalid"
    assert reply.json()["errors"] == [{"detail": "Input should be a valid string", "pointer": "/steps/1/event"}]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b'{"steps": []}', "application/x-www-form-urlencoded"), (b"[]", "application/json"), (b"", "application/json")],
)
async def test_a_body_that_is_no_json_object_is_told_what_it_has_to_be(
    client: httpx.AsyncClient, body: bytes, content_type: str
) -> None:
    reply = await client.post("/funnel", content=body, headers={"content-type": content_type})

    detail = "The body has to be a JSON object, sent with Content-Type: application/json."
    assert reply.status_code == 422
    assert reply.json()["errors"] == [{"detail": detail, "pointer": ""}]


async def test_a_text_in_the_place_of_an_object_is_pointed_to(client: httpx.AsyncClient) -> None:
    reply = await client.post("/funnel", json={"steps": ["product_viewed"]})

    assert reply.json()["errors"] == [{"detail": "A JSON object belongs here.", "pointer": "/steps/0"}]


async def test_a_faulty_parameter_is_named(client: httpx.AsyncClient) -> None:
    reply = await client.get("/stages", params={"limit": "many"})

    assert reply.status_code == 422
    [fault] = reply.json()["errors"]
    assert fault["pointer"] == "/query/limit"
    assert fault["detail"].startswith("query parameter limit: Input should be a valid integer")


@pytest.mark.parametrize("body", [b'{"steps": [', b"\xff\xfe\xfa", b'{"steps": ' + b"[" * 100_000])
async def test_a_body_that_is_no_json_is_unreadable(client: httpx.AsyncClient, body: bytes) -> None:
    reply = await client.post("/funnel", content=body, headers={"content-type": "application/json"})

    assert reply.status_code == 400
    assert reply.json()["type"] == "urn:footfall:problem:unreadable"


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: httpx.AsyncClient) -> None:
    missing, wrong_method = await client.get("/nowhere"), await client.get("/funnel")

    assert (missing.status_code, missing.json()["type"]) == (404, "urn:footfall:problem:not-found")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    assert wrong_method.json()["detail"] == "GET is not answered here; use POST."


@pytest.mark.parametrize("number", range(len(AWAY)))
async def test_a_database_that_is_away_may_be_asked_again(client: httpx.AsyncClient, number: int) -> None:
    reply = await client.get(f"/unusable/{number}")

    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert reply.json()["type"] == "urn:footfall:problem:unavailable"
    assert not [secret for secret in ("secret", "10.0.0.5") if secret in reply.text]


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError("SELECT secret", {}, asyncpg.UndefinedColumnError("no column secret")),
        PermissionError(13, "Permission denied", "mirror.duckdb"),
        OSError(28, "No space left on device"),
        asyncpg.DataError("value out of range"),
    ],
)
def test_what_is_no_outage_is_not_called_one(error: Exception) -> None:
    assert outage(error) is None


async def test_the_unexpected_is_logged_in_full_and_told_in_none(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="app.problems"):
        reply = await client.get("/broken")

    assert reply.status_code == 500
    assert "secret" not in reply.text
    [record] = [record for record in caplog.records if record.name == "app.problems"]
    assert record.exc_info is not None
    assert vars(record)["request_id"] == reply.json()["instance"]


@pytest.mark.parametrize("hostile", [LONE_SURROGATE, "\x00", "\u2028", '"', "a\nb", "\U0001f600"])
def test_quoted_input_is_always_encodable(hostile: str) -> None:
    error = Invalid(f"no {hostile}", errors=[FieldError(hostile, f"/{hostile}")])

    assert str(problem(error)["detail"]).startswith("no ")


def test_a_lone_surrogate_is_shown_as_it_was_written() -> None:
    assert problem(Invalid(LONE_SURROGATE))["detail"] == "\\ud800"


def test_quoted_input_is_clipped() -> None:
    error = Invalid("x" * 1_000_000, errors=[FieldError("bad", f"/{i}") for i in range(10_000)])

    shown = problem(error)

    assert len(str(shown["detail"])) == TEXT_SHOWN_MAX
    assert isinstance(shown["errors"], list)
    assert len(shown["errors"]) == ERRORS_SHOWN_MAX


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (Unauthenticated("Send a key."), "www-authenticate", 'Bearer realm="footfall"'),
        (TooMany("Wait.", retry_after_seconds=2), "retry-after", "2"),
        (Unavailable("Wait.", retry_after_seconds=5), "retry-after", "5"),
    ],
)
def test_an_error_brings_the_header_of_its_status(error: FootfallError, header: str, value: str) -> None:
    assert problem_response(error, "req-1").headers[header] == value
