"""A service that answers from a script, and a clock that moves only when somebody sleeps."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from app.importers.send import Retry

Answer = httpx.Response | Exception


def stored(count: int) -> httpx.Response:
    return httpx.Response(200, json={"received": count, "stored": count, "duplicates": 0})


class ScriptedService:
    """Gives its answers one after the other, then stores everything."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    @property
    def bodies(self) -> list[list[Any]]:
        return [msgspec.json.decode(request.content)["events"] for request in self.requests]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/livez":
            return httpx.Response(200)
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else stored(len(self.bodies[-1]))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, base_url: str = "http://footfall.test") -> httpx.Client:
        headers = {"Authorization": "Bearer key"}
        return httpx.Client(base_url=base_url, headers=headers, transport=httpx.MockTransport(self))


class FakeSleep:
    """Notes what is slept and moves its own clock by that much."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)

    def retry(self, patience_seconds: float = 300.0) -> Retry:
        now: Callable[[], float] = lambda: sum(self.slept)  # noqa: E731  # a clock is one expression
        return Retry(patience_seconds, sleep=self, monotonic=now)
