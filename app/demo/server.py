"""Runs `footfall` as another process: the service of the demo, and the commands that set it up."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

FOOTFALL: tuple[str, ...] = (sys.executable, "-m", "app.cli")

READY_SECONDS = 180.0  # the first start makes a database cluster and compiles the matcher
STOP_SECONDS = 60.0  # longer than the service itself waits for open requests and its last flush
POLL_SECONDS = 0.1
READYZ_TIMEOUT_SECONDS = 5.0  # something that is not ours may hold the port and never answer
LOG_LINES = 12


class ServerError(Exception):
    """The demo could not start its service"""


def run_footfall(*arguments: str, data_dir: Path) -> Any:
    """The JSON answer of one `footfall` command."""
    command = [*FOOTFALL, *arguments, "--json", "--data-dir", str(data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"`footfall {' '.join(arguments)}` failed:\n{_tail(done.stderr or done.stdout)}")
    return json.loads(done.stdout)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz", timeout=READYZ_TIMEOUT_SECONDS).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@contextmanager
def running_server(data_dir: Path, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service in a process of its own, stopped gently at the end of the block."""
    _require_free_port(host, port)
    place = ("--host", host, "--port", str(port), "--data-dir", str(data_dir))
    serve = ("serve", *place, "--role", "all", "--workers", "1")  # it sends events and asks for reports
    with open(log_path(data_dir), "ab", opener=_private) as log:
        # A session of its own: Ctrl-C in the terminal reaches the demo, which passes on one clean stop.
        server = subprocess.Popen(
            [*FOOTFALL, *serve], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield server
    finally:
        _stop(server)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def wait_until_ready(server: subprocess.Popen[bytes], client: httpx.Client, data_dir: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready(client):
        if server.poll() is not None:
            raise died(server, data_dir)
        if time.monotonic() > deadline:
            raise ServerError(
                f"The service is not ready after {READY_SECONDS:.0f} s. Last lines of its log:\n{_log_tail(data_dir)}"
            )
        time.sleep(POLL_SECONDS)


def died(server: subprocess.Popen[bytes], data_dir: Path) -> ServerError:
    return ServerError(
        f"The service ended with exit code {server.returncode}. Last lines of {log_path(data_dir)}:\n"
        f"{_log_tail(data_dir)}"
    )


def log_path(data_dir: Path) -> Path:
    return data_dir / "serve.log"


def _require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerError(
                f"Port {port} on {host} can't be used ({error.strerror}). Choose another with --port."
            ) from error


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # too slow, or the user insists
        server.kill()
        server.wait()


def _log_tail(data_dir: Path) -> str:
    return _tail(log_path(data_dir).read_text(errors="replace"))


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-LOG_LINES:]) or "(empty)"
