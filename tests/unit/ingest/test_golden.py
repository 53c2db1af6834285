"""Requests in each wire format beside the events and refusals they become: tests/golden/<format>/<case>."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from app.domain.event import Event, Trust
from app.ingest.formats import FORMATS
from app.ingest.formats.base import RequestContext, WireFormat
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from tests.events import NOW

GOLDEN = Path(__file__).parents[2] / "golden"
CONTENT_TYPES = {".json": "application/json", ".ndjson": "application/x-ndjson"}
# The same for all events of a request, or checked elsewhere.
LEFT_OUT = {"storefront_id", "received_at", "trust", "source", "is_bot"}

CASES = [
    pytest.param(wire_format, request, id=f"{wire_format.name}-{request.name.split('.')[0]}")
    for wire_format in FORMATS
    for request in sorted((GOLDEN / wire_format.name).glob("*.request.*"))
]


def shown(event: Event, sent: bool) -> dict[str, object]:
    """An event as the expectations write it; ids that we made up are None."""
    fields = {name: value for name, value in asdict(event).items() if name not in LEFT_OUT}
    fields["event_id"] = event.event_id if sent else None
    for name in ("client_time", "occurred_at"):
        fields[name] = fields[name] and fields[name].isoformat()
    return fields


@pytest.mark.parametrize(("wire_format", "request_path"), CASES)
def test_a_request_becomes_what_is_expected(wire_format: WireFormat, request_path: Path) -> None:
    expected = json.loads((request_path.parent / f"{request_path.name.split('.')[0]}.expected.json").read_text())
    context = RequestContext(1, Trust.BROWSER, NOW, CONTENT_TYPES[request_path.suffix], max_events=1_000)

    decoded = wire_format.decode(request_path.read_bytes(), context)
    run_pipeline(decoded, NOW, STEPS)

    wanted = expected["events"]
    assert (decoded.sent_at and decoded.sent_at.isoformat()) == expected["sent_at"]
    assert [shown(e, bool(w["event_id"])) for e, w in zip(decoded.events, wanted, strict=True)] == wanted
    found = [{"index": r.index, "reason": r.reason, "pointer": r.pointer} for r in decoded.rejections]
    assert found == expected["rejections"]


def test_every_format_has_examples() -> None:
    assert {case.values[0] for case in CASES} == set(FORMATS)
