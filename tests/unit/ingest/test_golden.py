"""Requests in each wire format beside the events and refusals they become: tests/golden/<format>/<case>.

`docs/adding-a-format.md` says how a case is written.
"""

import json
from dataclasses import fields as fields_of
from typing import Any

import pytest

from app.domain.event import Event
from app.ingest.formats import FORMATS
from app.ingest.formats.base import WireFormat
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from tests.events import NOW
from tests.golden_cases import GoldenCase, golden_cases

# The same for all events of a request, or checked elsewhere.
LEFT_OUT = {"storefront_id", "received_at", "trust", "source", "is_bot"}
# What the others make of an event does not depend on its format.
TIME_STEPS = [(name, step) for name, step in STEPS if name in ("correct_clock", "check_time")]

EVENT_FIELDS = [field.name for field in fields_of(Event)]

CASES = [
    pytest.param(wire_format, case, id=f"{wire_format.name}-{case.name}")
    for wire_format in FORMATS
    for case in golden_cases(wire_format)
]


def shown(event: Event, sent: bool) -> dict[str, object]:
    """An event as the expectations write it: without what it has not, and without an id that we made up."""
    fields = {name: getattr(event, name) for name in EVENT_FIELDS if name not in LEFT_OUT}
    fields["event_id"] = event.event_id if sent else None
    for name in ("client_time", "occurred_at"):
        fields[name] = fields[name] and fields[name].isoformat()
    for name in ("sender", "campaign"):
        fields[name] = fields[name] and without_none(fields[name]._asdict())
    return without_none(fields)


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize(("wire_format", "case"), CASES)
def test_a_request_becomes_what_is_expected(wire_format: WireFormat, case: GoldenCase) -> None:
    expected = json.loads(case.expected_path.read_text(encoding="utf-8"))

    decoded = wire_format.decode(case.body, case.context)
    run_pipeline(decoded, NOW, TIME_STEPS)

    wanted = [without_none(event) for event in expected["events"]]
    assert (decoded.sent_at and decoded.sent_at.isoformat()) == expected["sent_at"]
    assert [shown(e, "event_id" in w) for e, w in zip(decoded.events, wanted, strict=True)] == wanted
    found = [{"index": r.index, "reason": r.reason, "pointer": r.pointer} for r in decoded.rejections]
    assert found == expected["rejections"]


def test_every_format_has_examples() -> None:
    assert {case.values[0] for case in CASES} == set(FORMATS)
