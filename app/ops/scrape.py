"""What a scrape is answered: the metrics of this process, or of all workers, told apart by the label `worker`.

A scrape reaches any one of them, which asks the others through a Unix socket in the folder of each. They answer with
msgpack: to read back the text that Prometheus reads would take thirty times as long.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.config import Worker
from app.metrics import Metrics

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0  # for all others together; who is busier than that shows as not up


class _Series(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


class _Family(NamedTuple):
    """One metric of one worker."""

    name: str
    documentation: str
    kind: str
    series: list[_Series]


# What is said of a worker that does not answer; the others say it of themselves.
_DOWN = [_Family("footfall_worker_up", "", "gauge", [_Series("footfall_worker_up", {}, 0.0)])]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Family]).decode


class Scrape:
    """worker: None when there is but one process."""

    def __init__(self, metrics: Metrics, worker: Worker | None) -> None:
        self._metrics = metrics
        self._worker = worker
        if worker is not None:
            metrics.worker_up.labels(str(worker.number)).set(1)

    @contextlib.asynccontextmanager
    async def answering_others(self) -> AsyncIterator[None]:
        if self._worker is None:
            yield
            return
        async with await asyncio.start_unix_server(self._answer, self._worker.socket):
            yield

    async def text(self) -> bytes:
        if self._worker is None:
            return generate_latest(self._metrics.registry)
        others = await asyncio.gather(*(_ask(other) for other in self._worker.others))
        answers = {other.number: answer for other, answer in zip(self._worker.others, others, strict=True)}
        answers[self._worker.number] = _families(self._metrics)
        return await asyncio.to_thread(lambda: generate_latest(_Merged(answers)))

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(_encode(_families(self._metrics)))
            await writer.drain()
        writer.close()


class _Merged(Collector):
    """Fits prometheus_client's registry. answers: by number of the worker; None of one that did not answer."""

    def __init__(self, answers: dict[int, list[_Family] | None]) -> None:
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        # First those that did, as they know what a metric is about.
        for number, families in sorted(self._answers.items(), key=lambda answer: (answer[1] is None, answer[0])):
            for family in _DOWN if families is None else families:
                metric = merged.setdefault(family.name, Metric(family.name, family.documentation, family.kind))
                for series in family.series:
                    metric.add_sample(series.name, {**series.labels, "worker": str(number)}, series.value)
        return iter(merged.values())


def _families(metrics: Metrics) -> list[_Family]:
    """In the event loop, as all that counts."""
    return [
        _Family(found.name, found.documentation, found.type, [_Series(*sample[:3]) for sample in found.samples])
        for found in metrics.registry.collect()
    ]


async def _ask(other: Worker) -> list[_Family] | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(other.socket)
            with contextlib.closing(writer):
                return _decode(await reader.read())
    except (OSError, TimeoutError, msgspec.DecodeError) as error:  # it starts, ends or hangs
        facts = {"action": "worker_silent", "silent": other.number, "error": type(error).__name__}
        logger.warning("a worker gives no metrics", extra=facts)
        return None
