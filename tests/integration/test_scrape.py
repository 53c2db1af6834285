"""A scrape that reaches one worker is answered for all of them."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import Worker
from app.metrics import Metrics
from app.ops import scrape as scraping
from app.ops.scrape import Scrape

Samples = dict[tuple[str, str], float]


@pytest.fixture
def workers(tmp_path: Path) -> list[Worker]:
    found = [Worker(number, 3, tmp_path) for number in (1, 2, 3)]
    for worker in found:
        worker.folder.mkdir()
    return found


def counting(worker: Worker, stored: int) -> Scrape:
    """Of a worker that has stored so many native events."""
    metrics = Metrics()
    metrics.events.labels("native", "stored").inc(stored)
    metrics.flush_seconds.observe(0.2)
    return Scrape(metrics, worker)


def by_worker(text: bytes, name: str) -> dict[str, float]:
    """The samples of a name, by the worker."""
    families = text_string_to_metric_families(text.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {sample.labels["worker"]: sample.value for sample in samples}


async def test_every_series_says_of_which_worker_it_is(workers: list[Worker]) -> None:
    one, two, three = (counting(worker, stored=worker.number * 10) for worker in workers)
    async with one.answering_others(), two.answering_others(), three.answering_others():
        text = await two.text()

    assert by_worker(text, "footfall_ingest_events_total") == {"1": 10, "2": 20, "3": 30}
    assert by_worker(text, "footfall_flush_duration_seconds_count") == {"1": 1, "2": 1, "3": 1}
    assert by_worker(text, "footfall_worker_up") == {"1": 1, "2": 1, "3": 1}
    assert text.count(b"# TYPE footfall_ingest_events_total counter\n") == 1


async def test_a_worker_that_is_gone_shows_as_down(workers: list[Worker]) -> None:
    _, two, three = (counting(worker, stored=1) for worker in workers)
    async with two.answering_others(), three.answering_others():
        text = await three.text()

    assert by_worker(text, "footfall_worker_up") == {"1": 0, "2": 1, "3": 1}
    assert by_worker(text, "footfall_ingest_events_total") == {"2": 1, "3": 1}


async def test_a_worker_that_hangs_does_not_hold_up_the_scrape(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraping, "ANSWER_SECONDS", 0.05)
    ending = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ending.wait()
        writer.close()

    third = workers[2]
    one, two = (counting(worker, stored=1) for worker in workers[:2])
    async with one.answering_others(), two.answering_others(), await asyncio.start_unix_server(hang, third.socket):
        text = await one.text()
        ending.set()

    assert by_worker(text, "footfall_worker_up") == {"1": 1, "2": 1, "3": 0}


async def test_the_only_process_has_no_label_of_its_own() -> None:
    text = await Scrape(Metrics(), None).text()

    assert b"worker=" not in text
