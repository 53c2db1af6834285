"""The ingest route in the OpenAPI document, described by hand because it is a plain ASGI endpoint."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.domain.outcome import Outcome, RejectReason
from app.ingest.formats.native_event import NativeEvent
from app.problems import MEDIA_TYPE, PROBLEM_SCHEMA

_EVENT = "#/components/schemas/NativeEvent"
_PROBLEM = "#/components/schemas/Problem"

_REJECTED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "reason", "pointer", "detail"],
        "properties": {
            "index": {"type": "integer", "description": "place in the request, from 0"},
            "reason": {"enum": list(RejectReason)},
            "pointer": {"type": "string", "description": "JSON pointer into the event"},
            "detail": {"type": "string", "description": "what to change"},
        },
    },
}
_RECEIPTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "event_id", "outcome"],
        "properties": {
            "index": {"type": "integer"},
            "event_id": {"type": ["string", "null"]},
            "outcome": {"enum": [outcome for outcome in Outcome if outcome is not Outcome.BOT]},
        },
    },
}
_REPLY = {
    "type": "object",
    "required": ["received", "stored", "duplicates"],
    "properties": {
        "received": {"type": "integer"},
        "stored": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "spooled": {"type": "integer", "description": "kept on disk until Postgres is back"},
        "no_consent": {"type": "integer", "description": "counted and not kept"},
        "rejected": _REJECTED,
        "receipts": _RECEIPTS,
    },
}
_SIGNATURE_HEADERS = {
    "Footfall-Key-Id": "of the server key that signs",
    "Footfall-Timestamp": "seconds since 1970",
    "Footfall-Signature": "v1= and the HMAC-SHA256 of timestamp, dot and body, in hex",
}
_REPLIES = {
    "200": "Every event is stored, or was already.",
    "202": "Every event is on disk; Postgres is away and gets them later.",
    "207": "Some events are refused, the others are stored.",
    "422": "Every event is refused.",
}
_PROBLEMS = {
    "400": "The body can't be read; nothing is stored.",
    "401": "No key, an unknown one, or a signature that does not fit.",
    "403": "The key, or its use from this origin, is not allowed.",
    "408": "Headers or body came too slowly.",
    "413": "Too many bytes or events in one request.",
    "415": "Content type or encoding is not understood.",
    "429": "This storefront has too many events waiting; see Retry-After.",
    "503": "Events can't be taken at the moment; see Retry-After.",
    "507": "Postgres is away, and there is no room on disk to keep events until it is back; see Retry-After.",
}


def describe_ingest(app: FastAPI) -> None:
    """Adds the route to the document that FastAPI makes of the others."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, components = msgspec.json.schema_components([NativeEvent], ref_template="#/components/schemas/{name}")
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(components, Problem=PROBLEM_SCHEMA)
            schema["components"]["securitySchemes"] = {"Bearer": {"type": "http", "scheme": "bearer"}}
            schema["paths"]["/v1/events"] = {"post": _operation()}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _operation() -> dict[str, Any]:
    events = {"type": "array", "items": {"$ref": _EVENT}}
    envelope = {
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": events,
            "sent_at": {"type": ["string", "null"], "format": "date-time"},
            "consent": {"type": ["boolean", "null"]},
        },
        "additionalProperties": False,
    }
    body = {"schema": {"anyOf": [{"$ref": _EVENT}, events, envelope]}}
    lines = {"schema": {"type": "string", "description": "one event per line"}}
    replies = {
        status: {"description": text, "content": {"application/json": {"schema": _REPLY}}}
        for status, text in _REPLIES.items()
    }
    errors = {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}}}}
        for status, text in _PROBLEMS.items()
    }
    return {
        "tags": ["ingestion"],
        "summary": "Send events",
        "description": "One event, an array, an object with `events` and more, or NDJSON; may be compressed.",
        "operationId": "send_events",
        "security": [{"Bearer": []}, {}],
        "parameters": [
            *(
                {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}
                for name, description in _SIGNATURE_HEADERS.items()
            ),
            {"name": "key", "in": "query", "schema": {"type": "string"}, "description": "a write key"},
            {
                "name": "receipts",
                "in": "query",
                "schema": {"enum": ["1"]},
                "description": "one fate per event",
            },
            {
                "name": "source",
                "in": "query",
                "schema": {"enum": ["import"]},
                "description": "history, server keys",
            },
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": body, "text/plain": body, "application/x-ndjson": lines},
        },
        "responses": {**replies, **errors},
    }
