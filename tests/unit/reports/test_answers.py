"""Answers are given again for as long as they are right, and no longer."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from app.domain.stages import DEFAULT_STAGES
from app.domain.storefront import Storefront
from app.domain.time_range import from_us
from app.metrics import Metrics
from app.mirror.follow import Mirror, Progress
from app.mirror.scan import Scan
from app.reports.answers import Answers
from app.reports.base import NEVER_US, ReportResult
from app.reports.cache import OVERHEAD_BYTES, Kept, Question, ResultCache
from app.reports.looks import Looks
from app.reports.runner import ReportRunner

SHOP = Storefront(1, "Shop", "UTC", "EUR", 1800, DEFAULT_STAGES)
SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US


class NumberParams(BaseModel):
    number: int = 0


class NumberResult(ReportResult):
    number: int


class NumberReport:
    """Counts how often it was worked out. valid_seconds: what its answers say, None: nothing."""

    name = "number"
    Params = NumberParams
    Result = NumberResult

    def __init__(self) -> None:
        self.valid_seconds: int | None = None
        self.as_of_us: int | None = None
        self.run_count = 0

    def run(self, params: NumberParams, scan: Scan, _storefront: Storefront) -> NumberResult:
        self.run_count += 1
        as_of = from_us(scan.as_of_us if self.as_of_us is None else self.as_of_us)
        result = NumberResult(as_of=as_of, events_read=0, number=params.number)
        if self.valid_seconds is None:
            return result
        return result.stays_valid_until(scan.as_of_us + self.valid_seconds * SECOND_US)


class HandMirror(Mirror):
    """Empty, in memory; time passes and rows come as a test says."""

    def __init__(self) -> None:
        super().__init__(Path(":memory:"), "no Postgres behind it", memory_bytes=64 * 1024**2, cache_bytes=0)
        self.now_us = START_US

    def catch_up(self) -> Progress:
        with self.cursor() as cursor:
            cursor.execute("UPDATE follower SET as_of_us = ?", [self.now_us])
        return Progress(self.now_us, 0)


@pytest.fixture
def mirror() -> Iterator[HandMirror]:
    mirror = HandMirror()
    mirror.open()
    yield mirror
    mirror.close()


@pytest.fixture
def report() -> NumberReport:
    return NumberReport()


def answers_of(mirror: Mirror, *, cache_bytes: int = 1024**2) -> Answers:
    runner = ReportRunner(mirror, concurrency=1, timeout_seconds=30, metrics=Metrics())
    return Answers(mirror, Looks(mirror, timeout_seconds=30), runner, cache_bytes=cache_bytes, metrics=Metrics())


@pytest.fixture
def answers(mirror: HandMirror) -> Answers:
    return answers_of(mirror)


async def ask(answers: Answers, report: Any, number: int = 0, shop: Storefront = SHOP) -> tuple[int, datetime]:
    result = await answers.result(report, NumberParams(number=number), shop)
    assert isinstance(result, NumberResult)
    return result.number, result.as_of


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(1_700_000_000 + seconds, UTC)


async def test_an_answer_is_worked_out_once_while_it_is_right_and_its_as_of_goes_on(
    mirror: HandMirror, answers: Answers, report: NumberReport
) -> None:
    report.valid_seconds = 60
    assert await ask(answers, report, 7) == (7, at(0))
    mirror.now_us += 60 * SECOND_US
    assert await ask(answers, report, 7) == (7, at(60))
    assert report.run_count == 1
    mirror.now_us += 1
    await ask(answers, report, 7)
    assert report.run_count == 2


async def test_an_answer_that_does_not_say_how_long_it_is_right_is_worked_out_anew_when_time_has_passed(
    mirror: HandMirror, answers: Answers, report: NumberReport
) -> None:
    await ask(answers, report)
    await ask(answers, report)
    assert report.run_count == 1
    mirror.now_us += 1
    assert await ask(answers, report) == (0, from_us(START_US + 1))
    assert report.run_count == 2


async def test_an_as_of_that_was_asked_for_stays(mirror: HandMirror, answers: Answers, report: NumberReport) -> None:
    report.valid_seconds, report.as_of_us = NEVER_US // SECOND_US // 2, START_US - 5 * SECOND_US
    for _ in range(3):
        assert await ask(answers, report) == (0, at(-5))
        mirror.now_us += 3600 * SECOND_US
    assert report.run_count == 1


async def test_new_rows_of_the_storefront_and_no_others_outdate_its_answers(
    mirror: HandMirror, answers: Answers, report: NumberReport
) -> None:
    report.valid_seconds = 60
    await ask(answers, report)
    mirror.versions.bump([2, 3])
    await ask(answers, report)
    assert report.run_count == 1
    mirror.versions.bump([1])
    await ask(answers, report)
    assert report.run_count == 2
    mirror.versions.bump_all()
    await ask(answers, report)
    assert report.run_count == 3


async def test_other_parameters_and_other_settings_of_the_storefront_are_other_questions(
    answers: Answers, report: NumberReport
) -> None:
    report.valid_seconds = 60
    shops = [
        SHOP,
        replace(SHOP, storefront_id=2),
        replace(SHOP, time_zone="Europe/Berlin"),
        replace(SHOP, session_timeout_seconds=60),
        replace(SHOP, stages=DEFAULT_STAGES[:2]),
    ]
    for _ in range(2):
        for shop in shops:
            for number in (1, 2):
                assert (await ask(answers, report, number, shop))[0] == number
    assert report.run_count == 2 * len(shops)


async def test_outdated_answers_are_forgotten_without_anybody_asking(
    mirror: HandMirror, answers: Answers, report: NumberReport
) -> None:
    """They may be about a person who has been erased."""
    await ask(answers, report)
    await ask(answers, report, shop=replace(SHOP, storefront_id=2))
    held = answers._cache.size_bytes
    mirror.versions.bump([1])
    await answers.drop_outdated()
    assert answers._cache.size_bytes == held / 2
    mirror.versions.bump_all()
    await answers.drop_outdated()
    assert answers._cache.size_bytes == 0


async def test_without_room_nothing_is_kept_and_everything_answered(mirror: HandMirror, report: NumberReport) -> None:
    report.valid_seconds = 60
    answers = answers_of(mirror, cache_bytes=0)
    for number in (1, 2, 2):
        assert (await ask(answers, report, number))[0] == number
    assert report.run_count == 3


def test_the_answers_not_used_for_longest_go_when_there_is_no_room() -> None:
    def question(number: int) -> Question:
        return Question("number", SHOP, str(number))

    def is_kept(number: int) -> bool:
        return cache.get(question(number), 1, START_US) is not None

    kept = Kept(b"x" * 2_000, 1, START_US, START_US, moves=True)
    cache = ResultCache(3 * (2_000 + 1 + OVERHEAD_BYTES))
    for number in (1, 2, 3):
        cache.put(question(number), kept)
    assert is_kept(1)
    cache.put(question(4), kept)
    assert [is_kept(number) for number in (1, 2, 3, 4)] == [True, False, True, True]
    cache.put(question(4), kept)  # in its own place
    assert [is_kept(number) for number in (1, 2, 3, 4)] == [True, False, True, True]
    cache.put(question(5), replace(kept, packed=b"x" * 20_000))
    assert [is_kept(number) for number in (1, 2, 3, 4, 5)] == [True, False, True, True, False]
    assert cache.size_bytes == 3 * (2_000 + 1 + OVERHEAD_BYTES)
