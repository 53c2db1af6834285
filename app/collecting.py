"""The collecting part of the service: from the wire formats to the commit, with spools for when Postgres is away."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from app.config import SPOOL_FILE, WORKER_FOLDER, Settings, Worker
from app.domain.outcome import FAILURE_REASONS, Outcome, RejectReason
from app.domain.stages import DEFAULT_STAGES
from app.ingest.batcher import Batcher, BatcherLimits
from app.ingest.context.country import Countries
from app.ingest.cookieless import CookielessKeys
from app.ingest.counting import INGEST_STEPS
from app.ingest.formats import FORMATS
from app.ingest.gate import Gate
from app.ingest.limits import RateLimits
from app.ingest.parts import IngestParts
from app.ingest.router import IngestEndpoint, ingest_endpoints
from app.ingest.sink import EventSink
from app.ingest.spool.drain import Drain
from app.ingest.spool.queue import Spool
from app.ingest.spool.sink import SpoolingSink
from app.ingest.spool.spools import Spools
from app.jobs import attempt, within
from app.metrics import Metrics
from app.ops.health import Check, flag_check, state_check
from app.parts import Parts
from app.storage.database import create_ingest_pool
from app.storage.events import PostgresSink
from app.storage.renewable import RenewableSink
from app.storage.salts import REFRESH_SECONDS as SALT_REFRESH_SECONDS
from app.storage.salts import DailySalts

SALT_START_SECONDS = 2  # a start waits no longer; without, cookieless visitors of today are counted once more


@dataclass(frozen=True)
class Store:
    """Where events go: to Postgres, or to the own spool when that is away. spooling: all that is to be drained."""

    storage: EventSink
    own: SpoolingSink | None
    spooling: Sequence[SpoolingSink]
    spools: Spools

    def forget_identities(self) -> None:
        """Some identity has been erased: drop what is kept in memory."""
        if isinstance(self.storage, RenewableSink):
            self.storage.forget_identities()


async def open_store(parts: Parts, sink: EventSink | None, stack: AsyncExitStack) -> Store:
    """sink: instead of Postgres, for tests."""
    storage = sink or _open_storage(parts, stack)
    settings = parts.settings
    own = None
    if settings.spool_max_bytes:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        own = await _open_spool(parts, storage, settings.data_dir / SPOOL_FILE, settings.spool_max_bytes, stack)
    left = [
        # It is written anew to erase somebody, and may be larger than the settings would have it by now.
        await _open_spool(parts, storage, path, 2 * path.stat().st_size, stack)
        for path in spools_left(settings, parts.worker)
    ]
    spooling = [*([own] if own else []), *left]
    spools = Spools([each.spool for each in spooling])
    spools.show_in(parts.metrics)
    return Store(storage, own, spooling, spools)


def _open_storage(parts: Parts, stack: AsyncExitStack) -> RenewableSink:
    # Beside the writers: one for small commits, one for what drains the spool.
    connections, timeout_seconds = parts.settings.flush_writers + 2, parts.settings.flush_timeout_seconds
    sink = RenewableSink(
        lambda: create_ingest_pool(parts.url, connections=connections, timeout_seconds=timeout_seconds), PostgresSink
    )
    stack.push_async_callback(sink.close)
    return sink


def spools_left(settings: Settings, worker: Worker | None) -> list[Path]:
    """Spools of processes that are no more: of workers, when there are fewer now, or of the one before them.

    Their events are in the care of the first of those that are now. Its own spool is one of them when it is turned off.
    """
    if worker is not None and not worker.is_first:
        return []
    home = settings.data_dir if worker is None else worker.data_dir
    used = {settings.data_dir} if worker is None else {each.folder for each in (worker, *worker.others)}
    if not settings.spool_max_bytes:
        used = set()
    found = [home / SPOOL_FILE, *sorted(home.glob(f"{WORKER_FOLDER}*/{SPOOL_FILE}"))]
    return [path for path in found if path.parent not in used and path.exists()]


async def _open_spool(
    parts: Parts, storage: EventSink, path: Path, max_bytes: int, stack: AsyncExitStack
) -> SpoolingSink:
    spool = Spool(path, max_bytes, clock=parts.clock)
    await spool.open()
    stack.push_async_callback(spool.close)
    return SpoolingSink(storage, spool, after_seconds=parts.settings.spool_after_seconds, metrics=parts.metrics)


async def start_collecting(
    parts: Parts, store: Store, stack: AsyncExitStack
) -> tuple[Mapping[str, IngestEndpoint], list[Check]]:
    """The endpoints by path, and what has to be well for them."""
    settings, clock, metrics = parts.settings, parts.clock, parts.metrics
    _announce(metrics)
    for each in store.spooling:
        _start_drain(parts, each)
    large = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")
    stack.callback(large.shutdown, wait=False, cancel_futures=True)
    batcher = _open_batcher(settings, metrics, store.own or store.storage)
    # It drains before everything else goes: registered last, called first.
    stack.push_async_callback(batcher.drain, settings.flush_timeout_seconds)
    gate, limits = Gate(settings, batcher, metrics), RateLimits(settings, metrics)
    cookieless = await _open_cookieless(parts)
    ingest = IngestParts(
        settings, clock, parts.keys, batcher, metrics, gate, limits, large, cookieless, Countries(settings)
    )
    checks = [
        *([state_check("spool", store.own.spool.state)] if store.own else []),
        flag_check("ingestion", lambda: batcher.healthy, "a writer has died: restart the service"),
    ]
    return ingest_endpoints(ingest), checks


def _announce(metrics: Metrics) -> None:
    metrics.announce_ingest(
        formats=[wire_format.name for wire_format in FORMATS],
        outcomes=list(Outcome),
        reasons=list(RejectReason),
        stages=[stage.name for stage in DEFAULT_STAGES],
        steps=INGEST_STEPS,
        failures=FAILURE_REASONS,
    )


def _start_drain(parts: Parts, spooling: SpoolingSink) -> None:
    settings = parts.settings
    drain = Drain(
        spooling,
        max_events=settings.flush_max_events,
        timeout_seconds=settings.flush_timeout_seconds,
        metrics=parts.metrics,
    )
    parts.jobs.run("drain", drain.run())


def _open_batcher(settings: Settings, metrics: Metrics, sink: EventSink) -> Batcher:
    limits = BatcherLimits(
        settings.buffer_max_events,
        settings.buffer_max_bytes,
        settings.flush_max_events,
        settings.flush_timeout_seconds,
    )
    return Batcher(sink, limits, writers=settings.flush_writers, metrics=metrics)


async def _open_cookieless(parts: Parts) -> CookielessKeys:
    salts = DailySalts(parts.engine, parts.clock)
    await attempt("salts", lambda: within(SALT_START_SECONDS, salts.refresh()))
    parts.jobs.repeat("salts", salts.refresh, SALT_REFRESH_SECONDS)
    return CookielessKeys(salts, parts.settings.trusted_proxies)
