"""When an event occurred: as sent, unless the sender's clock is wrong (semantics, times of an event)."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.event import Event
from app.domain.outcome import RejectReason
from app.ingest.formats.base import Decoded
from app.ingest.pipeline import run_pipeline
from app.ingest.steps import STEPS
from tests.events import NOW, stored_event


def at(text: str) -> datetime:
    """A time of the day on which we receive, as hh:mm:ss, or a full date."""
    return datetime.fromisoformat(text if "-" in text else f"2026-03-02T{text}").replace(tzinfo=UTC)


def decoded(*events: Event, sent_at: datetime | None = None) -> Decoded:
    raws = [event.event_name.encode() for event in events]
    return Decoded(list(events), range(len(events)), lambda: raws, sent_at=sent_at)


def occurred_at(client_time: datetime | None, sent_at: datetime | None) -> datetime:
    event = stored_event(client_time=client_time, occurred_at=client_time or NOW)
    batch = decoded(event, sent_at=sent_at)
    run_pipeline(batch, NOW, STEPS)
    assert batch.rejections == []
    assert event.client_time == client_time
    return event.occurred_at


@pytest.mark.parametrize(
    ("client_time", "sent_at", "expected"),
    [
        # Without sent_at there is nothing to correct by.
        ("11:00:00", None, "11:00:00"),
        # Up to 60 s are the network's and no fault of the clock.
        ("11:58:00", "11:59:00", "11:58:00"),
        ("11:58:00", "12:01:00", "11:58:00"),
        # One second more, and the event moves by all of the difference.
        ("11:58:00", "11:58:59", "11:59:01"),
        ("11:58:00", "12:01:01", "11:56:59"),
        # An hour slow, five minutes in the queue; a day fast; a clock that was never set.
        ("10:55:00", "11:00:00", "11:55:00"),
        ("2026-03-03 11:50:00", "2026-03-03 12:00:00", "11:50:00"),
        ("2000-01-01 00:00:00", "2000-01-01 00:00:30", "11:59:30"),
    ],
)
def test_occurred_at_is_client_time_corrected_by_a_wrong_clock(
    client_time: str, sent_at: str | None, expected: str
) -> None:
    assert occurred_at(at(client_time), at(sent_at) if sent_at else None) == at(expected)


@pytest.mark.parametrize("sent_at", [None, "11:00:00", "12:00:00"])
def test_without_client_time_it_occurred_when_we_received_it(sent_at: str | None) -> None:
    assert occurred_at(None, at(sent_at) if sent_at else None) == NOW


def test_a_clock_two_days_fast_is_corrected_before_it_is_judged() -> None:
    ahead = NOW + timedelta(days=2)

    assert occurred_at(ahead, ahead) == NOW


@pytest.mark.parametrize(
    ("client_time", "reason"),
    [
        ("2026-03-03 12:00:00", None),
        ("2026-03-03 12:00:01", RejectReason.FUTURE_TIME),
        ("9999-12-31 23:59:59", RejectReason.FUTURE_TIME),
        ("1970-01-01 00:00:00", None),
        ("1969-12-31 23:59:59", RejectReason.BAD_TIME),
        ("0001-01-01 00:00:00", RejectReason.BAD_TIME),
    ],
)
def test_impossible_times_are_refused_and_not_clamped(client_time: str, reason: RejectReason | None) -> None:
    time = at(client_time)
    batch = decoded(stored_event(client_time=time, occurred_at=time))

    run_pipeline(batch, NOW, STEPS)

    assert [rejection.reason for rejection in batch.rejections] == ([reason] if reason else [])


def test_a_correction_beyond_the_calendar_is_refused() -> None:
    batch = decoded(stored_event(client_time=at("9999-12-31 00:00:00")), sent_at=at("2026-01-01 00:00:00"))

    run_pipeline(batch, NOW, STEPS)

    assert [rejection.reason for rejection in batch.rejections] == [RejectReason.BAD_TIME]


def test_refused_events_keep_their_place_and_bytes_and_the_others_theirs() -> None:
    future = NOW + timedelta(days=3)
    events = [
        stored_event("first"),
        stored_event("second", client_time=future, occurred_at=future),
        stored_event("third"),
    ]
    batch = decoded(*events)

    run_pipeline(batch, NOW, STEPS)

    assert [(r.index, r.raw) for r in batch.rejections] == [(1, b"second")]
    assert (list(batch.indexes), [event.event_name for event in batch.events]) == ([0, 2], ["first", "third"])
