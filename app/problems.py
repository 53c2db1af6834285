"""Errors as replies: RFC 9457 `application/problem+json`, the one place where they are mapped."""

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from asyncpg import InterfaceError, PostgresError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.errors import (
    FieldError,
    FootfallError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unavailable,
    Unreadable,
)
from app.outage import outage

MEDIA_TYPE = "application/problem+json"
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"detail": {"type": "string"}, "pointer": {"type": "string"}},
            },
        },
    },
}
# For the OpenAPI document: any route may answer so.
PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "A problem (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
}
TEXT_SHOWN_MAX = 500  # characters of any one text: replies may quote the sender, not repeat a megabyte
OUTAGE_RETRY_SECONDS = 5
TOO_LARGE = "The body is larger than this service takes (FOOTFALL_REQUEST_MAX_BYTES)."
NO_OBJECT = "A JSON object belongs here."
NO_BODY_OBJECT = "The body has to be a JSON object, sent with Content-Type: application/json."
ERRORS_SHOWN_MAX = 100  # faults listed in one reply: enough to see the pattern

logger = logging.getLogger(__name__)


def problem_response(error: FootfallError, instance: str) -> Response:
    """The reply for an error; instance is the request's id."""
    problem: dict[str, object] = {
        "type": f"urn:footfall:problem:{error.type_slug}",
        "title": error.title,
        "status": error.status,
        "detail": _shown(error.detail),
        "instance": _shown(instance),
    }
    if error.errors:
        problem["errors"] = [
            {"detail": _shown(fault.detail), "pointer": _shown(fault.pointer)}
            for fault in error.errors[:ERRORS_SHOWN_MAX]
        ]
    body = json.dumps(problem, ensure_ascii=False)
    return Response(body, status_code=error.status, headers=error.headers, media_type=MEDIA_TYPE)


def too_large_response(scope: Scope) -> Response:
    """Before a body is read that is too large by its own account."""
    return problem_response(TooLarge(TOO_LARGE), request_id(Request(scope)))


def install(app: FastAPI) -> None:
    """Make every error of the application leave as a problem."""
    app.add_exception_handler(FootfallError, _on_footfall_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for of_the_database in (SQLAlchemyError, PostgresError, InterfaceError, OSError):
        app.add_exception_handler(of_the_database, _on_database_error)
    app.add_exception_handler(Exception, _on_unexpected)


def request_id(request: Request) -> str:
    """The id the request carries in `request.state.request_id`, or a new one."""
    known = getattr(request.state, "request_id", None)
    return str(known or uuid.uuid4())


async def _on_footfall_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FootfallError)
    return problem_response(error, request_id(request))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(_from_faults(error.errors()), request_id(request))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework itself refuses; its detail is often no more than the status in words."""
    assert isinstance(error, HTTPException)
    return problem_response(_from_framework(request, error), request_id(request))


async def _on_database_error(request: Request, error: Exception) -> Response:
    """Postgres being away is nobody's mistake: no trace, and the request may be repeated."""
    trouble = outage(error)
    if trouble is None:
        return unexpected_response(error, request_id(request))
    facts = {"action": "database_away", "request_id": request_id(request), "error": type(error).__name__}
    logger.warning("database can't be used", extra=facts)
    detail = f"The database {trouble}; try again."
    return problem_response(Unavailable(detail, retry_after_seconds=OUTAGE_RETRY_SECONDS), request_id(request))


async def _on_unexpected(request: Request, error: Exception) -> Response:
    return unexpected_response(error, request_id(request))


def unexpected_response(error: Exception, instance: str) -> Response:
    """Last resort: the log gets the exception, the client gets the id to find it by."""
    logger.error("request failed", exc_info=error, extra={"action": "request_failed", "request_id": instance})
    return problem_response(FootfallError("Something broke on our side. The log has it under this id."), instance)


def _from_framework(request: Request, error: HTTPException) -> FootfallError:
    """An exception of the framework as one of our errors, told apart by status."""
    headers = error.headers or {}
    match error.status_code:
        case 404:
            return NotFound("Nothing is served at this path.", headers=headers)
        case 405:
            allowed = headers.get("Allow", "another method")
            return MethodNotAllowed(f"{request.method} is not answered here; use {allowed}.", headers=headers)
        case 400:
            return Unreadable(str(error.detail), headers=headers)
        case 413:
            return TooLarge(TOO_LARGE, headers=headers)
        case status:
            other = FootfallError(str(error.detail), headers=headers)
            other.status, other.type_slug = status, f"http-{status}"
            return other


def _from_faults(faults: Sequence[Mapping[str, Any]]) -> FootfallError:
    """FastAPI's list of faults as one of our errors."""
    for fault in faults:
        if fault["type"] == "json_invalid":  # its place is an offset, not a field
            reason = fault.get("ctx", {}).get("error", fault["msg"])
            return Unreadable(f"The body is not valid JSON: {reason} at character {fault['loc'][-1]}.")
    errors = [_field_error(fault) for fault in faults]
    count = f"{len(errors)} faults" if len(errors) > 1 else "1 fault"
    return Invalid(f"The request has {count}; see errors.", errors=errors)


def _field_error(fault: Mapping[str, Any]) -> FieldError:
    """Faults of the body point into it; those of a parameter name it: `/query/from`."""
    place, *path = fault["loc"]
    detail = fault["msg"].removeprefix("Value error, ")  # pydantic's mark for what our own checks raise
    if fault["type"] == "model_attributes_type":
        detail = NO_OBJECT
    if place == "body" and not path and fault["type"] in ("model_attributes_type", "missing"):
        detail = NO_BODY_OBJECT
    if place == "body" or not path:
        return FieldError(detail, _pointer(path))
    name = ".".join(str(part) for part in path)
    return FieldError(f"{place} parameter {name}: {detail}", _pointer(fault["loc"]))


def _pointer(path: Sequence[str | int]) -> str:
    """A JSON pointer, RFC 6901: "" is the whole body."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _shown(text: str) -> str:
    """Text that may quote input: of bounded length, and encodable."""
    if len(text) > TEXT_SHOWN_MAX:
        text = text[: TEXT_SHOWN_MAX - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()
