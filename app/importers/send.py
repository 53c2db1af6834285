"""Sends events to the service's own endpoint in their order, and repeats what may be repeated."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import msgspec

from app.importers.base import ImportFailed

BODY_MAX_EVENTS = 1_000  # one commit of the service's batcher
BODY_MAX_BYTES = 1 << 20  # 1 MiB: well below what the service accepts in one body
PATIENCE_SECONDS = 300.0  # a restart or a failover of Postgres takes less
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MAX_SECONDS = 30.0
EXAMPLES_MAX = 5  # refused events kept to show
EXAMPLE_BYTES = 300  # of each of them


class ImportRefused(ImportFailed):
    """The service does not take these events; sending them again would not help."""


class ImportGaveUp(ImportFailed):
    """The service has not answered for too long."""


class Rejection(msgspec.Struct):
    """One entry of `rejected` in the service's reply."""

    index: int
    reason: str
    pointer: str = ""
    detail: str = ""


class Reply(msgspec.Struct):
    received: int
    stored: int = 0
    duplicates: int = 0
    spooled: int = 0
    rejected: list[Rejection] = []


class Problem(msgspec.Struct):
    """The part of a problem+json that says what to change."""

    title: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A refused event, to show."""

    reason: str
    pointer: str
    detail: str
    event: str  # its beginning


@dataclass(slots=True)
class SendTotals:
    """What became of the events sent so far. spooled: safe on the service's disk, and stored when Postgres takes them.

    unreadable: parts of the files that were no events and were not sent.
    """

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    spooled: int = 0
    rejected: int = 0
    unreadable: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def add(self, reply: Reply, events: list[bytes]) -> None:
        self.received += reply.received
        self.stored += reply.stored
        self.duplicates += reply.duplicates
        self.spooled += reply.spooled
        self.rejected += len(reply.rejected)
        for refused in reply.rejected:
            self.reasons[refused.reason] = self.reasons.get(refused.reason, 0) + 1
            if len(self.examples) < EXAMPLES_MAX and refused.index < len(events):
                event = events[refused.index][:EXAMPLE_BYTES].decode(errors="replace")
                self.examples.append(Example(refused.reason, refused.pointer, refused.detail, event))


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to try again, and the clock and the sleep of it."""

    patience_seconds: float = PATIENCE_SECONDS  # without any success
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


def send_events(
    client: httpx.Client,
    events: Iterable[bytes],
    *,
    on_progress: Callable[[SendTotals], None],
    retry: Retry | None = None,
) -> SendTotals:
    """Posts the events one body after the other, never two at once: their order decides ties.

    client: has the service's base_url and the Authorization header.
    Raises ImportRefused or ImportGaveUp; what was sent before is stored, and sending it again is safe.
    """
    retry = retry or Retry()
    totals = SendTotals()
    bodies = _bodies(events)
    with ThreadPoolExecutor(1, "import-reader") as reader:  # reads the next body while one is on its way
        upcoming = reader.submit(next, bodies, None)
        while (body := upcoming.result()) is not None:
            upcoming = reader.submit(next, bodies, None)
            totals.add(_post(client, body, totals, retry), body)
            on_progress(totals)
    return totals


def _bodies(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The events in groups that fit into one request; one that is too large by itself goes alone."""
    group: list[bytes] = []
    size = 0
    for event in events:
        if group and (len(group) == BODY_MAX_EVENTS or size + len(event) + 1 > BODY_MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(event)
        size += len(event) + 1
    if group:
        yield group


def _post(client: httpx.Client, events: list[bytes], totals: SendTotals, retry: Retry) -> Reply:
    """Posts until there is an answer that repeating would not change."""
    body = b'{"events":[' + b",".join(events) + b"]}"
    deadline = retry.monotonic() + retry.patience_seconds
    attempt = 0
    while True:
        response, trouble = _try(client, body)
        if response is not None and not _may_repeat(response):
            return _reply(response)
        seconds = _pause_seconds(response, attempt)
        if retry.monotonic() + seconds > deadline:
            raise ImportGaveUp(
                f"No success for {retry.patience_seconds:g} s; last: {trouble}. "
                f"{totals.stored + totals.duplicates:,} events are in. Run the import again when the service "
                "is back: nothing is stored twice."
            )
        retry.sleep(seconds)
        attempt += 1


def _try(client: httpx.Client, body: bytes) -> tuple[httpx.Response | None, str]:
    """The response if there is one, and in words what went wrong."""
    headers = {"Content-Type": "application/json"}
    try:
        response = client.post("/v1/events", params={"source": "import"}, content=body, headers=headers)
    except httpx.UnsupportedProtocol as error:
        raise ImportRefused("The address of the service must begin with http:// or https://.") from error
    except httpx.TransportError as error:
        return None, str(error) or type(error).__name__
    return response, f"status {response.status_code}, {_problem(response)}"


def _may_repeat(response: httpx.Response) -> bool:
    return response.status_code in (408, 429) or response.status_code >= 500


def _pause_seconds(response: httpx.Response | None, attempt: int) -> float:
    """Doubling, with jitter so that several senders don't come back together; longer if asked for."""
    backoff = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 10), BACKOFF_MAX_SECONDS)
    jittered = backoff * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return max(jittered, float(asked)) if asked.isdecimal() else jittered  # our service never sends a date


def _reply(response: httpx.Response) -> Reply:
    """The counts; every answer without them is a refusal of the whole body."""
    status = response.status_code
    if status in {200, 202, 207, 422}:
        try:
            return msgspec.json.decode(response.content, type=Reply)
        except msgspec.DecodeError as error:
            if status != 422:
                detail = f"What answers at {response.url} is not Footfall; check the address."
                raise ImportRefused(detail) from error
    raise ImportRefused(f"The service refused the events (status {status}): {_problem(response)}")


def _problem(response: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        return response.reason_phrase
    return problem.detail or problem.title or response.reason_phrase
