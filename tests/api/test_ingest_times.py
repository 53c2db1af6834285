"""A sender's wrong clock is corrected on its way through HTTP; what it sent is kept beside."""

from tests.events import sent
from tests.service import Service

TIMES = """
    SELECT client_time::text, occurred_at::text, received_at::text FROM event ORDER BY client_time
"""


async def test_events_of_a_slow_clock_are_moved_and_keep_their_own_time(service: Service) -> None:
    """The sender's clock is an hour slow; it sends two events of five and two minutes ago."""
    events = [sent(client_time="2026-03-02T10:55:00Z"), sent(client_time="2026-03-02T10:58:00Z")]

    reply = await service.send({"events": events, "sent_at": "2026-03-02T11:00:00Z"})

    assert reply.status_code == 200
    assert [tuple(row) for row in await service.rows(TIMES)] == [
        ("2026-03-02 10:55:00+00", "2026-03-02 11:55:00+00", "2026-03-02 12:00:00+00"),
        ("2026-03-02 10:58:00+00", "2026-03-02 11:58:00+00", "2026-03-02 12:00:00+00"),
    ]


async def test_a_minute_is_no_wrong_clock(service: Service) -> None:
    event = sent(client_time="2026-03-02T11:58:00.5Z")

    await service.send({"events": [event], "sent_at": "2026-03-02T11:59:00Z"})

    [(client_time, occurred_at, _)] = await service.rows(TIMES)
    assert (client_time, occurred_at) == ("2026-03-02 11:58:00.5+00", "2026-03-02 11:58:00.5+00")


async def test_a_report_uses_the_corrected_time(service: Service) -> None:
    """By its own clock the visit was in March of last year."""
    event = sent(client_time="2025-03-02T12:00:00Z")
    await service.send({"events": [event], "sent_at": "2025-03-02T12:00:00Z"})

    reply = await service.funnel(
        {
            "range": {"start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
            "steps": [{"any_of": [{"event": "page_viewed"}]}],
        }
    )

    assert reply.json()["steps"][0]["reached_count"] == 1
