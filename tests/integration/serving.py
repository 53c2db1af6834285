"""`footfall serve` as a process of its own, on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests import COMPILED

PATIENCE_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class Serving:
    """A running `footfall serve`. environment: what commands need to work on the same data."""

    process: subprocess.Popen[bytes]
    url: str
    environment: Mapping[str, str]
    log: Path

    def stop(self) -> int:
        """SIGTERM, as a supervisor would; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


def footfall_json(environment: Mapping[str, str], *arguments: str) -> Any:
    """What a command with --json prints."""
    command = [sys.executable, "-m", "app.cli", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
    return json.loads(done.stdout)


@contextmanager
def serving(data_dir: Path, *, compiled: Path = COMPILED, **settings: str) -> Iterator[Serving]:
    """Start it on a free port, wait until it is ready, and end it if the test has not.

    compiled: where it keeps compiled code. settings: by name, such as database_url.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    given = {f"FOOTFALL_{name.upper()}": value for name, value in settings.items()}
    # Compiled matchers are kept from test to test: compiling takes a minute.
    environment = {**os.environ, **given, "FOOTFALL_DATA_DIR": str(data_dir), "NUMBA_CACHE_DIR": str(compiled)}
    log = data_dir / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", "0"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{_port(process, log)}"
        _wait_until_ready(url, process)
        yield Serving(process, url, environment, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the system chose, from the log."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        for line in log.read_text().splitlines():
            if "http://127.0.0.1:" in line:
                return int(line.split("http://127.0.0.1:")[1].split()[0].strip('",)'))
        time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text()}")


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    with httpx.Client(base_url=url, trust_env=False) as client:
        while time.monotonic() < give_up_at and process.poll() is None:
            with suppress(httpx.ConnectError):  # workers listen when they have started
                if client.get("/readyz").status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
    raise AssertionError("it did not get ready")
