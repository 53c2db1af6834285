"""When a load balancer should send requests here."""

import asyncio
import time

import pytest

from app.ops import health
from app.ops.health import SILENT, Check, CheckResult, status_of

PARTS = ("serving", "postgres", "migrations", "partitions", "mirror", "spool", "ingestion", "background")


@pytest.mark.parametrize(
    ("failed", "status"),
    [
        ((), "ready"),
        (("postgres", "migrations", "partitions", "mirror"), "degraded"),
        (("postgres",), "degraded"),
        (("spool",), "degraded"),
        (("postgres", "spool"), "not ready"),
        (("postgres", "ingestion"), "not ready"),
        (("mirror",), "not ready"),
        (("migrations",), "not ready"),
        (("serving",), "not ready"),
    ],
)
def test_events_must_have_somewhere_to_go(failed: tuple[str, ...], status: str) -> None:
    assert status_of({part: CheckResult(part not in failed, "") for part in PARTS}) == status


def test_without_a_spool_postgres_is_needed() -> None:
    results = {part: CheckResult(part != "postgres", "") for part in PARTS if part != "spool"}
    assert status_of(results) == "not ready"


def test_a_database_that_falls_silent_between_two_checks_is_away() -> None:
    results = {part: CheckResult(ok=True, detail="") for part in PARTS} | {"migrations": SILENT}
    assert status_of(results) == "degraded"


async def test_a_check_that_hangs_is_answered_for_in_time_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.02)
    looks = 0
    answers = asyncio.Event()

    async def look() -> CheckResult:
        nonlocal looks
        looks += 1
        await answers.wait()
        return CheckResult(ok=True, detail="Postgres 18")

    check = Check("postgres", look)
    started = time.monotonic()
    assert [await check.result(), await check.result()] == [SILENT, SILENT]
    assert time.monotonic() - started < health.LOOK_SECONDS
    assert looks == 1

    answers.set()
    assert await check.result() == CheckResult(ok=True, detail="Postgres 18")


async def test_a_check_that_fails_says_so_in_words() -> None:
    async def look() -> CheckResult:
        raise ConnectionRefusedError(111, "Connect call failed ('10.0.0.5', 5432)")

    assert await Check("postgres", look).result() == CheckResult(ok=False, detail="refuses connections")
