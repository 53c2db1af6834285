"""A service of its own for a measurement: a real process on a free port, with an empty embedded Postgres."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Service:
    """keys: by kind (write, server, read)."""

    port: int
    data_dir: Path
    database_url: str
    keys: dict[str, str]

    def client(self, kind: str) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {self.keys[kind]}"},
            timeout=120,
            trust_env=False,
        )


@contextmanager
def running_service(**settings: object) -> Iterator[Service]:
    """settings: by name, as in the README, without the prefix. Everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder:
        data_dir = Path(folder) / "data"
        # Ours alone: what is set for a service in use must not reach this one.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
        environment |= {f"FOOTFALL_{name.upper()}": str(value) for name, value in settings.items()}
        environment |= {"FOOTFALL_DATA_DIR": str(data_dir), "FOOTFALL_LOG_LEVEL": "warning"}
        port = _free_port()
        process = _start(["serve", "--port", str(port)], environment)
        try:
            _wait_until_ready(port, process)
            shop = _json(["storefront", "create", "Measured shop", "--json"], environment)
            keys = {
                kind: _json(["keys", "create", str(shop["storefront_id"]), "--kind", kind, "--json"], environment)[
                    "key"
                ]
                for kind in ("write", "server", "read")
            }
            if settings.get("role") == "collect":
                _introduce(port, keys["write"], workers=int(str(settings["workers"])))
            else:
                _warm_up(port, keys["read"])
            url = f"postgresql://footfall@/footfall?host={data_dir.absolute() / 'postgres'}"
            yield Service(port, data_dir, url, keys)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "app.cli", *arguments], env=environment)  # our own


def _json(arguments: list[str], environment: dict[str, str]) -> dict[str, str]:
    command = [sys.executable, "-m", "app.cli", *arguments]
    answer: dict[str, str] = json.loads(subprocess.check_output(command, env=environment))  # our own
    return answer


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the service did not get ready")


def _warm_up(port: int, read_key: str) -> None:
    """A first report waits until the matchers are compiled: that belongs to the start, not to what is measured."""
    httpx.get(
        f"http://127.0.0.1:{port}/v1/reports/stages",
        params={"from": "2025-01-01", "to": "2025-01-02"},
        headers={"Authorization": f"Bearer {read_key}"},
        timeout=120,
        trust_env=False,
    ).raise_for_status()


def _introduce(port: int, write_key: str, *, workers: int) -> None:
    """A worker that meets a key first looks it up, and lets few wait for that: each is to know it already."""
    for _ in range(20 * workers):  # each on a connection of its own, so that all workers get some
        httpx.post(
            f"http://127.0.0.1:{port}/v1/events",
            json={"event": "page_viewed", "visitor_id": "first"},
            headers={"Authorization": f"Bearer {write_key}"},
            timeout=120,
            trust_env=False,
        ).raise_for_status()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
