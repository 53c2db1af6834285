"""What `make up` runs: the service, a demo shop with a synthetic week of journeys, and its stage funnel."""

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from app.demo.feed import FeedError, feed_events
from app.demo.server import ServerError, died, is_ready, running_server, wait_until_ready
from app.demo.shop import DemoShop, create_shop, load_shop, mark_fed, shop_path
from app.demo.synthetic import synthetic_week
from app.demo.table import stage_table

WEEK = timedelta(days=7)
# Shorter than the default, so that a week that ends now has people who are lost and not just under way.
WINDOW = timedelta(days=1)
REQUEST_TIMEOUT_SECONDS = 120.0  # the first report may have to copy and compile
NORMAL_EXIT_CODES = (0, -signal.SIGTERM)


def run_demo(*, data_dir: Path, host: str, port: int, console: Console) -> int:
    """Runs until Ctrl-C, SIGTERM or the end of the service; returns the exit code, 0 after a normal stop."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # trust_env off: a proxy of the environment has no business between us and our own machine.
    client = httpx.Client(base_url=_url(host, port), timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False)
    try:
        with _stop_signals_interrupt(), client:
            if is_ready(client):
                return _visit_running(data_dir, client, console)
            return _serve(data_dir, host, port, client, console)
    except KeyboardInterrupt:
        return 0
    except (ServerError, FeedError, httpx.HTTPError) as error:
        _print_plain(console, str(error), style="red")
        return 1


def _visit_running(data_dir: Path, client: httpx.Client, console: Console) -> int:
    shop = load_shop(data_dir)
    if shop is None:
        raise ServerError(f"Another service answers at {client.base_url}. Choose another port with --port.")
    _print_plain(console, f"Footfall is already running at {client.base_url}")
    _show(shop, data_dir, client, console)
    return 0


def _serve(data_dir: Path, host: str, port: int, client: httpx.Client, console: Console) -> int:
    with running_server(data_dir, host, port) as server:
        try:
            with console.status("Starting the service (the first time takes longer)"):
                wait_until_ready(server, client, data_dir)
                shop = load_shop(data_dir) or create_shop(data_dir)
            _show(shop, data_dir, client, console)
            console.print("Running. Ctrl-C stops it; the data is kept.", style="bold")
            server.wait()
        except KeyboardInterrupt:
            console.print("Stopping the service ...")
        except (FeedError, httpx.HTTPError):
            if server.poll() is None:
                raise
    return _exit_code(server, data_dir, console)


def _exit_code(server: subprocess.Popen[bytes], data_dir: Path, console: Console) -> int:
    code: int = server.returncode
    if code in NORMAL_EXIT_CODES:
        console.print("The service has stopped.")
        return 0
    _print_plain(console, str(died(server, data_dir)), style="red")
    return code if code > 0 else 128 - code  # as a shell reports a death by signal


def _show(shop: DemoShop, data_dir: Path, client: httpx.Client, console: Console) -> None:
    if not shop.fed:
        _feed(shop, client, console)
        mark_fed(shop, data_dir)
    start = shop.end - WEEK
    answer = client.get(
        "/v1/reports/stages",
        params={
            "from": start.isoformat(),
            "to": shop.end.isoformat(),
            "conversion_window_seconds": int(WINDOW.total_seconds()),
        },
        headers={"Authorization": f"Bearer {shop.read_key}"},
    )
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ServerError(
            f"The service at {client.base_url} does not know the keys in "
            f"{shop_path(data_dir)}: it uses another database. Choose another --port or --data-dir, or "
            "delete that file to get a new demo shop."
        )
    answer.raise_for_status()
    console.print(stage_table(answer.json(), start=start, end=shop.end))
    _print_addresses(shop, data_dir, str(client.base_url), console)


def _feed(shop: DemoShop, client: httpx.Client, console: Console) -> None:
    events = list(synthetic_week(end=shop.end))
    heading = TextColumn("Feeding a synthetic week of journeys")
    with Progress(heading, BarColumn(), MofNCompleteColumn(), _RateColumn(), console=console) as progress:
        task = progress.add_task("", total=len(events))
        result = feed_events(client, shop.server_key, events, on_sent=lambda count: progress.advance(task, count))
    if result.rejected_count:
        console.print(f"{result.rejected_count:,} events were refused, see the quarantine.", style="yellow")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} events/s")


def _print_addresses(shop: DemoShop, data_dir: Path, url: str, console: Console) -> None:
    event = json.dumps({"event": "page_viewed", "visitor_id": "me", "url": "https://shop.example/"})
    media_type = "Content-Type: application/json"
    send = ("curl", f"{url}/v1/events", "-H", f"Authorization: Bearer {shop.write_key}", "-H", media_type, "-d", event)
    days = f"from={shop.end - timedelta(days=1):%Y-%m-%d}&to={shop.end + WEEK:%Y-%m-%d}"
    ask = ("curl", f"{url}/v1/reports/stages?{days}", "-H", f"Authorization: Bearer {shop.read_key}")
    lines = (
        "",
        f"API        {url}/openapi.json",
        f"Metrics    {url}/metrics",
        f"Keys       {shop_path(data_dir)}",
        "",
        "Send an event of your own:",
        shlex.join(send),
        "",
        "See it in the stage funnel of the last days:",
        shlex.join(ask),
        "",
    )
    for line in lines:
        _print_plain(console, line)


def _print_plain(console: Console, text: str, *, style: str | None = None) -> None:
    """Text as it is: no markup, and no line breaks of ours in something to copy."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _url(host: str, port: int) -> str:
    """Where this machine reaches a service that listens on host."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


@contextmanager
def _stop_signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal act like Ctrl-C; asking twice does not hurry the service."""

    def interrupt(signal_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal_number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
