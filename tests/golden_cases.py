"""Example requests under tests/golden, one folder per wire format; `docs/adding-a-format.md` says how to add one."""

import json
from dataclasses import dataclass
from pathlib import Path

from app.domain.event import Trust
from app.ingest.formats.base import RequestContext, WireFormat
from tests.events import NOW

GOLDEN = Path(__file__).parent / "golden"
# By the ending of the request's file; a head may say something else.
CONTENT_TYPES = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
    ".form": "application/x-www-form-urlencoded",
}


@dataclass(frozen=True)
class GoldenCase:
    """A request as its format's `decode` gets it, and the file that says what becomes of it."""

    name: str
    body: bytes
    context: RequestContext
    expected_path: Path


def golden_cases(wire_format: WireFormat) -> list[GoldenCase]:
    """By name. `<case>.head.json`, where there is one, sets fields of the request's context: path, query …

    Its `cookieless_key` is the text that the context's function gives.
    """
    return [_case(wire_format, path) for path in sorted((GOLDEN / wire_format.name).glob("*.request.*"))]


def _case(wire_format: WireFormat, request_path: Path) -> GoldenCase:
    name = request_path.name.split(".")[0]
    head_path = request_path.with_name(f"{name}.head.json")
    head = json.loads(head_path.read_text(encoding="utf-8")) if head_path.exists() else {}
    fields = {"path": wire_format.paths[0], "content_type": CONTENT_TYPES[request_path.suffix], **head}
    visitor_id = fields.pop("cookieless_key", None)
    context = RequestContext(1, Trust.BROWSER, NOW, max_events=1_000, cookieless_key=lambda: visitor_id, **fields)
    # Editors end a file with a line of its own, clients don't end a form like that.
    body = request_path.read_bytes().removesuffix(b"\n")
    return GoldenCase(name, body, context, request_path.with_name(f"{name}.expected.json"))
