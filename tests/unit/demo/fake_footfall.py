"""A stand-in for the `footfall` command: serves the few routes the demo uses, and counts events."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STEP = {
    "step_number": 1,
    "label": "awareness",
    "reached_count": 3,
    "conversion_ratio": 1.0,
    "step_conversion_ratio": 1.0,
    "lost_count": 1,
    "in_progress_count": 0,
    "seconds_from_previous": None,
}
REPORT = {"as_of": "2025-05-19T10:00:00Z", "events_read": 3, "seconds": 0.01, "steps": [STEP]}


class Handler(BaseHTTPRequestHandler):
    event_ids: set[str] = set()  # noqa: RUF012  # one server per process

    def do_GET(self) -> None:
        if self.path == "/readyz":
            return self.answer(200, {})
        if self.path == "/die":
            os._exit(3)
        known = self.headers["Authorization"] == "Bearer read-key"
        return self.answer(200, REPORT) if known else self.answer(401, {})

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["events"]
        ids = {event["event_id"] for event in events}
        stored = len(ids - self.event_ids)
        self.event_ids.update(ids)
        self.answer(200, {"received": len(ids), "stored": stored, "duplicates": len(ids) - stored})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def serve() -> None:
    data_dir = Path(option("--data-dir"))
    if (data_dir / "broken").exists():
        sys.exit("the database does not start")
    server = ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.serve_forever()
    finally:
        stored = len(Handler.event_ids)
        with (data_dir / "stored.txt").open("a") as file:
            file.write(f"{stored}\n")


if sys.argv[1] == "serve":
    serve()
elif sys.argv[1:3] == ["storefront", "list"]:
    sys.stdout.write("[]")
elif sys.argv[1] == "storefront":
    sys.stdout.write(json.dumps({"storefront_id": 7, "name": sys.argv[3]}))
else:
    kind = option("--kind")
    sys.stdout.write(json.dumps({"key": f"{kind}-key", "kind": kind}))
