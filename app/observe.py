"""Watches every request: its id, its duration by route template, and one log line."""

import itertools
import logging
import os
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics
from app.tallies import Distribution

logger = logging.getLogger("app.request")


class ObserveRequests:
    """ASGI middleware. Query strings (which may hold keys) and addresses are not logged."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        # Ids tell requests apart in logs and replies, and need not be secret: a start of its own, then a count.
        self._ids = itertools.count(int.from_bytes(os.urandom(6)) << 40)
        self._timers: dict[tuple[str, str, int], Distribution] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note = self.watch(scope)
        status = 499  # what stays when the client is gone before there is an answer

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            note(status)

    def watch(self, scope: Scope) -> Callable[[int], None]:
        """From now on; returns what is to be told the status at the end."""
        started = time.perf_counter()
        request_id = f"{next(self._ids):024x}"
        scope.setdefault("state", {})["request_id"] = request_id
        return lambda status: self._note(scope, request_id, status, time.perf_counter() - started)

    def _timer(self, method: str, route: str, status: int) -> Distribution:
        """Kept at hand: finding a labelled child costs more than observing."""
        key = (method, route, status)
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = self._metrics.http_seconds.labels(method, route, str(status))
        return timer

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "(none)"
        method = (
            scope["method"] if scope["method"] in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD") else "(other)"
        )
        self._timer(method, route, status).observe(seconds)
        level = logging.WARNING if status >= 500 else logging.INFO
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "request",
                extra={
                    "action": "request",
                    "method": method,
                    "route": route,
                    "status": status,
                    "seconds": round(seconds, 6),
                    "request_id": request_id,
                },
            )
