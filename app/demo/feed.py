"""Sends events to the service in bodies of many, and tries again where the service says that is safe."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

BODY_EVENTS = 500  # well under the service's limit; about 160 kB
ATTEMPTS = 8  # with the pauses below: gives a restarting service half a minute
PAUSE_MAX_SECONDS = 10.0


class FeedError(Exception):
    """The service did not take the events"""


@dataclass(frozen=True)
class FeedResult:
    stored_count: int = 0
    duplicate_count: int = 0
    rejected_count: int = 0


def feed_events(
    client: httpx.Client,
    server_key: str,
    events: Sequence[dict[str, object]],
    *,
    on_sent: Callable[[int], None],
    pause: Callable[[float], None] = time.sleep,
) -> FeedResult:
    """Posts all events in order.

    client: carries the address of the service.
    on_sent: told the number of events after each body the service has answered for.
    """
    total = FeedResult()
    for first in range(0, len(events), BODY_EVENTS):
        body = events[first : first + BODY_EVENTS]
        request = client.build_request(
            "POST",
            "/v1/events",
            json={"events": body},
            headers={"Authorization": f"Bearer {server_key}"},
        )
        answer = _final_answer(client, request, pause).json()
        total = FeedResult(
            total.stored_count + answer.get("stored", 0),
            total.duplicate_count + answer.get("duplicates", 0),
            total.rejected_count + len(answer.get("rejected", ())),
        )
        on_sent(len(body))
    return total


def _final_answer(client: httpx.Client, request: httpx.Request, pause: Callable[[float], None]) -> httpx.Response:
    """No reply, 429 and 5xx may be repeated, event ids make that safe; any other answer is final."""
    problem = ""
    for attempt in range(ATTEMPTS):
        wait_seconds = min(0.2 * 2**attempt, PAUSE_MAX_SECONDS)
        try:
            response = client.send(request)
        except httpx.TransportError as error:
            problem = f"no answer ({error})"
        else:
            if response.is_success:
                return response
            problem = f"status {response.status_code}: {response.text[:300]}"
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS and not response.is_server_error:
                break
            retry_after = response.headers.get("Retry-After", "")
            if retry_after.isdecimal():
                wait_seconds = min(float(retry_after), PAUSE_MAX_SECONDS)
        pause(wait_seconds)
    raise FeedError(f"The service did not take the events: {problem}")
