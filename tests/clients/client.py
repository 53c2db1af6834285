"""Clients of other makers, each a script that plays the shop journey against an address."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / "build" / "clients"  # by `make clients`
PYTHON = INSTALLED / "python" / "bin" / "python"
NODE_PATH = INSTALLED / "node_modules"
PATIENCE_SECONDS = 60.0  # PostHog's browser client waits up to 9 s before it sends again
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Client:
    """A script beside this file.

    retries: whether it sends again what was answered 503. identifies: whether it has a call of its own for a login.
    """

    script: str
    retries: bool = True
    identifies: bool = True

    @property
    def is_browser(self) -> bool:
        return self.script.endswith("_browser.cjs")

    @property
    def missing(self) -> str | None:
        """What it can't run without."""
        is_node = self.script.endswith(".cjs")
        if is_node and shutil.which("node") is None:
            return "there is no node"
        if not (NODE_PATH if is_node else PYTHON).exists():
            return "the clients are not installed: make clients"
        if self.is_browser and shutil.which("chromium") is None:
            return "there is no chromium: apt-get install chromium"
        return None

    @contextmanager
    def playing(self, url: str, key: str, log: Path) -> Iterator[None]:
        """While it runs; a browser stays on its last page. Fails unless it ends well."""
        interpreter = "node" if self.script.endswith(".cjs") else str(PYTHON)
        environment = {**os.environ, "NODE_PATH": str(NODE_PATH), "CHROMIUM": shutil.which("chromium") or ""}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [interpreter, str(HERE / self.script), url, key],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
            process.communicate(timeout=STOP_SECONDS)
            assert process.returncode == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_until(is_so: Callable[[], bool], found: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at, found()
        time.sleep(0.1)
