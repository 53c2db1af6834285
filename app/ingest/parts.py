"""What ingest endpoints work with."""

from concurrent.futures import Executor
from dataclasses import dataclass

from app.clock import Clock
from app.config import Settings
from app.domain.storefront import KeyDirectory
from app.ingest.batcher import Batcher
from app.ingest.context.country import Countries
from app.ingest.cookieless import CookielessKeys
from app.ingest.gate import Gate
from app.ingest.limits import RateLimits
from app.metrics import Metrics

# Larger bodies are decoded in a thread, one at a time: a thousand events take 5 ms, but nonsense of 4 MiB up to a
# second. Smaller ones take less than the way to a thread and back.
LARGE_BYTES = 64 * 1024


@dataclass(frozen=True)
class IngestParts:
    """large: one thread of normal priority, in which large bodies are decoded."""

    settings: Settings
    clock: Clock
    keys: KeyDirectory
    batcher: Batcher
    metrics: Metrics
    gate: Gate
    limits: RateLimits
    large: Executor
    cookieless: CookielessKeys
    countries: Countries
