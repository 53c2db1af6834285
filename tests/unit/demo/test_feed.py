"""Feeding reaches every event once, waits when asked to, and gives up with a reason."""

import json

import httpx
import pytest

from app.demo.feed import FeedError, FeedResult, feed_events

EVENTS: list[dict[str, object]] = [{"event_id": str(number)} for number in range(1200)]


class Service:
    """Answers with the prepared replies first, then stores what comes."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.replies = list(replies)
        self.stored: set[str] = set()
        self.sizes: list[int] = []
        self.pauses: list[float] = []
        self.progress: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer server-key"
        ids = [event["event_id"] for event in json.loads(request.content)["events"]]
        self.sizes.append(len(ids))
        if self.replies:
            reply = self.replies.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply
        new = set(ids) - self.stored
        self.stored |= new
        return httpx.Response(200, json={"received": len(ids), "stored": len(new), "duplicates": len(ids) - len(new)})

    def take(self, events: list[dict[str, object]]) -> FeedResult:
        with httpx.Client(transport=httpx.MockTransport(self), base_url="http://shop.test") as client:
            return feed_events(client, "server-key", events, on_sent=self.progress.append, pause=self.pauses.append)


def test_events_go_out_in_bodies_of_at_most_500() -> None:
    service = Service()

    assert service.take(EVENTS) == FeedResult(stored_count=1200)
    assert service.sizes == [500, 500, 200]
    assert service.progress == [500, 500, 200]


def test_feeding_again_stores_nothing_twice() -> None:
    service = Service()
    service.take(EVENTS[:700])

    assert service.take(EVENTS) == FeedResult(stored_count=500, duplicate_count=700)


def test_a_lost_connection_and_a_server_error_are_repeated() -> None:
    service = Service(httpx.ConnectError("refused"), httpx.Response(503))

    assert service.take(EVENTS[:10]) == FeedResult(stored_count=10)
    assert service.progress == [10]
    assert service.pauses == [0.2, 0.4]


def test_a_busy_service_is_given_the_time_it_asks_for() -> None:
    service = Service(httpx.Response(429, headers={"Retry-After": "3"}))

    service.take(EVENTS[:10])

    assert service.pauses == [3.0]


def test_refused_events_are_counted_and_the_rest_goes_on() -> None:
    rejected = [{"index": 0, "reason": "name_missing"}]
    service = Service(httpx.Response(207, json={"received": 500, "stored": 499, "rejected": rejected}))

    assert service.take(EVENTS[:510]) == FeedResult(stored_count=509, rejected_count=1)


def test_a_refused_key_ends_the_feed_at_once_with_the_reason() -> None:
    service = Service(httpx.Response(401, text="unknown key"))

    with pytest.raises(FeedError, match="401: unknown key"):
        service.take(EVENTS)
    assert service.sizes == [500]


def test_a_service_that_stays_away_ends_the_feed() -> None:
    service = Service(*[httpx.ConnectError("refused")] * 8)

    with pytest.raises(FeedError, match="no answer"):
        service.take(EVENTS)
    assert service.sizes == [500] * 8
