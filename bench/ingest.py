"""How many events a second are acknowledged after their commit; beside it, how fast psql copies the same rows."""

import json
import random
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import NamedTuple

import uvloop

from app.storage.embedded import bin_path
from bench.client import LoadResult, post_load, request_bytes
from bench.service import Service

SECONDS = 8.0
CONNECTIONS = {1: 256, 50: 64}  # by events a request
# What is to be reached on 2 cores shared by client, service and Postgres; the times of replies count at half of it.
MARKS = {1: 8_000, 50: 60_000}
P99_MARK_SECONDS = 0.05
# Prepared requests, more than the service can take in the time: a repeated one would only measure duplicates.
BODIES = {1: 120_000, 50: 16_000}
VISITORS = 20_000


class IngestFigures(NamedTuple):
    """processes: that take events. load: as much as goes. half: at half the mark, or of what goes if that is less."""

    processes: int
    events_per_request: int
    events_per_second: float
    load: LoadResult
    half: LoadResult


def measure_ingest(service: Service, events_per_request: int, *, processes: int = 1) -> IngestFigures:
    bodies = _requests(service.keys["write"], events_per_request)
    load = _post(service, list(islice(bodies, BODIES[events_per_request])), events_per_request)
    rate = min(MARKS[events_per_request] / events_per_request, load.requests_per_second) / 2
    half = _post(service, list(islice(bodies, int(rate * SECONDS * 1.1))), events_per_request, rate=rate)
    return IngestFigures(processes, events_per_request, load.requests_per_second * events_per_request, load, half)


def _post(
    service: Service, bodies: Sequence[bytes], events_per_request: int, *, rate: float | None = None
) -> LoadResult:
    connections = CONNECTIONS[events_per_request]
    load = uvloop.run(
        post_load("127.0.0.1", service.port, bodies=bodies, connections=connections, seconds=SECONDS, rate=rate)
    )
    if set(load.status_counts) != {200}:
        raise RuntimeError(f"not every request was taken: {load.status_counts}")
    if load.request_count >= len(bodies):
        raise RuntimeError("the prepared requests ran out: raise BODIES")
    return load


def copy_by_psql(service: Service) -> float:
    """Rows a second when psql copies the stored events into the same table, emptied before."""
    psql = [str(bin_path(18) / "psql"), "-qAt", "-v", "ON_ERROR_STOP=1", service.database_url]
    run = subprocess.check_output
    file = service.data_dir / "events.copy"
    run([*psql, "-c", rf"\copy (SELECT * FROM event ORDER BY xid, position) TO '{file}' (FORMAT binary)"])
    run([*psql, "-c", "TRUNCATE event"])  # our own database
    started = time.perf_counter()
    run([*psql, "-c", rf"\copy event FROM '{file}' (FORMAT binary)"])
    seconds = time.perf_counter() - started
    rows = int(run([*psql, "-c", "SELECT count(*) FROM event"]))
    file.unlink()
    return rows / seconds


def bytes_per_event(service: Service) -> float:
    """What an event takes in Postgres, all indexes included."""
    psql = [str(bin_path(18) / "psql"), "-qAt", service.database_url]
    sql = """
        SELECT sum(pg_total_relation_size(inhrelid)) / (SELECT count(*) FROM event)
        FROM pg_inherits WHERE inhparent = 'event'::regclass
    """
    return float(subprocess.check_output([*psql, "-c", sql]))  # our own database


def _requests(key: str, events_per_request: int) -> Iterator[bytes]:
    rng = random.Random(events_per_request)  # a benchmark's data, no secret
    # Those measured first happened first: shops' events come about in the order in which they happen.
    start = datetime.now(UTC) - timedelta(hours=50 / events_per_request)
    for number in count():
        moment = start + timedelta(milliseconds=number)
        events = [_event(rng, moment, place) for place in range(events_per_request)]
        body = json.dumps(events[0] if events_per_request == 1 else events, separators=(",", ":")).encode()
        yield request_bytes("/v1/events", body, key=key)


def _event(rng: random.Random, moment: datetime, place: int) -> dict[str, object]:
    """A typical event, about 480 bytes as JSON."""
    product = rng.randrange(500)
    milliseconds = int(moment.timestamp() * 1000)
    id_bits = (milliseconds << 80) | (7 << 76) | (rng.getrandbits(12) << 64) | (2 << 62) | rng.getrandbits(62)
    return {
        "event": "product_viewed",
        "event_id": str(uuid.UUID(int=id_bits)),
        "visitor_id": f"0190b2c4-visitor-{rng.randrange(VISITORS):08d}",
        "client_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "seq": place,
        "url": f"https://shop.example/products/{product}",
        "referrer": "https://shop.example/collections/summer",
        "properties": {
            "product_id": f"SKU-{product:05d}",
            "name": "Linen shirt, relaxed fit",
            "category": "Shirts",
            "brand": "Northwind",
            "price": 49.9,
            "currency": "EUR",
            "device_type": "mobile",
            "language": "de-DE",
            "list": "summer",
            "position": place,
        },
    }
