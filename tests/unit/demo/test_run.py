"""The demo as a whole, with a stand-in for the service: first start, second start, and what can go wrong."""

import io
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from app.demo import run, server
from app.demo.run import run_demo
from app.demo.synthetic import synthetic_week

FAKE = Path(__file__).with_name("fake_footfall.py")


@pytest.fixture(autouse=True)
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in takes the place of `footfall`, and the week has few visitors."""
    monkeypatch.setattr(server, "FOOTFALL", (sys.executable, str(FAKE)))
    monkeypatch.setattr(run, "synthetic_week", lambda *, end: synthetic_week(end=end, visitor_count=40))


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def ask_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Screen(Console):
    """A console that does something as soon as the demo says that it is running."""

    def __init__(self, when_running: Callable[[], None] = ask_to_stop) -> None:
        super().__init__(file=io.StringIO(), width=200, color_system=None)
        self.when_running = when_running

    @property
    def text(self) -> str:
        assert isinstance(self.file, io.StringIO)
        return self.file.getvalue()

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        if objects and str(objects[0]).startswith("Running."):
            self.when_running()


def start(data_dir: Path, port: int, screen: Screen) -> int:
    return run_demo(data_dir=data_dir, host="127.0.0.1", port=port, console=screen)


def saved_shop(data_dir: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((data_dir / "demo.json").read_text())
    return fields


def stored_counts(data_dir: Path) -> list[int]:
    """Events each run of the service has stored, oldest run first."""
    return [int(line) for line in (data_dir / "stored.txt").read_text().split()]


def test_first_start_feeds_the_week_and_shows_the_table_and_the_addresses(tmp_path: Path, port: int) -> None:
    screen = Screen()

    assert start(tmp_path, port, screen) == 0

    assert "SYNTHETIC DATA" in screen.text
    assert f"http://127.0.0.1:{port}/openapi.json\n" in screen.text
    assert f"http://127.0.0.1:{port}/metrics\n" in screen.text
    assert stored_counts(tmp_path)[0] > 300


def test_the_command_to_paste_is_one_line_with_the_write_key(tmp_path: Path, port: int) -> None:
    screen = Screen()
    start(tmp_path, port, screen)

    line, ask = (line for line in screen.text.splitlines() if line.startswith("curl "))
    assert "Authorization: Bearer read-key" in ask
    words = shlex.split(line)
    assert words[1] == f"http://127.0.0.1:{port}/v1/events"
    assert "Authorization: Bearer write-key" in words
    assert json.loads(words[-1])["event"] == "page_viewed"


def test_keys_are_kept_where_only_the_owner_reads_them(tmp_path: Path, port: int) -> None:
    start(tmp_path, port, Screen())

    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    shop = saved_shop(tmp_path)
    assert shop.pop("end")
    assert shop == {
        "storefront_id": 7,
        "write_key": "write-key",
        "server_key": "server-key",
        "read_key": "read-key",
        "fed": True,
    }


def test_second_start_feeds_nothing(tmp_path: Path, port: int) -> None:
    start(tmp_path, port, Screen())
    screen = Screen()

    assert start(tmp_path, port, screen) == 0

    assert stored_counts(tmp_path)[1] == 0
    assert "SYNTHETIC DATA" in screen.text


def test_interrupted_feed_starts_again_with_the_same_week(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run, "feed_events", lambda *_, **__: ask_to_stop())
        assert start(tmp_path, port, Screen()) == 0
    interrupted = saved_shop(tmp_path)
    assert interrupted["fed"] is False

    start(tmp_path, port, Screen())

    assert saved_shop(tmp_path) == interrupted | {"fed": True}
    assert stored_counts(tmp_path)[1] > 300


def test_a_demo_that_runs_already_is_shown_and_left_running(tmp_path: Path, port: int) -> None:
    second, codes = Screen(), []

    def look_again() -> None:
        codes.append(start(tmp_path, port, second))
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
        ask_to_stop()

    assert start(tmp_path, port, Screen(look_again)) == 0
    assert codes == [0]
    assert "already running" in second.text
    assert "SYNTHETIC DATA" in second.text


def test_a_service_of_another_data_directory_is_not_taken_for_ours(tmp_path: Path, port: int) -> None:
    other, codes = Screen(), []

    def look_again() -> None:
        codes.append(start(tmp_path / "other", port, other))
        ask_to_stop()

    start(tmp_path, port, Screen(look_again))

    assert codes == [1]
    assert "Another service answers" in other.text


def test_keys_the_service_does_not_know_are_explained(tmp_path: Path, port: int) -> None:
    start(tmp_path, port, Screen())
    (tmp_path / "demo.json").write_text(json.dumps(saved_shop(tmp_path) | {"read_key": "of another database"}))
    screen = Screen()

    assert start(tmp_path, port, screen) == 1
    assert "does not know the keys" in screen.text


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        screen = Screen()

        assert start(tmp_path, taken.getsockname()[1], screen) == 1
        assert "can't be used (Address already in use)" in screen.text


def test_a_service_that_does_not_start_shows_its_last_words(tmp_path: Path, port: int) -> None:
    (tmp_path / "broken").touch()
    screen = Screen()

    assert start(tmp_path, port, screen) == 1
    assert "exit code 1" in screen.text
    assert "the database does not start" in screen.text


def test_a_service_that_dies_later_ends_the_demo_with_its_exit_code(tmp_path: Path, port: int) -> None:
    def die() -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/die", trust_env=False)

    screen = Screen(die)

    assert start(tmp_path, port, screen) == 3
    assert "exit code 3" in screen.text
