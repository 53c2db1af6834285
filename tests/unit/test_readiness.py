"""When a load balancer should send requests here."""

import pytest

from app.ops.health import CheckResult, status_of

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
