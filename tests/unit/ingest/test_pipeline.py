"""Steps get all events of a request; whom one refuses, the next ones do not see."""

from collections.abc import Sequence

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.formats.base import Decoded
from app.ingest.pipeline import Arrival, Fault, Faults, Step, run_pipeline
from tests.events import NOW, stored_event


def refusing(event_name: str, reason: RejectReason) -> Step:
    def step(events: Sequence[Event], arrival: Arrival) -> Faults:
        fault = Fault(reason, "/event", "not this one")
        return {place: fault for place, event in enumerate(events) if event.event_name == event_name}

    return step


def test_an_event_keeps_its_place_in_the_request_whoever_else_is_refused() -> None:
    seen: list[list[str]] = []

    def look(events: Sequence[Event], arrival: Arrival) -> Faults:
        seen.append([event.event_name for event in events])
        return {}

    events = [stored_event(name) for name in ("a", "b", "c", "d", "b")]
    # Of six that were sent, the third was refused before.
    decoded = Decoded(events, [0, 1, 3, 4, 5], lambda: [b"0", b"1", b"2", b"3", b"4", b"5"])
    steps = [
        ("no_d", refusing("d", RejectReason.TOO_OLD)),
        ("no_b", refusing("b", RejectReason.BAD_TIME)),
        ("look", look),
    ]
    run_pipeline(decoded, NOW, steps)

    assert seen == [["a", "c"]]
    assert ([event.event_name for event in decoded.events], decoded.indexes) == (["a", "c"], [0, 3])
    assert [(refused.index, refused.reason, refused.raw) for refused in decoded.rejections] == [
        (1, RejectReason.BAD_TIME, b"1"),
        (4, RejectReason.TOO_OLD, b"4"),
        (5, RejectReason.BAD_TIME, b"5"),
    ]
