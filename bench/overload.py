"""`make overload`: how much gets through when ten times as many clients send as the service can serve."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from bench.client import LoadResult, post_load, request_bytes
from bench.service import Service, running_service

TIMES = 10
CONNECTIONS = {1: 64, 50: 64}  # by events a request: enough to keep the service busy
# More than the service can take while it is measured once: a repeated one would only measure duplicates.
BODIES = {1: 60_000, 50: 8_000}
GOODPUT_MARK = 0.9
SAMPLE_SECONDS = 0.25
ROWS = (
    "requests stored a second",
    "ms of the service's CPU for each",
    "answers by status",
    "connections broken",
    "99 % answered within, s",
    "MB of memory, most",
)

# About 480 bytes, like those of bench/ingest.py.
EVENT = (
    '{{"event":"product_viewed","event_id":"{}","visitor_id":"0190b2c4-visitor-{:08d}","client_time":"{}","seq":{},'
    '"url":"https://shop.example/products/77","referrer":"https://shop.example/collections/summer","properties":'
    '{{"product_id":"SKU-00077","name":"Linen shirt, relaxed fit","category":"Shirts","brand":"Northwind",'
    '"price":49.9,"currency":"EUR","device_type":"mobile","language":"de-DE","list":"summer"}}}}'
)


class Served(NamedTuple):
    """One load. stored_per_second: requests answered 200; cpu_seconds: of the service for each of them."""

    load: LoadResult
    stored_per_second: float
    cpu_seconds: float
    memory_bytes: float  # the most that was seen


def measure(service: Service, events_per_request: int, connections: int, seconds: float) -> Served:
    key, count = service.keys["write"], BODIES[events_per_request]
    bodies = [request_bytes("/v1/events", _body(events_per_request), key=key) for _ in range(count)]
    cpu_before = _process(service)["process_cpu_seconds_total"]
    with peak_memory(service) as samples:
        load = uvloop.run(post_load("127.0.0.1", service.port, bodies=bodies, connections=connections, seconds=seconds))
    stored = load.status_counts.get(200, 0)
    if stored >= count:
        raise RuntimeError("the prepared requests ran out: raise BODIES")
    cpu_seconds = _process(service)["process_cpu_seconds_total"] - cpu_before
    return Served(load, stored / load.seconds, cpu_seconds / max(1, stored), max(samples))


def _body(event_count: int) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    first = uuid.uuid4().int >> 20 << 20
    events = [EVENT.format(uuid.UUID(int=first + place), first % 20_000, now, place) for place in range(event_count)]
    return f"[{','.join(events)}]".encode()


@contextmanager
def peak_memory(service: Service) -> Iterator[list[float]]:
    """The service's resident bytes, looked at again and again while the block runs."""
    samples = [_process(service)["process_resident_memory_bytes"]]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples.append(_process(service)["process_resident_memory_bytes"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()


def _process(service: Service) -> dict[str, float]:
    """What the service says of its own process."""
    with service.client("write") as client:
        lines = client.get("/metrics").text.splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith("process_"))
    return {name: float(value) for name, value in samples}


def main(seconds: Annotated[float, typer.Option(help="Of each of the four loads.")] = 5.0) -> None:
    """Takes about a minute with the default."""
    console = Console()
    for events_per_request, connections in CONNECTIONS.items():
        with running_service() as service:
            usual = measure(service, events_per_request, connections, seconds)
            flooded = measure(service, events_per_request, connections * TIMES, seconds)
        _print(console, events_per_request, usual, flooded)


def _print(console: Console, events_per_request: int, usual: Served, flooded: Served) -> None:
    table = Table(
        f"events a request: {events_per_request}", "usual load", f"{TIMES} times as many clients",
        title="Clients that send again as soon as they are answered",
    )  # fmt: skip
    for row in zip(ROWS, _figures(usual), _figures(flooded), strict=True):
        table.add_row(*row)
    console.print(table)
    ratio = flooded.stored_per_second / usual.stored_per_second
    console.print(f"Stored under the flood: {ratio:.0%} of the usual load's (mark: {GOODPUT_MARK:.0%}).")


def _figures(served: Served) -> list[str]:
    return [
        f"{served.stored_per_second:,.0f}",
        f"{served.cpu_seconds * 1000:.2f}",
        str(served.load.status_counts),
        str(served.load.broken_count),
        f"{served.load.p99_seconds:.2f}",
        f"{served.memory_bytes / 1e6:.0f}",
    ]


if __name__ == "__main__":
    typer.run(main)
